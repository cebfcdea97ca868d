//! What the hooks tell: each one its operation, with what the call was about.

use resshim_format::op::{Effect, Op};
use resshim_format::record::FdHandle;
use resshim_tests::launch::Launch;
use resshim_tests::scratch::Scratch;
use resshim_tests::trace::Traces;
use resshim_tests::{hook_table, parallel, program};

/// The operation that stands for a symbol, where it is not the one of its own name.
fn op_of(symbol: &str) -> Option<Op> {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| symbol.starts_with(prefix));
    Some(match symbol {
        // Tells no event of its own: what the library does is told by the calls that it makes.
        "dlclose" => return None,
        // `creat` is `open` with these flags.
        "creat" | "creat64" => Op::Open,
        "closefrom" => Op::CloseRange,
        "dup3" => Op::Dup2,
        "fcntl" | "fcntl64" => Op::FcntlDup,
        "ioctl" => Op::SetCloexec,
        "syscall" => Op::Open,
        "_Fork" => Op::Fork,
        "posix_openpt" | "getpt" | "forkpty" => Op::Openpty,
        "epoll_pwait" | "epoll_pwait2" => Op::EpollWait,
        "splice" | "copy_file_range" => Op::Sendfile,
        "recvmmsg" => Op::Received,
        "recvmsg" => Op::Received,
        "sendmmsg" | "sendmsg" => Op::Sent,
        _ if starts(&["read", "pread", "__read_chk", "__pread"]) => Op::Read,
        _ if starts(&["write", "pwrite"]) => Op::Write,
        _ if starts(&["recv", "__recv"]) => Op::Recv,
        _ if starts(&["send"]) && !symbol.starts_with("sendfile") => Op::Send,
        _ if starts(&["poll", "ppoll", "__poll", "__ppoll", "select", "pselect"]) => Op::Poll,
        "thrd_create" => Op::PthreadCreate,
        "thrd_join" => Op::PthreadJoin,
        "thrd_detach" => Op::PthreadDetach,
        "reallocarray" => Op::Realloc,
        "posix_memalign" | "memalign" | "valloc" | "pvalloc" => Op::AlignedAlloc,
        "_exit" | "_Exit" | "quick_exit" | "exit" => Op::Exit,
        "chroot" | "unshare" | "setns" | "initgroups" | "prctl" => Op::Privilege,
        "fexecve" => Op::Exec,
        _ if starts(&["open64", "openat", "__open"]) => Op::Open,
        _ if starts(&["mkstemp", "mkostemp"]) => Op::Mkstemp,
        _ if starts(&["exec"]) => Op::Exec,
        _ if starts(&["wait"]) => Op::Wait,
        _ if symbol.starts_with("pthread_") && symbol.contains("join") => Op::PthreadJoin,
        _ if symbol.starts_with("set") => Op::Privilege,
        _ => {
            let stems = [symbol, symbol.trim_end_matches("64"), &symbol[..symbol.len() - 1]];
            let found = stems.iter().find_map(|stem| Op::ALL.iter().find(|op| op.name() == *stem));
            return Some(*found.unwrap_or_else(|| panic!("no operation stands for {symbol}")));
        }
    })
}

fn traced(name: &str) -> Traces {
    traced_program(&program::named(name), "default")
}

fn traced_program(program: &program::Program, profile: &str) -> Traces {
    let directory = Scratch::new(&program.name);
    let out = Scratch::for_regions(&program.name);
    let launch = Launch::of(program).directory(directory.path()).env("RESSHIM_PROFILE", profile);
    launch.preloaded(out.path()).run();
    Traces::of(out.path())
}

#[test]
fn every_hook_tells_its_operation() {
    let hooks = hook_table::symbols();
    parallel::each(&program::sources(""), |source| {
        let program = program::compiled(source)?;
        if !hooks.contains(&program.name) {
            return Ok(());
        }
        let Some(op) = op_of(&program.name) else { return Ok(()) };
        let traces = traced_program(&program, "full");
        // Uses are told only where they fail for want of a descriptor.
        let is_use = op.effect() == Effect::Use;
        let told = traces.events().any(|event| event.op == op && event.errno.is_some() == is_use);
        if told {
            return Ok(());
        }
        let mut seen: Vec<&str> = traces.events().map(|event| event.op.name()).collect();
        seen.dedup();
        Err(format!("{}: no event `{}` among {}", program.name, op.name(), seen.join(" ")))
    });
}

