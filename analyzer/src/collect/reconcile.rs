//! Compares the descriptors that a process has with those that its region knows: what is open and
//! was never seen being opened (inline system calls, io_uring, glibc's own), by kind.
//!
//! Both sides change while they are read, and a thread may lose its processor between a call and its row. So what
//! differs is looked at a second time, a while later, and only what still differs counts.

use std::collections::BTreeMap;
use std::time::Duration;

use resshim_format::op::Kind;
use resshim_format::table::RowState;

use super::proc::ProcessId;
use crate::source::manifest::Reconciliation;
use crate::source::region::Region;

/// Examples that are kept.
const MOST_EXAMPLES: usize = 16;

/// What a fork child had from its parent: descriptors that no table of its own names.
pub type Inherited = BTreeMap<u32, String>;

/// How long a thread may take from the return of a system call to the row that it writes, on a machine that is
/// busy: what differs longer than this, differs.
pub const DOUBT: Duration = Duration::from_millis(100);

/// What differed at one look.
#[derive(Debug)]
pub struct Doubt {
    /// Open, and not in the table: what it is, and the generation that the table had seen last.
    unseen: BTreeMap<u32, (String, u32)>,
    /// In the table, and not open.
    gone: BTreeMap<u32, (u32, Kind)>,
    /// All that is open, by kind.
    open: BTreeMap<String, u64>,
}

/// The first look.
///
/// A fork child takes no census: what its first comparison finds is its parent's, as far as anybody
/// can tell, and is kept in `inherited`.
pub fn look(
    process: ProcessId,
    read: impl FnOnce() -> Option<Region>,
    inherited: &mut Option<Inherited>,
) -> Option<Doubt> {
    let descriptors = process.descriptors()?;
    let region = read()?;
    let rows = rows(&region);
    let known = |number: &u32| rows.get(number).filter(|row| row.state != RowState::Free);
    let mut open = BTreeMap::new();
    let mut unseen = BTreeMap::new();
    for (number, target) in &descriptors {
        let kind = known(number).map_or_else(|| kind_of(target), |row| row.kind);
        *open.entry(kind.name().to_owned()).or_insert(0) += 1;
        if known(number).is_none() {
            let generation = rows.get(number).map_or(0, |row| row.generation);
            unseen.insert(*number, (target.clone(), generation));
        }
    }
    let gone = rows
        .iter()
        .filter(|(number, row)| row.state != RowState::Free && !descriptors.contains_key(number))
        .map(|(number, row)| (*number, (row.generation, row.kind)))
        .collect();
    if region.header.parent_region != 0 {
        let first = || unseen.iter().map(|(number, (target, _))| (*number, target.clone()));
        let inherited = inherited.get_or_insert_with(|| first().collect());
        unseen.retain(|number, (target, _)| inherited.get(number) != Some(target));
    }
    Some(Doubt { unseen, gone, open })
}

impl Doubt {
    /// Both sides agree.
    pub fn is_empty(&self) -> bool {
        self.unseen.is_empty() && self.gone.is_empty()
    }

    /// The second look: what still differs, and has not come and gone meanwhile, counts. False: the process cannot be
    /// looked at.
    pub fn settle(
        mut self,
        process: ProcessId,
        read: impl FnOnce() -> Option<Region>,
        into: &mut Reconciliation,
    ) -> bool {
        if !self.is_empty() {
            let Some(again) = read() else { return false };
            let later = rows(&again);
            self.unseen.retain(|number, (target, generation)| {
                let row = later.get(number);
                row.is_none_or(|row| row.state == RowState::Free && row.generation == *generation)
                    && process.descriptor(*number).as_ref() == Some(target)
            });
            self.gone.retain(|number, (generation, _)| {
                let row = later.get(number);
                row.is_some_and(|row| row.state != RowState::Free && row.generation == *generation)
                    && process.descriptor(*number).is_none()
            });
            // A process that ended meanwhile has no descriptors: that says nothing.
            if !process.is_alive() {
                return false;
            }
        }
        let count = |kinds: &mut dyn Iterator<Item = Kind>| {
            let mut counts = BTreeMap::new();
            kinds.for_each(|kind| *counts.entry(kind.name().to_owned()).or_insert(0) += 1);
            counts
        };
        let opened = count(&mut self.unseen.values().map(|(target, _)| kind_of(target)));
        let closed = count(&mut self.gone.values().map(|(_, kind)| *kind));
        raise(&mut into.open, self.open);
        raise(&mut into.not_seen_opened, opened);
        raise(&mut into.not_seen_closed, closed);
        into.comparisons = into.comparisons.saturating_add(1);
        let unseen = self.unseen.into_iter().take(MOST_EXAMPLES);
        into.examples = unseen.map(|(number, (target, _))| (number, target)).collect();
        true
    }
}

fn raise(highest: &mut BTreeMap<String, u64>, now: BTreeMap<String, u64>) {
    for (kind, count) in now {
        let entry = highest.entry(kind).or_insert(0);
        *entry = count.max(*entry);
    }
}

/// A descriptor's row, whatever its state.
struct Row {
    state: RowState,
    generation: u32,
    kind: Kind,
}

/// By number. One that is being opened or closed is known too.
fn rows(region: &Region) -> BTreeMap<u32, Row> {
    let rows = region.fd_history().map(|fd| {
        let kind = Kind::from_number(fd.args.kind as u32).unwrap_or(Kind::File);
        (fd.number, Row { state: fd.state, generation: fd.generation, kind })
    });
    rows.collect()
}

