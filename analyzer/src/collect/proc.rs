//! What `/proc` says of a process. Cheap files only: never `smaps`, which walks page tables under a
//! lock of the process that is looked at.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::process::{Pid, PidfdFlags};

use crate::source::manifest::Reading;

/// A process, not a number that is reused: pid and start in clock ticks since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProcessId {
    /// Its number.
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`.
    pub start_ticks: u64,
}

/// Fields of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// `R`, `S`, `Z`, …
    pub state: char,
    /// Parent.
    pub parent: u32,
    /// User and system time, clock ticks.
    pub cpu_ticks: u64,
    /// Threads.
    pub threads: u32,
    /// Start, clock ticks since boot.
    pub start_ticks: u64,
}

fn path(pid: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

/// Reads `/proc/PID/stat`.
pub fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(path(pid, "stat")).ok()?)
}

/// The name (field 2) may hold blanks and parentheses: fields are counted from the last one.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: number(1)? as u32,
        cpu_ticks: number(11)? + number(12)?,
        threads: number(17)? as u32,
        start_ticks: number(19)?,
    })
}

impl ProcessId {
    /// The process that runs this.
    pub fn own() -> ProcessId {
        let pid = std::process::id();
        ProcessId { pid, start_ticks: stat(pid).map_or(0, |stat| stat.start_ticks) }
    }

    /// Whether it is there and no zombie.
    pub fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|stat| {
            // The leader can be a zombie while other threads run.
            let runs = !matches!(stat.state, 'Z' | 'X') || stat.threads > 1;
            stat.start_ticks == self.start_ticks && runs
        })
    }

    /// A descriptor that becomes readable when all its threads have ended; `None` where it is gone.
    pub fn pidfd(self) -> Option<OwnedFd> {
        let pid = Pid::from_raw(i32::try_from(self.pid).ok()?)?;
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // Asked afterwards: the number could have gone to another process before.
        self.is_alive().then_some(pidfd)
    }

    /// Memory, threads, CPU time, size of the descriptor table.
    pub fn reading(self, monotonic_ns: u64) -> Option<Reading> {
        let stat = stat(self.pid).filter(|stat| stat.start_ticks == self.start_ticks)?;
        let status = std::fs::read_to_string(path(self.pid, "status")).unwrap_or_default();
        let field = |name: &str| {
            let text = status.lines().find_map(|line| line.strip_prefix(name))?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        };
        Some(Reading {
            monotonic_ns,
            rss_bytes: field("VmRSS:").unwrap_or(0) * 1024,
            threads: stat.threads,
            fd_size: field("FDSize:").unwrap_or(0) as u32,
            cpu_ticks: stat.cpu_ticks,
            ignores_sigchld: ignores_sigchld(&status),
        })
    }

    /// Soft limits by name; what is unlimited is left out.
    pub fn limits(self) -> BTreeMap<String, u64> {
        let text = std::fs::read_to_string(path(self.pid, "limits")).unwrap_or_default();
        parse_limits(&text)
    }

    /// Its control group: the unified one, else the first.
    pub fn cgroup(self) -> String {
        let text = std::fs::read_to_string(path(self.pid, "cgroup")).unwrap_or_default();
        let unified = text.lines().find_map(|line| line.strip_prefix("0::"));
        let first = || text.lines().next().and_then(|line| line.splitn(3, ':').nth(2));
        unified.or_else(first).unwrap_or_default().to_owned()
    }

    /// Open descriptors and what they lead to; `None` where that cannot be read.
    pub fn descriptors(self) -> Option<BTreeMap<u32, String>> {
        let mut all = BTreeMap::new();
        for entry in std::fs::read_dir(path(self.pid, "fd")).ok()? {
            let Ok(entry) = entry else { break };
            let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if let Some(target) = self.descriptor(number) {
                all.insert(number, target);
            }
        }
        Some(all)
    }

    /// What one descriptor leads to.
    pub fn descriptor(self, number: u32) -> Option<String> {
        let link = std::fs::read_link(path(self.pid, &format!("fd/{number}"))).ok()?;
        Some(link.to_string_lossy().into_owned())
    }
}

/// Whether `SIGCHLD` is ignored by the process whose `status` this is.
fn ignores_sigchld(status: &str) -> Option<bool> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    let bit = rustix::process::Signal::CHILD.as_raw() - 1;
    Some(mask >> bit & 1 != 0)
}

/// Whether a process lives that was started with this variable (`NAME=value`) in its environment.
/// Processes of other users cannot be asked.
pub fn any_with_variable(variable: &[u8]) -> bool {
    let Ok(entries) = std::fs::read_dir("/proc") else { return false };
    let own = std::process::id();
    entries.flatten().any(|entry| {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        let Some(pid) = pid.filter(|pid| *pid != own) else { return false };
        let Ok(environment) = std::fs::read(path(pid, "environ")) else { return false };
        environment.split(|byte| *byte == 0).any(|there| there == variable)
    })
}

/// `Max open files            1024                 524288               files`
fn parse_limits(text: &str) -> BTreeMap<String, u64> {
    let mut limits = BTreeMap::new();
    for line in text.lines().skip(1) {
        let Some((name, rest)) = line.split_at_checked(26) else { continue };
        if let Some(soft) = rest.split_whitespace().next().and_then(|soft| soft.parse().ok()) {
            limits.insert(name.trim().to_owned(), soft);
        }
    }
    limits
}

/// CPU time of the calling process so far, nanoseconds.
pub fn own_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// `CLOCK_MONOTONIC`, nanoseconds.
pub fn monotonic_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_blanks_does_not_shift_the_fields() {
        let text = "7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 5 6 0 0 20 0 3 0 1234 1000 42 \
                    18446744073709551615";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.state, stat.parent, stat.cpu_ticks), ('S', 1, 11));
        assert_eq!((stat.threads, stat.start_ticks), (3, 1234));
        assert_eq!(parse_stat("7 (a"), None);
    }

    #[test]
    fn an_ignored_sigchld_is_told_from_others() {
        let status =
            |mask: &str| ignores_sigchld(&format!("Name:\tx\nSigIgn:\t{mask}\nSigCgt:\t0\n"));
        assert_eq!(status("0000000000010000"), Some(true));
        assert_eq!(status("fffffffffffeffff"), Some(false));
        assert_eq!((status("zz"), ignores_sigchld("Name:\tx\n")), (None, None));
    }

    #[test]
    fn limits_are_read_by_name_and_unlimited_ones_left_out() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max cpu time              unlimited            unlimited            seconds   \n\
                    Max open files            1024                 524288               files     \n";
        assert_eq!(parse_limits(text), BTreeMap::from([("Max open files".into(), 1024)]));
    }

    #[test]
    fn this_process_lives_and_another_start_is_another_process() {
        let own = ProcessId::own();
        assert!(own.is_alive() && own.pidfd().is_some());
        let other = ProcessId { start_ticks: own.start_ticks + 1, ..own };
        assert!(!other.is_alive() && other.pidfd().is_none() && other.reading(0).is_none());
        let reading = own.reading(5).unwrap();
        assert!(reading.rss_bytes > 0 && reading.threads > 0 && reading.fd_size > 0);
        assert!(own.descriptors().unwrap().len() > 2);
    }
}
