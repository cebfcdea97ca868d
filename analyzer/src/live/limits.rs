//! The limits that a process lives under, and how near it is to each.

use std::path::{Path, PathBuf};

use crate::collect::proc::ProcessId;
use crate::report::Limit;

/// What is used of what is limited.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// Descriptors, if they could be counted.
    pub descriptors: Option<u64>,
    /// Mappings.
    pub mappings: u64,
    /// Threads of all processes of its user.
    pub tasks_of_user: u64,
}

/// Limits of a process, the nearest first.
pub fn of(process: ProcessId, used: &Used) -> Vec<Limit> {
    let soft = process.limits();
    let mut limits = Vec::new();
    let mut push = |name: &str, kind: &str, used: u64, limit: u64| {
        if limit > 0 && limit < i64::MAX as u64 {
            limits.push(Limit {
                name: name.to_owned(),
                pid: process.pid,
                kind: kind.to_owned(),
                used: used as f64,
                limit: limit as f64,
                eta_s: None,
            });
        }
    };
    if let (Some(used), Some(limit)) = (used.descriptors, soft.get("Max open files")) {
        push("RLIMIT_NOFILE", "", used, *limit);
    }
    if let Some(limit) = soft.get("Max processes") {
        push("RLIMIT_NPROC", "", used.tasks_of_user, *limit);
    }
    let map_count = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    push("vm.max_map_count", "mapping", used.mappings, map_count.trim().parse().unwrap_or(0));
    for (name, current, max) in
        [("pids.max", "pids.current", "pids.max"), ("memory.max", "memory.current", "memory.max")]
    {
        if let Some((used, limit)) = nearest(&group(&process.cgroup()), current, max) {
            push(name, "", used, limit);
        }
    }
    let share = |limit: &Limit| limit.used / limit.limit;
    limits.sort_by(|a, b| share(b).total_cmp(&share(a)));
    limits
}

/// Where the group's files are; seen from inside of a container the path may lead out of what is mounted.
fn group(path: &str) -> PathBuf {
    let root = Path::new("/sys/fs/cgroup");
    let is_inside = !path.split('/').any(|part| part == "..");
    let own = root.join(path.trim_start_matches('/'));
    if is_inside && own.is_dir() { own } else { root.to_owned() }
}

/// Of the group and those above it the one that is nearest to its limit.
fn nearest(group: &Path, current: &str, max: &str) -> Option<(u64, u64)> {
    let read = |path: PathBuf| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let above = group.ancestors().take_while(|path| path.starts_with("/sys/fs/cgroup"));
    let known = above.filter_map(|path| Some((read(path.join(current))?, read(path.join(max))?)));
    let share = |(used, limit): &(u64, u64)| *used as f64 / (*limit).max(1) as f64;
    known.max_by(|a, b| share(a).total_cmp(&share(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_limit_comes_first() {
        let used = Used { descriptors: Some(7), mappings: 60_000, tasks_of_user: 1 };
        let limits = of(ProcessId::own(), &used);
        assert_eq!(limits[0].name, "vm.max_map_count", "{limits:?}");
        let files = limits.iter().find(|limit| limit.name == "RLIMIT_NOFILE").expect("a limit");
        assert_eq!(files.used, 7.0);
        assert!(files.limit >= 7.0);
    }

    #[test]
    fn a_path_that_leads_out_of_what_is_mounted_is_not_followed() {
        assert_eq!(group("/../../etc"), Path::new("/sys/fs/cgroup"));
        assert_eq!(group("/no/such/group"), Path::new("/sys/fs/cgroup"));
    }
}
