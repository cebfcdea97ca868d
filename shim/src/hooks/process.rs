//! Processes: fork, exec, spawn, wait, and how an image ends.
#![allow(unsafe_code, reason = "hooks")]

use crate::emit::{self, Inside};
use crate::stack::here;
use crate::state::{children, failures, uses};
use crate::table::hooks;
use crate::{caller, real as originals, start, tls};
use core::ffi::{c_char, c_int, c_void};
use core::sync::atomic::Ordering;
use libc::{id_t, idtype_t, pid_t, rusage, siginfo_t};
use resshim_format::header::End;
use resshim_format::op::{Kind, Op};

type Strings = *const *const c_char;
type SpawnActions = *const libc::posix_spawn_file_actions_t;
type SpawnAttributes = *const libc::posix_spawnattr_t;

hooks! {
    fn fork() -> pid_t; libc;
        before(inside) children::forking(inside);
        skip(pid) pid == 0;
        after(inside, pid, sequence) forked(&inside, Op::Fork, pid, sequence);
    fn _Fork() -> pid_t; own;
        before(inside) children::forking(inside);
        skip(pid) pid == 0;
        after(inside, pid, sequence) forked(&inside, Op::Fork, pid, sequence);
    fn posix_spawn(pid: *mut pid_t, path: *const c_char, actions: SpawnActions, attributes: SpawnAttributes, argv: *const *mut c_char, envp: *const *mut c_char) -> c_int; libc;
        before(inside) children::forking(inside);
        after(inside, error, sequence) spawned(&inside, pid, sequence, error);
    fn posix_spawnp(pid: *mut pid_t, path: *const c_char, actions: SpawnActions, attributes: SpawnAttributes, argv: *const *mut c_char, envp: *const *mut c_char) -> c_int; libc;
        before(inside) children::forking(inside);
        after(inside, error, sequence) spawned(&inside, pid, sequence, error);
    fn system(command: *const c_char) -> c_int; libc;
        after(inside, status) inside.write(Op::System, inside.stack(start::settings().stack_depth), &[0, status as u32 as u64], &[]);
    fn wait(status: *mut c_int) -> pid_t; libc live;
        after(inside, pid) waited(&inside, pid, status, 0);
    fn waitpid(which: pid_t, status: *mut c_int, options: c_int) -> pid_t; libc live;
        after(inside, pid) waited(&inside, pid, status, options);
    fn wait3(status: *mut c_int, options: c_int, usage: *mut rusage) -> pid_t; own live;
        after(inside, pid) waited(&inside, pid, status, options);
    fn wait4(which: pid_t, status: *mut c_int, options: c_int, usage: *mut rusage) -> pid_t; libc live;
        after(inside, pid) waited(&inside, pid, status, options);
    fn waitid(kind: idtype_t, id: id_t, info: *mut siginfo_t, options: c_int) -> c_int; libc live;
        after(inside, result) waited_id(&inside, result, info, options);
    fn execve(path: *const c_char, argv: Strings, envp: Strings) -> c_int; libc live;
        before(inside) executing(inside);
        after(inside, result, _before) exec_failed(&inside, result, path);
    fn execv(path: *const c_char, argv: Strings) -> c_int; libc live;
        before(inside) executing(inside);
        after(inside, result, _before) exec_failed(&inside, result, path);
    fn execvp(path: *const c_char, argv: Strings) -> c_int; libc live;
        before(inside) executing(inside);
        after(inside, result, _before) exec_failed(&inside, result, path);
    fn execvpe(path: *const c_char, argv: Strings, envp: Strings) -> c_int; libc live;
        before(inside) executing(inside);
        after(inside, result, _before) exec_failed(&inside, result, path);
    fn fexecve(fd: c_int, argv: Strings, envp: Strings) -> c_int; libc live;
        before(inside) executing(inside);
        after(inside, result, _before) exec_failed(&inside, result, core::ptr::null());
    fn execveat(directory: c_int, path: *const c_char, argv: Strings, envp: Strings, flags: c_int) -> c_int; own live;
        before(inside) executing(inside);
        after(inside, result, _before) exec_failed(&inside, result, path);
    fn daemon(no_chdir: c_int, no_close: c_int) -> c_int; libc;
        before(inside) daemonizing(inside);
        after(inside, result, sequence) daemonized(&inside, result, sequence);
    by_hand: vfork, execl, execlp, execle, _exit, _Exit, quick_exit, abort;
}

