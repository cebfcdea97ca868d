//! The mappings of one image: unmapping part of one, or over several, is ordinary.

use std::collections::BTreeMap;

/// A mapping, or what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Bytes.
    pub length: u64,
    /// Site of its acquisition.
    pub site: u32,
    /// When it was made, ns.
    pub acquired_ns: u64,
}

/// Live mappings by start address; they do not overlap.
#[derive(Debug, Default)]
pub struct Mappings {
    live: BTreeMap<u64, Mapped>,
}

impl Mappings {
    /// A new mapping; what was mapped there before is gone (`MAP_FIXED`), and given back.
    pub fn map(&mut self, address: u64, mapped: Mapped) -> Vec<Mapped> {
        let gone = self.unmap(address, mapped.length);
        self.live.insert(address, mapped);
        gone
    }

    /// Unmaps a range: gives the mappings that are gone whole; others keep what is left of them.
    pub fn unmap(&mut self, address: u64, length: u64) -> Vec<Mapped> {
        let end = address.saturating_add(length);
        let before = self.live.range(..address).next_back().map(|(start, _)| *start);
        let first = before.into_iter();
        let touched: Vec<u64> =
            first.chain(self.live.range(address..end).map(|(start, _)| *start)).collect();
        let mut gone = Vec::new();
        for start in touched {
            let Some(mapped) = self.live.get(&start).copied() else { continue };
            let stop = start.saturating_add(mapped.length);
            if stop <= address {
                continue;
            }
            self.live.remove(&start);
            if start < address {
                self.live.insert(start, Mapped { length: address - start, ..mapped });
            }
            if stop > end {
                self.live.insert(end, Mapped { length: stop - end, ..mapped });
            }
            if start >= address && stop <= end {
                gone.push(mapped);
            }
        }
        gone
    }

    /// `mremap`: the mapping that begins at `old` is at `new` from now on; false if there is none.
    pub fn remap(&mut self, old: u64, new: u64, length: u64) -> bool {
        let Some(mapped) = self.live.remove(&old) else { return false };
        self.live.insert(new, Mapped { length, ..mapped });
        true
    }

    /// Sites of those that have a part in this range, lowest first.
    pub fn touching(&self, start: u64, end: u64) -> impl Iterator<Item = u32> + '_ {
        let before = self.live.range(..start).next_back();
        let before = before.filter(move |(at, m)| at.saturating_add(m.length) > start);
        before.into_iter().chain(self.live.range(start..end.max(start))).map(|(_, m)| m.site)
    }

    /// Whether something of this site is left.
    pub fn has_part_of(&self, site: u32) -> bool {
        self.live.values().any(|mapped| mapped.site == site)
    }

    /// All that are live.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Mapped)> + '_ {
        self.live.iter().map(|(start, mapped)| (*start, *mapped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(length: u64) -> Mapped {
        Mapped { length, site: 1, acquired_ns: 5 }
    }

    #[test]
    fn a_hole_makes_two_and_only_whole_ones_are_gone() {
        let mut mappings = Mappings::default();
        mappings.map(0x1000, mapped(0x5000));
        assert!(mappings.unmap(0x2000, 0x1000).is_empty());
        let left: Vec<_> = mappings.iter().map(|(start, m)| (start, m.length)).collect();
        assert_eq!(left, [(0x1000, 0x1000), (0x3000, 0x3000)]);
        assert_eq!(mappings.unmap(0, u64::MAX).len(), 2);
        assert!(mappings.unmap(0, u64::MAX).is_empty());
    }

    #[test]
    fn a_fixed_mapping_replaces_and_a_moved_one_stays_itself() {
        let mut mappings = Mappings::default();
        mappings.map(0x1000, mapped(0x1000));
        assert_eq!(mappings.map(0x1000, mapped(0x1000)).len(), 1);
        assert!(mappings.remap(0x1000, 0x9000, 0x4000));
        assert!(!mappings.remap(0x1000, 0x9000, 0x4000));
        assert_eq!(mappings.iter().next(), Some((0x9000, mapped(0x4000))));
    }
}