#[test]
fn failed_calls_are_told_with_their_errno() {
    let failed = |program: &str, op: Op| -> Vec<i32> {
        let traces = traced(program);
        let events = traces.events().filter(|event| event.op == op);
        events.filter_map(|event| event.errno.map(i32::from)).collect()
    };
    let open = failed("open", Op::Open);
    for errno in [libc_errno::EEXIST, libc_errno::ENOENT, libc_errno::EFAULT, libc_errno::EMFILE] {
        assert!(open.contains(&errno), "errno {errno} of open is not told: {open:?}");
    }
    assert!(failed("socket", Op::Socket).contains(&libc_errno::EMFILE));
    assert!(failed("accept", Op::Accept).contains(&libc_errno::EMFILE));
    assert!(failed("connect", Op::Connect).contains(&libc_errno::ECONNREFUSED));
    assert!(failed("fork", Op::Fork).contains(&libc_errno::EAGAIN));
    assert!(failed("close", Op::Close).contains(&libc_errno::EBADF));
}

/// Numbers of Linux on x86_64 and aarch64.
mod libc_errno {
    pub const ENOENT: i32 = 2;
    pub const EBADF: i32 = 9;
    pub const EAGAIN: i32 = 11;
    pub const EFAULT: i32 = 14;
    pub const EEXIST: i32 = 17;
    pub const EMFILE: i32 = 24;
    pub const ECONNREFUSED: i32 = 111;
}

#[test]
fn generations_tell_the_lifetimes_of_a_number_apart() {
    let traces = traced("behaviours/double_close");
    let generations = |op: Op| -> Vec<u32> {
        let events = traces.events().filter(|event| event.op == op && event.errno.is_none());
        let handles = events.map(|event| FdHandle::unpack(event.words[0]));
        handles.filter(|handle| handle.number == 3).map(|handle| handle.generation).collect()
    };
    let opened = generations(Op::Open);
    assert_eq!(opened.len(), 3, "three lifetimes of descriptor 3");
    assert!(
        opened.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "one after the other: {opened:?}"
    );
    assert_eq!(generations(Op::Close), opened);
    let labels: Vec<_> = traces.events().filter_map(|event| event.label.as_deref()).collect();
    assert!(labels.contains(&"/dev/null") && labels.contains(&"/dev/zero"), "{labels:?}");
}

#[test]
fn nothing_is_lost_or_unseen_in_small_programs() {
    for name in ["open", "pipe", "behaviours/double_close", "behaviours/exec_chain"] {
        for image in traced(name).images {
            let header = &image.region.header;
            let lost = header.lost_acquisitions + header.lost_releases + header.lost_other;
            assert_eq!((lost, header.untracked, header.overwritten_chunks), (0, 0, 0), "{name}");
        }
    }
}

#[test]
fn images_of_an_exec_chain_are_linked_and_know_what_they_inherited() {
    let traces = traced("behaviours/exec_chain");
    let pids: Vec<u32> = traces.images.iter().map(|image| image.region.header.pid).collect();
    assert_eq!(pids.len(), 5);
    assert!(pids.iter().all(|pid| *pid == pids[0]), "one process: {pids:?}");
    let inherited = |image: usize| {
        let live = traces.images[image].region.fds();
        let numbers = live.filter(|fd| fd.op == Some(Op::Inherited)).map(|fd| fd.number);
        numbers.filter(|number| (3..10).contains(number)).collect::<Vec<u32>>()
    };
    // Higher ones may come from whoever runs the tests. Each image opens one that stays and one that exec closes; the third closes number 3.
    assert_eq!(inherited(0), Vec::<u32>::new());
    assert_eq!(inherited(1), [3]);
    assert_eq!(inherited(2), [4]);
    assert_eq!(inherited(3).len(), 2);
}