/// In the parent alone: the child has nothing to tell yet, and entering would make its region.
fn forked(inside: &Inside, op: Op, pid: pid_t, sequence: Option<u32>) {
    children::forked(inside, op, pid, sequence.unwrap_or(0));
}

/// # Safety
/// `pid` is null or was written by a spawn that gave `error`.
unsafe fn spawned(inside: &Inside, pid: *mut pid_t, sequence: Option<u32>, error: c_int) {
    if error != 0 {
        failures::failed_with(inside, error, Op::PosixSpawn, Kind::Process, [0, 0], &[]);
        return;
    }
    // SAFETY: by the caller's promise.
    let pid = if pid.is_null() { 0 } else { unsafe { *pid } };
    children::forked(inside, Op::PosixSpawn, pid, sequence.unwrap_or(0));
}

/// After a wait that names a status word.
///
/// # Safety
/// `status` is null or was written by a wait that returned `pid`.
pub unsafe fn waited(inside: &Inside, pid: pid_t, status: *mut c_int, options: c_int) {
    if pid <= 0 {
        return;
    }
    // SAFETY: by the caller's promise.
    let status = if status.is_null() { 0 } else { unsafe { *status } };
    // A stopped or continued child is still there (wait(2)).
    let ended = libc::WIFEXITED(status) || libc::WIFSIGNALED(status);
    if ended && options & libc::WNOWAIT == 0 {
        children::reaped(inside, pid, status as u32);
    }
}

/// # Safety
/// `info` is null or was written by a waitid that returned `result`.
unsafe fn waited_id(inside: &Inside, result: c_int, info: *mut siginfo_t, options: c_int) {
    if result != 0 || info.is_null() || options & libc::WNOWAIT != 0 {
        return;
    }
    // SAFETY: by the caller's promise.
    let (pid, code, status) = unsafe { ((*info).si_pid(), (*info).si_code, (*info).si_status()) };
    let status = match code {
        libc::CLD_EXITED => (status & 0xff) << 8,
        libc::CLD_KILLED => status & 0x7f,
        libc::CLD_DUMPED => status & 0x7f | 0x80,
        _ => return,
    };
    children::reaped(inside, pid, status as u32);
}

/// Before an exec: nothing of this image runs after it, if it succeeds. The path is not read: the
/// kernel has not accepted it yet; the new image names itself.
pub fn executing(inside: &Inside) {
    let stack = inside.stack(start::settings().stack_depth);
    inside.write(Op::Exec, stack, &[0], &[]);
    let header = inside.region.header();
    header.end_tsc.store(inside.now, Ordering::Relaxed);
    header.end_monotonic_ns.store(crate::sys::monotonic_ns(), Ordering::Relaxed);
    header.end.store(End::Exec as u32, Ordering::Release);
}

/// After an exec that came back.
///
/// # Safety
/// `path` is null or was given to an exec that returned `result`.
pub unsafe fn exec_failed(inside: &Inside, result: c_int, path: *const c_char) {
    inside.region.header().end.store(End::Running as u32, Ordering::Release);
    // SAFETY: by the caller's promise.
    let path = unsafe { caller::path(path, result as isize, inside.errno) };
    failures::failed(inside, Op::Exec, Kind::Process, [0, 0], path);
}

/// `daemon` forks and ends the parent inside libc.
fn daemonizing(inside: &Inside) -> u32 {
    let sequence = children::forking(inside);
    inside.write(
        Op::Daemon,
        inside.stack(start::settings().stack_depth),
        &[0, sequence as u64],
        &[],
    );
    let header = inside.region.header();
    header.end_tsc.store(inside.now, Ordering::Relaxed);
    header.end_monotonic_ns.store(crate::sys::monotonic_ns(), Ordering::Relaxed);
    header.end.store(End::QuickExited as u32, Ordering::Release);
    sequence
}

fn daemonized(inside: &Inside, result: c_int, sequence: Option<u32>) {
    if result != 0 && inside.region.header().parent_fork != sequence.unwrap_or(0) {
        // Still the process that called.
        inside.region.header().end.store(End::Running as u32, Ordering::Release);
        failures::failed(inside, Op::Daemon, Kind::Process, [0, 0], &[]);
    }
}

