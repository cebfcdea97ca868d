//! Which process it is, and whether one can look at it.

use std::path::Path;

use crate::collect::proc::{ProcessId, stat};
use crate::error::Error;
use crate::error::Result;

/// Set in the flags of a kernel thread (`PF_KTHREAD`, include/linux/sched.h).
const KERNEL_THREAD: u64 = 0x20_0000;

/// A process that can be looked at.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Which.
    pub id: ProcessId,
    /// Its executable.
    pub exe: String,
    /// Its name as the kernel has it.
    pub name: String,
    /// Effective user.
    pub user: u32,
}

/// The process of this number.
///
/// # Errors
/// Where there is none, or it is a thread, a zombie, or the kernel's own.
pub fn of(pid: u32) -> Result<Identity> {
    let what = format!("process {pid}");
    let refuse = |why: &str, hint: &str| Error::input(Path::new(&what), why, hint);
    let stat = stat(pid).ok_or_else(|| refuse("there is none", "is the number right?"))?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str, index: usize| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().nth(index)?.parse().ok()
    };
    if let Some(leader) = field("Tgid:", 0).filter(|leader| *leader != u64::from(pid)) {
        let hint = format!("resshim snapshot {leader}");
        return Err(refuse(&format!("is a thread of process {leader}"), &hint));
    }
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let name = name.trim_end().to_owned();
    if stat.state == 'Z' && stat.threads <= 1 {
        let parent = std::fs::read_to_string(format!("/proc/{}/comm", stat.parent));
        let parent = parent.map_or(String::new(), |name| format!(" ({})", name.trim_end()));
        let why = format!(
            "has ended and holds nothing: its parent {}{parent} has not waited for it",
            stat.parent
        );
        return Err(refuse(&why, &format!("resshim snapshot {}", stat.parent)));
    }
    if flags(pid) & KERNEL_THREAD != 0 {
        return Err(refuse(
            "is a thread of the kernel",
            "it holds nothing that a program could release",
        ));
    }
    let exe = std::fs::read_link(format!("/proc/{pid}/exe"));
    Ok(Identity {
        id: ProcessId { pid, start_ticks: stat.start_ticks },
        exe: exe.map_or(String::new(), |exe| exe.to_string_lossy().into_owned()),
        name,
        user: field("Uid:", 1).unwrap_or(0) as u32,
    })
}

/// The error of a process whose descriptors may not be read.
pub fn not_ours(process: &Identity) -> Error {
    let own = rustix::process::geteuid().as_raw();
    let (why, hint) = if process.user == own {
        (
            "may not be looked at: it is not dumpable, or has other rights",
            "run it as root".to_owned(),
        )
    } else {
        ("belongs to another user", format!("run it as root, or as user {}", process.user))
    };
    Error::input(Path::new(&format!("process {}", process.id.pid)), why, hint)
}

fn flags(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let Some((_, rest)) = text.rsplit_once(')') else { return 0 };
    rest.split_whitespace().nth(6).and_then(|flags| flags.parse().ok()).unwrap_or(0)
}

/// Children of a process (how many run, and which have ended without having been waited for), and how many
/// threads its user has. One walk over all processes.
pub fn relatives(pid: u32, user: u32) -> ((u64, Vec<u32>), u64) {
    use std::os::unix::fs::MetadataExt;
    let (mut running, mut ended, mut threads) = (0, Vec::new(), 0);
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(other) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Some(stat) = stat(other) else { continue };
        if entry.metadata().is_ok_and(|data| data.uid() == user) {
            threads += u64::from(stat.threads);
        }
        if stat.parent == pid {
            match stat.state {
                'Z' | 'X' => ended.push(other),
                _ => running += 1,
            }
        }
    }
    ended.sort_unstable();
    ((running, ended), threads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_looked_at_is_refused_with_its_reason() {
        let none = of(u32::MAX).unwrap_err().to_string();
        assert!(none.contains("there is none"), "{none}");
        let own = of(std::process::id()).expect("this process");
        assert!(own.exe.starts_with('/') && !own.name.is_empty());
        let tid = std::thread::spawn(|| rustix::thread::gettid().as_raw_nonzero().get() as u32)
            .join()
            .expect("a thread");
        let thread = std::thread::scope(|scope| {
            let (send, receive) = std::sync::mpsc::channel();
            let (done, wait) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || {
                let _ = send.send(rustix::thread::gettid().as_raw_nonzero().get() as u32);
                let _ = wait.recv();
            });
            let error = of(receive.recv().expect("a tid")).unwrap_err().to_string();
            let _ = done.send(());
            error
        });
        assert!(thread.contains("is a thread of process"), "{thread}");
        assert!(of(tid).is_err(), "it has ended");
        let mut child = std::process::Command::new("true").spawn().expect("a child");
        let start = std::time::Instant::now();
        let ended = loop {
            match of(child.id()) {
                Err(error) => break error.to_string(),
                Ok(_) => assert!(start.elapsed().as_secs() < 60, "it does not end"),
            }
        };
        assert!(ended.contains("has not waited for it"), "{ended}");
        child.wait().expect("reaped");
    }
}
