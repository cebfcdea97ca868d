//! The threads of a process, and what each waits in: `/proc/PID/task/*/{comm,stat,syscall,wchan}`.

/// A thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Kernel id.
    pub tid: u32,
    /// Name.
    pub name: String,
    /// `R`, `S`, `D`, …
    pub state: char,
    /// System call that it waits in; empty: it runs, or that may not be seen.
    pub waits_in: String,
    /// Descriptor that the call is about.
    pub descriptor: Option<u32>,
    /// Where in the kernel it waits, if that may be seen.
    pub channel: String,
    /// User and system time, clock ticks.
    pub cpu_ticks: u64,
}

/// System calls in which threads wait, and whether their first argument is a descriptor.
const WAITS: &[(i64, &str, bool)] = &[
    (libc::SYS_read, "read", true),
    (libc::SYS_write, "write", true),
    (libc::SYS_readv, "readv", true),
    (libc::SYS_writev, "writev", true),
    (libc::SYS_pread64, "pread", true),
    (libc::SYS_pwrite64, "pwrite", true),
    (libc::SYS_poll, "poll", false),
    (libc::SYS_ppoll, "ppoll", false),
    (libc::SYS_select, "select", false),
    (libc::SYS_pselect6, "pselect", false),
    (libc::SYS_epoll_wait, "epoll_wait", true),
    (libc::SYS_epoll_pwait, "epoll_wait", true),
    (libc::SYS_epoll_pwait2, "epoll_wait", true),
    (libc::SYS_accept, "accept", true),
    (libc::SYS_accept4, "accept", true),
    (libc::SYS_connect, "connect", true),
    (libc::SYS_recvfrom, "recv", true),
    (libc::SYS_recvmsg, "recvmsg", true),
    (libc::SYS_recvmmsg, "recvmmsg", true),
    (libc::SYS_sendto, "send", true),
    (libc::SYS_sendmsg, "sendmsg", true),
    (libc::SYS_sendfile, "sendfile", true),
    (libc::SYS_splice, "splice", true),
    (libc::SYS_flock, "flock", true),
    (libc::SYS_fcntl, "fcntl (a lock)", true),
    (libc::SYS_fsync, "fsync", true),
    (libc::SYS_fdatasync, "fdatasync", true),
    (libc::SYS_ioctl, "ioctl", true),
    (libc::SYS_io_uring_enter, "io_uring_enter", true),
    (libc::SYS_io_getevents, "io_getevents", false),
    (libc::SYS_futex, "futex (a lock, a condition, a join)", false),
    (449, "futex_waitv", false),
    (libc::SYS_wait4, "wait (for a child)", false),
    (libc::SYS_waitid, "waitid (for a child)", false),
    (libc::SYS_nanosleep, "sleep", false),
    (libc::SYS_clock_nanosleep, "sleep", false),
    (libc::SYS_pause, "pause", false),
    (libc::SYS_rt_sigtimedwait, "sigwait", false),
    (libc::SYS_rt_sigsuspend, "sigsuspend", false),
    (libc::SYS_restart_syscall, "sleep or poll (restarted)", false),
    (libc::SYS_msgrcv, "msgrcv", false),
    (libc::SYS_semop, "semop", false),
    (libc::SYS_semtimedop, "semop", false),
    (libc::SYS_open, "open", false),
    (libc::SYS_openat, "open", false),
    (libc::SYS_close, "close", true),
    (libc::SYS_exit, "exit", false),
    (libc::SYS_vfork, "vfork", false),
];

/// The threads of a process, by id.
pub fn of(pid: u32) -> Vec<Thread> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let tids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut threads: Vec<Thread> = tids.filter_map(|tid| thread(pid, tid)).collect();
    threads.sort_unstable_by_key(|thread| thread.tid);
    threads
}

fn thread(pid: u32, tid: u32) -> Option<Thread> {
    let read = |file: &str| {
        let bytes = std::fs::read(format!("/proc/{pid}/task/{tid}/{file}")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).trim_end().to_owned()
    };
    let stat = read("stat");
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    let (waits_in, descriptor) = call(&read("syscall"));
    let channel = read("wchan");
    Some(Thread {
        tid,
        name: read("comm"),
        state: fields.first()?.chars().next()?,
        waits_in,
        descriptor,
        channel: if channel == "0" { String::new() } else { channel },
        cpu_ticks: ticks(11).saturating_add(ticks(12)),
    })
}

/// `running`, or number, arguments, stack pointer and program counter (proc_pid_syscall(5)).
fn call(text: &str) -> (String, Option<u32>) {
    let mut fields = text.split_whitespace();
    let number = fields.next().and_then(|number| number.parse::<i64>().ok());
    let Some(number) = number else { return (String::new(), None) };
    let first =
        fields.next().and_then(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
    match WAITS.iter().find(|(known, _, _)| *known == number) {
        Some((_, name, is_fd)) => {
            let descriptor = first.filter(|_| *is_fd).and_then(|word| u32::try_from(word).ok());
            ((*name).to_owned(), descriptor)
        }
        // Blocked, but in no system call: a page fault.
        None if number < 0 => ("no system call (a page fault)".to_owned(), None),
        None => (format!("system call {number}"), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_named_with_their_descriptor() {
        assert_eq!(call("0 0x5 0x1 0x2 0x0 0x0 0x0 0x7ffc 0x7f00"), ("read".into(), Some(5)));
        assert_eq!(call("running"), (String::new(), None));
        assert_eq!(call("-1 0x7ffc 0x7f00").1, None);
        assert_eq!(call("9999 0x1").0, "system call 9999");
        assert_eq!(call(""), (String::new(), None));
    }

    #[test]
    fn a_thread_that_reads_from_a_pipe_is_seen_doing_so() {
        use std::io::{Read, Write};
        let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
        let number = std::os::fd::AsRawFd::as_raw_fd(&reader) as u32;
        let worker = std::thread::Builder::new().name("reads pipe".into()).spawn(move || {
            let mut byte = [0];
            reader.read_exact(&mut byte)
        });
        let start = std::time::Instant::now();
        loop {
            let all = of(std::process::id());
            let found = all.iter().find(|thread| thread.name == "reads pipe");
            // It takes a moment until it has come there.
            if found.is_some_and(|t| t.waits_in == "read" && t.descriptor == Some(number)) {
                break;
            }
            assert!(start.elapsed().as_secs() < 60, "{found:?}");
            std::thread::yield_now();
        }
        writer.write_all(b"x").expect("written");
        worker.expect("a thread").join().expect("no panic").expect("read");
    }
}