macro_rules! ends {
    ($($name:ident($end:ident);)*) => { $(
        /// A way to end at once; the end is told first.
        ///
        /// # Safety
        /// That of the real function.
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $name(status: c_int) -> ! {
            end(End::$end, status);
            // SAFETY: the real function with its own prototype.
            unsafe {
                let real: unsafe extern "C-unwind" fn(c_int) -> ! =
                    core::mem::transmute(real::$name.get());
                real(status)
            }
        }
    )* };
}
ends! { _exit(QuickExited); _Exit(QuickExited); quick_exit(QuickExited); }

/// Hook of `abort`.
///
/// # Safety
/// That of the real function.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn abort() -> ! {
    end(End::Aborted, libc::SIGABRT);
    // SAFETY: the real function with its own prototype.
    unsafe {
        let real: unsafe extern "C-unwind" fn() -> ! = core::mem::transmute(real::abort.get());
        real()
    }
}

fn end(end: End, status: c_int) {
    // SAFETY: this thread's own block.
    if unsafe { (*tls::block()).in_vfork } == 0 {
        start::finish(end, status as u32);
    }
}

// vfork returns twice from one stack frame: a function that keeps its return address on the stack
// would find its child's there. It stays in a register across the system call, as in glibc's own.
/// Hook of `vfork`.
///
/// # Safety
/// That of the real function; the real one is not called, its system call is made here.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vfork() -> pid_t {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "sub rsp, 8",
        ".cfi_adjust_cfa_offset 8",
        "call {before}",
        "add rsp, 8",
        ".cfi_adjust_cfa_offset -8",
        "pop rdi",
        ".cfi_adjust_cfa_offset -8",
        // 16 is the return address, 5 is rdi (System V ABI, figure 3.36).
        ".cfi_register 16, 5",
        "mov eax, 58",
        "syscall",
        "push rdi",
        ".cfi_adjust_cfa_offset 8",
        ".cfi_rel_offset 16, 0",
        "mov rdi, rax",
        "sub rsp, 8",
        ".cfi_adjust_cfa_offset 8",
        "call {after}",
        "add rsp, 8",
        ".cfi_adjust_cfa_offset -8",
        "ret",
        ".cfi_endproc",
        before = sym vfork_before,
        after = sym vfork_after,
    )
}

extern "C" fn vfork_before() {
    uses::pause();
    if let Some(inside) = emit::enter(here()) {
        children::forking(&inside);
        inside.leave();
    }
}

extern "C" fn vfork_after(result: isize) -> pid_t {
    let block = tls::block();
    if result == 0 {
        // SAFETY: the child shares its parent's block, which the parent does not use until the child
        // has gone; nothing that the child does is the parent's doing.
        unsafe { (*block).in_vfork = 1 };
        return 0;
    }
    // SAFETY: as above; the parent runs again.
    unsafe { (*block).in_vfork = 0 };
    uses::resume();
    let pid = if result < 0 {
        originals::set_errno(-result as c_int);
        -1
    } else {
        result as pid_t
    };
    if let Some(inside) = emit::enter(here()) {
        inside.region.header().vforks.fetch_add(1, Ordering::Relaxed);
        let sequence = inside.region.header().fork_sequence.load(Ordering::Relaxed);
        children::forked(&inside, Op::Vfork, pid, sequence);
        inside.leave();
    }
    pid
}

// execl and its like have arguments without end: the caller's registers are kept, the hook's part is
// called, and the real function finds the stack as the caller left it.
macro_rules! exec_list {
    ($($name:ident)*) => { $(
        /// Hook of an exec whose arguments are a list.
        ///
        /// # Safety
        /// That of the real function, which finds registers and stack as the caller left them.
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                ".cfi_startproc",
                "push rdi", "push rsi", "push rdx", "push rcx", "push r8", "push r9", "push rax",
                ".cfi_adjust_cfa_offset 56",
                "lea rdi, [rip + {slot}]",
                "call {before}",
                "mov r11, rax",
                "pop rax", "pop r9", "pop r8", "pop rcx", "pop rdx", "pop rsi", "pop rdi",
                ".cfi_adjust_cfa_offset -56",
                "jmp r11",
                ".cfi_endproc",
                slot = sym real::$name,
                before = sym exec_before,
            )
        }
    )* };
}
exec_list! { execl execlp execle }

extern "C" fn exec_before(real: &'static originals::Real) -> *const c_void {
    if let Some(inside) = emit::enter_live(here()) {
        executing(&inside);
        inside.leave();
    }
    real.get()
}