/// Kind by what `/proc/PID/fd/N` leads to. Paths are not looked at: a file may lie on a server that
/// does not answer.
pub fn kind_of(target: &str) -> Kind {
    const PREFIXES: &[(&str, Kind)] = &[
        ("socket:", Kind::Socket),
        ("pipe:", Kind::Pipe),
        ("anon_inode:[eventpoll]", Kind::Epoll),
        ("anon_inode:[eventfd]", Kind::Eventfd),
        ("anon_inode:[timerfd]", Kind::Timerfd),
        ("anon_inode:[signalfd]", Kind::Signalfd),
        ("anon_inode:inotify", Kind::Inotify),
        ("anon_inode:[io_uring]", Kind::IoUring),
        ("anon_inode:[pidfd]", Kind::Pidfd),
        ("pidfd:", Kind::Pidfd),
        ("/memfd:", Kind::Memfd),
        ("/dev/shm/", Kind::Shm),
        ("/dev/pts/", Kind::Pty),
        ("/dev/ptmx", Kind::Pty),
        ("/dev/tty", Kind::Pty),
        ("/dev/mqueue/", Kind::Mqueue),
    ];
    PREFIXES
        .iter()
        .find(|(prefix, _)| target.starts_with(prefix))
        .map_or(Kind::File, |(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::open::Access;
    use crate::source::region::RegionFile;
    use crate::source::region::fixture::{Fixture, directory};

    fn compare(region: &RegionFile, found: &mut Reconciliation) -> bool {
        let read = || region.read().ok();
        let doubt = look(ProcessId::own(), read, &mut None).unwrap();
        doubt.settle(ProcessId::own(), read, found)
    }

    #[test]
    fn what_is_open_and_not_in_the_table_is_counted_by_kind() {
        let live = directory("reconcile");
        let file = std::fs::File::open("/etc/passwd").unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&file) as u32;
        let mut fixture = Fixture::new(std::process::id(), 1);
        let region = |fixture: &Fixture| {
            let path = fixture.write(&live);
            RegionFile::open(&path, Access::Read).unwrap()
        };
        let mut found = Reconciliation::default();
        let empty = region(&fixture);
        assert!(compare(&empty, &mut found));
        assert!(found.not_seen_opened["file"] >= 1);
        assert_eq!(found.examples.get(&number).map(String::as_str), Some("/etc/passwd"));

        // All that is open is known, and one that is not open is said to live.
        for number in ProcessId::own().descriptors().unwrap().into_keys().filter(|n| *n < 32) {
            fixture.fd(number, Kind::File, "x");
        }
        let free = (3..32).rev().find(|n| ProcessId::own().descriptor(*n).is_none()).unwrap();
        fixture.fd(free, Kind::Tcp, "closed by an inline system call");
        let full = region(&fixture);
        let mut found = Reconciliation::default();
        assert!(compare(&full, &mut found));
        assert_eq!(found.not_seen_closed.get("tcp"), Some(&1));
        assert!(!found.examples.contains_key(&number));
        std::fs::remove_dir_all(live).unwrap();
    }

    #[test]
    fn what_comes_and_goes_between_two_looks_was_seen() {
        let live = directory("reconcile-busy");
        let file = std::fs::File::open("/etc/passwd").unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&file) as u32;
        let mut fixture = Fixture::new(std::process::id(), 1);
        fixture.fd(number, Kind::File, "/etc/passwd");
        let state = |fixture: &mut Fixture, state: RowState, generation: u32| {
            fixture.fd_state(number, state, generation);
            RegionFile::open(&fixture.write(&live), Access::Read).unwrap().read().ok()
        };
        for (later, is_seen) in [(2, false), (3, true)] {
            let first = state(&mut fixture, RowState::Free, 2);
            let doubt = look(ProcessId::own(), || first, &mut None).unwrap();
            let second = state(&mut fixture, RowState::Free, later);
            let mut found = Reconciliation::default();
            assert!(doubt.settle(ProcessId::own(), || second, &mut found));
            assert_eq!(!found.examples.contains_key(&number), is_seen);
        }
        std::fs::remove_dir_all(live).unwrap();
    }

    #[test]
    fn what_a_fork_child_had_at_first_is_its_parents() {
        let live = directory("reconcile-fork");
        let mut fixture = Fixture::new(std::process::id(), 1);
        fixture.header(|header| header.parent_region = 9);
        let region = RegionFile::open(&fixture.write(&live), Access::Read).unwrap();
        let (mut found, mut inherited) = (Reconciliation::default(), None);
        let mut look = || {
            let read = || region.read().ok();
            let doubt = look(ProcessId::own(), read, &mut inherited).unwrap();
            assert!(doubt.settle(ProcessId::own(), read, &mut found));
            found.examples.values().filter(|target| *target == "/etc/group").count()
        };
        assert_eq!(look(), 0);
        let file = std::fs::File::open("/etc/group").unwrap();
        assert_eq!(look(), 1, "opened since, and not seen");
        drop(file);
        std::fs::remove_dir_all(live).unwrap();
    }

    #[test]
    fn kinds_are_told_from_the_links_of_proc() {
        assert_eq!(kind_of("socket:[123]"), Kind::Socket);
        assert_eq!(kind_of("anon_inode:[eventpoll]"), Kind::Epoll);
        assert_eq!(kind_of("/etc/passwd"), Kind::File);
        assert_eq!(kind_of("/dev/pts/3"), Kind::Pty);
    }
}
