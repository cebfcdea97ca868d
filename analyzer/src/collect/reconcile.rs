//! Compares the descriptors that a process has with those that its region knows: what is open and
//! was never seen being opened (inline system calls, io_uring, glibc's own), by kind.
//!
//! Both sides change while they are read, so what differs is looked at a second time, and only
//! what still differs counts.

use std::collections::BTreeMap;

use resshim_format::op::Kind;
use resshim_format::table::RowState;

use super::proc::ProcessId;
use crate::source::manifest::Reconciliation;
use crate::source::region::Region;

/// Examples that are kept.
const MOST_EXAMPLES: usize = 16;

/// What a fork child had from its parent: descriptors that no table of its own names.
pub type Inherited = BTreeMap<u32, String>;

/// Compares once and keeps the worst in `into`. `read` copies the state of the region.
/// False: the process cannot be looked at.
///
/// A fork child takes no census: what its first comparison finds is its parent's, as far as anybody
/// can tell, and is kept in `inherited`.
pub fn compare(
    process: ProcessId,
    read: impl Fn() -> Option<Region>,
    inherited: &mut Option<Inherited>,
    into: &mut Reconciliation,
) -> bool {
    let Some(open) = process.descriptors() else { return false };
    let Some(region) = read() else { return false };
    let known = live(&region);
    let mut unseen: BTreeMap<u32, &String> = open
        .iter()
        .filter(|(number, _)| !known.contains_key(number))
        .map(|(n, t)| (*n, t))
        .collect();
    let mut gone: Vec<u32> =
        known.keys().copied().filter(|number| !open.contains_key(number)).collect();
    if !unseen.is_empty() || !gone.is_empty() {
        let Some(again) = read() else { return false };
        let later = live(&again);
        unseen.retain(|number, target| {
            !later.contains_key(number) && process.descriptor(*number).as_ref() == Some(*target)
        });
        gone.retain(|number| {
            later.get(number) == known.get(number) && process.descriptor(*number).is_none()
        });
        // A process that ended meanwhile has no descriptors: that says nothing.
        if !process.is_alive() {
            return false;
        }
    }
    if region.header.parent_region != 0 {
        let first = || unseen.iter().map(|(number, target)| (*number, (*target).clone())).collect();
        let inherited = inherited.get_or_insert_with(first);
        unseen.retain(|number, target| inherited.get(number) != Some(*target));
    }
    let mut counts = [BTreeMap::new(), BTreeMap::new(), BTreeMap::new()];
    for (number, target) in &open {
        let kind = known.get(number).map_or_else(|| kind_of(target), |(_, kind)| *kind);
        *counts[0].entry(kind.name().to_owned()).or_insert(0) += 1;
    }
    for target in unseen.values() {
        *counts[1].entry(kind_of(target).name().to_owned()).or_insert(0) += 1;
    }
    for number in &gone {
        if let Some((_, kind)) = known.get(number) {
            *counts[2].entry(kind.name().to_owned()).or_insert(0) += 1;
        }
    }
    let [open_now, opened, closed] = counts;
    raise(&mut into.open, open_now);
    raise(&mut into.not_seen_opened, opened);
    raise(&mut into.not_seen_closed, closed);
    into.comparisons = into.comparisons.saturating_add(1);
    into.examples =
        unseen.into_iter().take(MOST_EXAMPLES).map(|(n, target)| (n, target.clone())).collect();
    true
}

fn raise(highest: &mut BTreeMap<String, u64>, now: BTreeMap<String, u64>) {
    for (kind, count) in now {
        let entry = highest.entry(kind).or_insert(0);
        *entry = count.max(*entry);
    }
}

/// Live descriptors of a region: number to generation and kind. One that is being closed is known too.
fn live(region: &Region) -> BTreeMap<u32, (u32, Kind)> {
    region
        .fd_history()
        .filter(|fd| fd.state != RowState::Free)
        .map(|fd| {
            let kind = Kind::from_number(fd.args.kind as u32).unwrap_or(Kind::File);
            (fd.number, (fd.generation, kind))
        })
        .collect()
}

/// Kind by what `/proc/PID/fd/N` leads to. Paths are not looked at: a file may lie on a server that
/// does not answer.
fn kind_of(target: &str) -> Kind {
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
        assert!(compare(ProcessId::own(), || empty.read().ok(), &mut None, &mut found));
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
        assert!(compare(ProcessId::own(), || full.read().ok(), &mut None, &mut found));
        assert_eq!(found.not_seen_closed.get("tcp"), Some(&1));
        assert!(!found.examples.contains_key(&number));
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
            assert!(compare(ProcessId::own(), read, &mut inherited, &mut found));
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
