//! Which processes a trace is of: all of its directory, or those that `record` was given and their
//! descendants. Collector and readers ask the same rule, since a directory of the shim is shared by
//! all processes of its user.

use std::collections::{BTreeMap, HashSet};

use resshim_format::index::IndexRow;

use super::region::RegionHeader;

/// One image of a process, as a region's header or a row of the index says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Candidate {
    /// Process.
    pub pid: u32,
    /// Its parent now; another one than it had if that is gone.
    pub parent: u32,
    /// Start in clock ticks since boot, 0 = not known.
    pub start_ticks: u64,
    /// Its region, 0 = none.
    pub region: u64,
    /// Region of who forked it, 0 = it came by exec.
    pub parent_region: u64,
}
impl From<&IndexRow> for Candidate {
    fn from(row: &IndexRow) -> Candidate {
        let (pid, parent, start_ticks) = (row.pid, row.parent_pid, row.start_ticks);
        Candidate { pid, parent, start_ticks, region: row.region, parent_region: 0 }
    }
}
impl From<&RegionHeader> for Candidate {
    fn from(header: &RegionHeader) -> Candidate {
        Candidate {
            pid: header.pid,
            parent: header.parent_pid,
            start_ticks: header.start_ticks,
            region: header.region_id,
            parent_region: header.parent_region,
        }
    }
}

/// The chosen processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    starts: BTreeMap<u32, u64>,
    regions: HashSet<u64>,
}

impl Chosen {
    /// Processes by number, each with its start in clock ticks since boot (0 = not known); none = all.
    pub fn of(starts: BTreeMap<u32, u64>) -> Chosen {
        Chosen { starts, regions: HashSet::new() }
    }

    /// Whether everything belongs to the trace.
    pub fn is_all(&self) -> bool {
        self.starts.is_empty()
    }

    /// Whether an image belongs to the trace; if so, those of its children will. Parents are asked about
    /// before their children. A number is given to another process later: its start tells them apart.
    pub fn takes(&mut self, image: Candidate) -> bool {
        if self.is_all() {
            return true;
        }
        let unknown = |start: u64| start == 0 || image.start_ticks == 0;
        let takes = match self.starts.get(&image.pid).copied() {
            Some(start) => unknown(start) || start == image.start_ticks,
            None => {
                let parent = self.starts.get(&image.parent).copied();
                parent.is_some_and(|start| unknown(start) || start <= image.start_ticks)
                    || self.regions.contains(&image.parent_region)
            }
        };
        if takes {
            self.starts.entry(image.pid).or_insert(image.start_ticks);
            if image.region != 0 {
                self.regions.insert(image.region);
            }
        }
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(pid: u32, parent: u32, start_ticks: u64) -> Candidate {
        Candidate { pid, parent, start_ticks, ..Candidate::default() }
    }

    #[test]
    fn descendants_of_the_chosen_are_taken_and_others_are_not() {
        let mut chosen = Chosen::of(BTreeMap::from([(10, 100)]));
        assert!(chosen.takes(Candidate { region: 7, ..image(10, 1, 100) }), "itself");
        assert!(chosen.takes(image(11, 10, 100)), "a child");
        assert!(chosen.takes(image(12, 11, 140)), "a grandchild");
        assert!(chosen.takes(Candidate { parent_region: 7, ..image(15, 1, 160) }), "an orphan");
        assert!(!chosen.takes(image(13, 1, 150)), "a stranger");
        assert!(!chosen.takes(image(10, 1, 90)), "who had the number before");
        assert!(!chosen.takes(image(14, 10, 90)), "a child of that one");
        assert!(Chosen::default().takes(image(13, 1, 150)), "where none was chosen");
    }

    #[test]
    fn one_of_unknown_start_is_told_by_its_number() {
        let mut chosen = Chosen::of(BTreeMap::from([(10, 0)]));
        assert!(chosen.takes(image(10, 1, 90)) && chosen.takes(image(11, 10, 80)));
        assert!(!chosen.takes(image(12, 1, 80)));
    }
}
