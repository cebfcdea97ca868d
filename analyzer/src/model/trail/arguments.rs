//! The arguments of a step, as the record has them, in the words of the manual pages.

use resshim_format::op::{Effect, Op};
use resshim_format::record::{FD_CLOEXEC, FD_NONBLOCK, FD_STREAM, FD_WRITE_END, FdArgs, FdHandle};

use super::{Step, What};
use crate::model::errno;
use crate::model::process::Ending;

/// Name and value.
pub type Argument = (&'static str, String);

/// The arguments of a step, without its label.
pub fn of(step: &Step) -> Vec<Argument> {
    match step.what {
        What::Op(op) => of_call(op, step),
        What::Failed { op, errno, count } => {
            let mut all = vec![("errno", errno::name(errno))];
            if count > 1 {
                all.push(("so far", count.to_string()));
            }
            // Word 3 of a failed acquisition is what was asked for.
            if matches!(op.effect(), Effect::Acquire) && step.words[2] != 0 {
                all.extend(of_fd(op, FdArgs::unpack(step.words[2])));
            }
            all
        }
        _ => Vec::new(),
    }
}

fn of_call(op: Op, step: &Step) -> Vec<Argument> {
    let [_, second, third, fourth] = step.words;
    let hex = |word: u64| format!("{word:#x}");
    match (op, op.effect()) {
        (Op::SetCloexec, _) => vec![("cloexec", (second != 0).to_string())],
        (Op::EpollCtl, _) => {
            let what = match second as u32 as i32 {
                libc::EPOLL_CTL_ADD => "add",
                libc::EPOLL_CTL_DEL => "del",
                _ => "mod",
            };
            vec![("op", what.into()), ("events", hex(second >> 32))]
        }
        (Op::Connect, _) if second != 0 => vec![("errno", errno::name(second as u16))],
        (Op::Listen, _) => vec![("backlog", (second as u32 as i32).to_string())],
        (Op::Shutdown, _) => vec![("how", how(second).into())],
        (Op::Fdopen | Op::Fdopendir, _) => vec![("stream", hex(second))],
        (Op::Malloc | Op::Calloc | Op::Realloc | Op::AlignedAlloc, _) => {
            let mut all = vec![("bytes", second.to_string())];
            let weight = f64::from_bits(third);
            if step.word_count > 2 && weight > 1.0 && weight.is_finite() {
                all.push(("stands for", format!("{weight:.0} blocks")));
            }
            all
        }
        (Op::Mmap, _) => mapped(second, third),
        (Op::Munmap, _) => vec![("bytes", second.to_string())],
        (Op::Mremap, _) => vec![("to", hex(third)), ("bytes", fourth.to_string())],
        (Op::PthreadCreate, _) => vec![("start", hex(third))],
        (Op::Wait, _) => vec![("status", Ending::from_wait(second as u32).text())],
        (Op::System, _) => vec![("status", Ending::from_wait(second as u32).text())],
        (Op::Exit, _) => vec![("status", (step.words[0] as u32 as i32).to_string())],
        (_, Effect::Acquire | Effect::Alias) if op.class() == resshim_format::op::Class::Fd => {
            of_fd(op, FdArgs::unpack(second))
        }
        (_, Effect::Release) if op.class() == resshim_format::op::Class::Fd && second != 0 => {
            vec![("stream", hex(second))]
        }
        _ => Vec::new(),
    }
}

/// Names of what a descriptor came from: its listener, the other end.
pub fn other(op: Op) -> &'static str {
    match op {
        Op::Accept => "listener",
        Op::Pipe | Op::Socketpair => "other end",
        Op::EpollCtl => "with",
        _ => "of",
    }
}

/// The second descriptor of a step that is none of the same resource.
pub fn is_alias(step: &Step) -> bool {
    matches!(step.what, What::Op(op) if op.effect() == Effect::Alias)
}

/// Whether a descriptor's number is none.
pub fn is_no_fd(handle: FdHandle) -> bool {
    handle.number == u32::MAX
}

fn of_fd(op: Op, args: FdArgs) -> Vec<Argument> {
    let mut all = Vec::new();
    match op {
        Op::Open | Op::Fopen | Op::Freopen | Op::Tmpfile | Op::Mkstemp => {
            all.push(("flags", open_flags(args.flags)));
            if args.flags as i32 & libc::O_CREAT != 0 {
                all.push(("mode", format!("{:04o}", args.mode)));
            }
        }
        Op::Socket | Op::Socketpair => {
            all.push(("domain", domain(args.flags >> 16)));
            all.push(("type", socket_type(args.flags & 0xf)));
            if args.mode != 0 {
                all.push(("protocol", args.mode.to_string()));
            }
        }
        _ => {}
    }
    let bits = [
        (FD_CLOEXEC, "cloexec"),
        (FD_NONBLOCK, "nonblock"),
        (FD_WRITE_END, "write end"),
        (FD_STREAM, "stream"),
    ];
    let is_open = matches!(op, Op::Open | Op::Fopen | Op::Freopen | Op::Tmpfile | Op::Mkstemp);
    let set: Vec<&str> = bits
        .iter()
        .filter(|(bit, _)| args.bits & bit != 0)
        // The flags of an open have said it.
        .filter(|(bit, _)| !is_open || !matches!(*bit, FD_CLOEXEC | FD_NONBLOCK))
        .map(|(_, name)| *name)
        .collect();
    if !set.is_empty() {
        all.push(("is", set.join("|")));
    }
    all
}

