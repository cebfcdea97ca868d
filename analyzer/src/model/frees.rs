//! Frees that do not fit the lifecycle of the block. Only where every block is recorded.
//!
//! Records of `free` carry no time of their own (a clock read costs more than the record), so the
//! order of events of two threads is not known to the letter. A free is therefore only suspect where
//! the allocation, the first free and the second are all of one thread: its own order is certain.

use super::closes::Releaser;
use super::hash::WordMap;

/// Released addresses that are remembered for one image; a power of two.
const REMEMBERED: usize = 1 << 16;
/// Suspects that are kept apart for one image.
const LIMIT: usize = 1024;
/// Searches of all live blocks for one that contains an address, for one image.
const SEARCHES: u32 = 64;

/// What is wrong with a free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FreeFault {
    /// The block had been freed before.
    Twice,
    /// The address lies inside a block, not at its start.
    Inside,
}

/// Frees of one pair of sites.
#[derive(Clone, Debug)]
pub struct FreeSuspect {
    /// Index of the image.
    pub image: u32,
    /// What is wrong.
    pub fault: FreeFault,
    /// Site that allocated the block.
    pub site: u32,
    /// Address that was freed, the first time.
    pub address: u64,
    /// Who freed it rightly, or 0.
    pub before: Releaser,
    /// Who freed it wrongly.
    pub by: Releaser,
    /// How often.
    pub count: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Past {
    address: u64,
    site: u32,
    allocated_tid: u32,
    released: Releaser,
}

/// Watches the frees of one image.
#[derive(Debug, Default)]
pub struct FreeWatch {
    is_on: bool,
    /// By a hash of the address; the newest wins.
    past: Vec<Past>,
    /// Thread that allocated a live block.
    owners: WordMap<u32>,
    suspects: Vec<FreeSuspect>,
    searches: u32,
}

impl FreeWatch {
    /// `is_on`: every block of the image is recorded.
    pub fn new(is_on: bool) -> FreeWatch {
        FreeWatch { is_on, ..FreeWatch::default() }
    }

    fn place(address: u64) -> usize {
        (address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize % REMEMBERED
    }

    /// A block was allocated here.
    #[inline]
    pub fn acquired(&mut self, address: u64, tid: u32) {
        if !self.is_on {
            return;
        }
        self.owners.insert(address, tid);
        if let Some(past) = self.past.get_mut(FreeWatch::place(address))
            && past.address == address
        {
            *past = Past::default();
        }
    }

    /// A live block was freed.
    #[inline]
    pub fn released(&mut self, address: u64, site: u32, by: Releaser) {
        if !self.is_on {
            return;
        }
        if self.past.is_empty() {
            self.past.resize(REMEMBERED, Past::default());
        }
        let allocated_tid = self.owners.remove(&address).unwrap_or(0);
        if let Some(past) = self.past.get_mut(FreeWatch::place(address)) {
            *past = Past { address, site, allocated_tid, released: by };
        }
    }

    /// An address was freed at which nothing is live; `blocks` are (address, bytes, site).
    pub fn unknown(
        &mut self,
        image: u32,
        address: u64,
        by: Releaser,
        mut blocks: impl Iterator<Item = (u64, u64, u32)>,
    ) {
        if !self.is_on || address == 0 {
            return;
        }
        let past = self.past.get(FreeWatch::place(address)).copied().unwrap_or_default();
        if past.address == address {
            if past.allocated_tid == by.tid && past.released.tid == by.tid {
                let (site, before) = (past.site, past.released);
                let fault = FreeFault::Twice;
                self.add(FreeSuspect { image, fault, site, address, before, by, count: 1 });
            }
            return;
        }
        if self.searches >= SEARCHES {
            return;
        }
        self.searches += 1;
        let inside = blocks
            .find(|(start, bytes, _)| *start < address && address < start.saturating_add(*bytes));
        if let Some((start, _, site)) = inside
            && self.owners.get(&start) == Some(&by.tid)
        {
            let (fault, before) = (FreeFault::Inside, Releaser::default());
            self.add(FreeSuspect { image, fault, site, address, before, by, count: 1 });
        }
    }

    fn add(&mut self, suspect: FreeSuspect) {
        let same = |known: &FreeSuspect| {
            known.fault == suspect.fault
                && known.by.stack == suspect.by.stack
                && known.before.stack == suspect.before.stack
        };
        match self.suspects.iter().position(same) {
            Some(at) => self.suspects[at].count += 1,
            None if self.suspects.len() < LIMIT => self.suspects.push(suspect),
            None => {}
        }
    }

    /// What was suspect.
    pub fn into_suspects(self) -> Vec<FreeSuspect> {
        self.suspects
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(stack: u32, tid: u32) -> Releaser {
        Releaser { stack, tid, at_ns: 1 }
    }

    #[test]
    fn only_one_threads_own_order_makes_a_suspect() {
        let mut watch = FreeWatch::new(true);
        watch.acquired(0x100, 1);
        watch.released(0x100, 3, by(7, 1));
        watch.unknown(0, 0x100, by(8, 2), std::iter::empty());
        watch.unknown(0, 0x100, by(8, 1), std::iter::empty());
        watch.acquired(0x100, 1);
        watch.unknown(0, 0x100, by(8, 1), std::iter::empty());
        let suspects = watch.into_suspects();
        assert_eq!(suspects.len(), 1);
        assert_eq!((suspects[0].fault, suspects[0].count), (FreeFault::Twice, 1));
    }

    #[test]
    fn a_free_inside_a_block_is_told_and_one_of_a_foreign_address_is_not() {
        let mut watch = FreeWatch::new(true);
        watch.acquired(0x100, 1);
        let blocks = || [(0x100, 64, 3)].into_iter();
        watch.unknown(0, 0x110, by(8, 1), blocks());
        watch.unknown(0, 0x140, by(8, 1), blocks());
        let suspects = watch.into_suspects();
        assert_eq!(suspects.len(), 1);
        assert_eq!(suspects[0].fault, FreeFault::Inside);
    }

    #[test]
    fn a_sample_of_blocks_says_nothing() {
        let mut watch = FreeWatch::new(false);
        watch.acquired(0x100, 1);
        watch.released(0x100, 3, by(7, 1));
        watch.unknown(0, 0x100, by(8, 1), std::iter::empty());
        assert!(watch.into_suspects().is_empty());
    }
}