/// `O_WRONLY|O_CREAT|O_CLOEXEC`.
fn open_flags(flags: u32) -> String {
    let flags = flags as i32;
    let mut names = vec![match flags & libc::O_ACCMODE {
        libc::O_RDONLY => "O_RDONLY",
        libc::O_WRONLY => "O_WRONLY",
        _ => "O_RDWR",
    }];
    // Those that hold the bits of another one come before it.
    const NAMES: &[(i32, &str)] = &[
        (libc::O_TMPFILE, "O_TMPFILE"),
        (libc::O_SYNC, "O_SYNC"),
        (libc::O_CREAT, "O_CREAT"),
        (libc::O_EXCL, "O_EXCL"),
        (libc::O_NOCTTY, "O_NOCTTY"),
        (libc::O_TRUNC, "O_TRUNC"),
        (libc::O_APPEND, "O_APPEND"),
        (libc::O_NONBLOCK, "O_NONBLOCK"),
        (libc::O_DSYNC, "O_DSYNC"),
        (libc::O_ASYNC, "O_ASYNC"),
        (libc::O_DIRECT, "O_DIRECT"),
        (libc::O_DIRECTORY, "O_DIRECTORY"),
        (libc::O_NOFOLLOW, "O_NOFOLLOW"),
        (libc::O_NOATIME, "O_NOATIME"),
        (libc::O_CLOEXEC, "O_CLOEXEC"),
        (libc::O_PATH, "O_PATH"),
    ];
    let mut rest = flags & !libc::O_ACCMODE;
    for (bits, name) in NAMES {
        if rest & bits == *bits {
            names.push(name);
            rest &= !bits;
        }
    }
    let mut text = names.join("|");
    // The kernel's own O_LARGEFILE is set by nobody on purpose.
    rest &= !0o100_000;
    if rest != 0 {
        text += &format!("|{rest:#x}");
    }
    text
}

fn domain(number: u32) -> String {
    match number as i32 {
        libc::AF_UNIX => "AF_UNIX".into(),
        libc::AF_INET => "AF_INET".into(),
        libc::AF_INET6 => "AF_INET6".into(),
        libc::AF_NETLINK => "AF_NETLINK".into(),
        libc::AF_PACKET => "AF_PACKET".into(),
        other => other.to_string(),
    }
}

fn socket_type(number: u32) -> String {
    match number as i32 {
        libc::SOCK_STREAM => "SOCK_STREAM".into(),
        libc::SOCK_DGRAM => "SOCK_DGRAM".into(),
        libc::SOCK_RAW => "SOCK_RAW".into(),
        libc::SOCK_SEQPACKET => "SOCK_SEQPACKET".into(),
        other => other.to_string(),
    }
}

fn how(word: u64) -> &'static str {
    match word as i32 {
        libc::SHUT_RD => "SHUT_RD",
        libc::SHUT_WR => "SHUT_WR",
        _ => "SHUT_RDWR",
    }
}

fn mapped(length: u64, args: u64) -> Vec<Argument> {
    let (protection, flags, fd) = (args as i32 & 0xff, (args >> 8) as i32 & 0xff_ffff, args >> 32);
    let one = |bit: i32, letter: char| if protection & bit != 0 { letter } else { '-' };
    let letters = [
        one(libc::PROT_READ, 'r'),
        one(libc::PROT_WRITE, 'w'),
        one(libc::PROT_EXEC, 'x'),
        if flags & libc::MAP_TYPE == libc::MAP_PRIVATE { 'p' } else { 's' },
    ];
    let mut all = vec![("bytes", length.to_string()), ("is", letters.iter().collect())];
    match flags & libc::MAP_ANONYMOUS {
        0 => all.push(("fd", (fd as u32).to_string())),
        _ => all.push(("anonymous", "true".into())),
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_the_names_of_the_manual() {
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_CLOEXEC;
        assert_eq!(open_flags(flags as u32), "O_WRONLY|O_CREAT|O_CLOEXEC");
        assert_eq!(open_flags(0), "O_RDONLY");
        let temporary = libc::O_RDWR | libc::O_TMPFILE;
        assert_eq!(open_flags(temporary as u32), "O_RDWR|O_TMPFILE", "and no O_DIRECTORY");
        assert_eq!(open_flags(0x4000_0000), "O_RDONLY|0x40000000");
    }

    #[test]
    fn a_mapping_says_what_may_be_done_with_it() {
        let args = (libc::PROT_READ | libc::PROT_WRITE) as u64
            | ((libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64) << 8;
        let all = mapped(4096, args);
        assert_eq!(all[1], ("is", "rw-p".to_owned()));
        assert_eq!(all[2].0, "anonymous");
    }
}
