//! `syscall`: programs that go round libc's functions by number (libuv closes with
//! `syscall(SYS_close)`), and `dlclose`, after which addresses mean something else.
#![allow(unsafe_code, reason = "hooks")]

use super::uses::CLOCK;
use super::{fd, privilege, process, socket};
use crate::emit::{self, Inside};
use crate::managed;
use crate::private::{PRIVATE, Private};
use crate::real::Real;
use crate::stack::{self, here};
use crate::state::fds::{self, Acquired};
use crate::table::hooks;
use core::ffi::{c_int, c_long, c_uint, c_void};
use core::mem::offset_of;
use resshim_format::op::{Kind, Op};
use resshim_format::record::FdHandle;
use resshim_format::table::FdRow;

hooks! {
    by_hand: syscall, dlclose;
}

/// What is done with each number: 0 = nothing, 1 = it goes to [`tracked`], 2 = its first argument is a
/// descriptor that is used (whether that succeeds is not waited for).
static WAYS: [u8; 512] = {
    let mut ways = [0; 512];
    let tracked = [
        libc::SYS_open,
        libc::SYS_openat,
        libc::SYS_creat,
        libc::SYS_close,
        libc::SYS_close_range,
        libc::SYS_dup,
        libc::SYS_dup2,
        libc::SYS_dup3,
        libc::SYS_fcntl,
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_connect,
        libc::SYS_accept,
        libc::SYS_accept4,
        libc::SYS_shutdown,
        libc::SYS_pipe,
        libc::SYS_pipe2,
        libc::SYS_epoll_create,
        libc::SYS_epoll_create1,
        libc::SYS_eventfd,
        libc::SYS_eventfd2,
        libc::SYS_timerfd_create,
        libc::SYS_signalfd,
        libc::SYS_signalfd4,
        libc::SYS_inotify_init,
        libc::SYS_inotify_init1,
        libc::SYS_memfd_create,
        libc::SYS_pidfd_open,
        libc::SYS_wait4,
        libc::SYS_execve,
        libc::SYS_seccomp,
        libc::SYS_prctl,
        libc::SYS_io_uring_setup,
    ];
    let uses = [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_pread64,
        libc::SYS_pwrite64,
        libc::SYS_readv,
        libc::SYS_writev,
        libc::SYS_preadv,
        libc::SYS_pwritev,
        libc::SYS_preadv2,
        libc::SYS_pwritev2,
        libc::SYS_recvfrom,
        libc::SYS_sendto,
        libc::SYS_recvmsg,
        libc::SYS_sendmsg,
        libc::SYS_recvmmsg,
        libc::SYS_sendmmsg,
        libc::SYS_epoll_wait,
        libc::SYS_epoll_pwait,
        libc::SYS_epoll_pwait2,
        libc::SYS_sendfile,
        libc::SYS_splice,
        libc::SYS_copy_file_range,
    ];
    let mut index = 0;
    while index < tracked.len() {
        ways[tracked[index] as usize] = 1;
        index += 1;
    }
    index = 0;
    while index < uses.len() {
        ways[uses[index] as usize] = 2;
        index += 1;
    }
    ways
};

/// Hook of `syscall`. Tracked numbers are called from an ordinary function; all others (`clone`,
/// `vfork` and `exit` among them, which must not find a frame of ours) jump to the real one.
///
/// # Safety
/// That of the real function.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn syscall(number: c_long) -> c_long {
    // The seventh argument is on the stack. It is copied: a callee owns its argument area and may
    // overwrite it, and a caller that passed fewer has other things there.
    core::arch::naked_asm!(
        ".cfi_startproc",
        "cmp rdi, 512",
        "jae 2f",
        "lea r11, [rip + {ways}]",
        "cmp byte ptr [r11 + rdi], 1",
        "je 3f",
        "ja 5f",
        "2:",
        "mov r11, qword ptr [rip + {slot}]",
        "test r11, r11",
        "jz 4f",
        "jmp r11",
        "3:",
        "push qword ptr [rsp + 8]",
        ".cfi_adjust_cfa_offset 8",
        "call {tracked}",
        "add rsp, 8",
        ".cfi_adjust_cfa_offset -8",
        "ret",
        "4:",
        "push rdi", "push rsi", "push rdx", "push rcx", "push r8", "push r9", "push rax",
        ".cfi_adjust_cfa_offset 56",
        "lea rdi, [rip + {slot}]",
        "call {resolve}",
        "mov r11, rax",
        "pop rax", "pop r9", "pop r8", "pop rcx", "pop rdx", "pop rsi", "pop rdi",
        ".cfi_adjust_cfa_offset -56",
        "jmp r11",
        "5:",
        "cmp esi, dword ptr [rip + {private} + {end}]",
        "jae 2b",
        "mov r11, qword ptr [rip + {private} + {rows}]",
        "mov eax, esi",
        "shl eax, {shift}",
        "mov r10, qword ptr [r11 + {clock}]",
        "cmp qword ptr [r11 + rax + {last_use}], r10",
        "je 2b",
        "mov qword ptr [r11 + rax + {last_use}], r10",
        "jmp 2b",
        ".cfi_endproc",
        ways = sym WAYS,
        private = sym PRIVATE,
        end = const offset_of!(Private, use_end),
        rows = const offset_of!(Private, use_rows),
        shift = const size_of::<FdRow>().trailing_zeros(),
        clock = const CLOCK,
        last_use = const offset_of!(FdRow, last_use),
        slot = sym real::syscall,
        tracked = sym tracked,
        resolve = sym resolve,
    )
}

extern "C" fn resolve(real: &'static Real) -> *const c_void {
    real.get()
}

/// Calls that are not worth making a region, as in the tables of the other files.
fn is_live(number: c_long) -> bool {
    matches!(number, libc::SYS_close | libc::SYS_close_range | libc::SYS_wait4 | libc::SYS_execve)
}

/// What a release by number has decided before the call.
enum Before {
    Nothing,
    Closing(FdHandle),
    Replacing(Option<FdHandle>),
    Executing,
}

unsafe extern "C-unwind" fn tracked(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    let at = here();
    // SECCOMP_SET_MODE_STRICT and SECCOMP_SET_MODE_FILTER are 0 and 1 (seccomp(2)).
    let filter = number == libc::SYS_seccomp && a <= 1
        || number == libc::SYS_prctl && a as c_int == libc::PR_SET_SECCOMP;
    let is_strict = match number {
        libc::SYS_prctl => {
            let is_forbidding = b == libc::PR_TSC_SIGSEGV as usize;
            a as c_int == libc::PR_SET_TSC && is_forbidding
                || filter && b == libc::SECCOMP_MODE_STRICT as usize
        }
        _ => filter && a == 0,
    };
    if is_strict {
        privilege::forbid_counter(at);
    }
    if filter {
        privilege::sealing(at);
    }
    let enter = if is_live(number) { emit::enter_live } else { emit::enter };
    let before = enter(at).map_or(Before::Nothing, |inside| {
        let before = match number {
            libc::SYS_close => Before::Closing(fds::closing(&inside, a as c_int)),
            libc::SYS_dup2 | libc::SYS_dup3 => {
                Before::Replacing(fd::replacing(&inside, a as c_int, b as c_int))
            }
            libc::SYS_execve => {
                process::executing(&inside);
                Before::Executing
            }
            _ => Before::Nothing,
        };
        inside.leave();
        before
    });
    // SAFETY: the real function with its own, variadic, prototype and the caller's arguments.
    let result = unsafe {
        let real: unsafe extern "C-unwind" fn(c_long, ...) -> c_long =
            core::mem::transmute(real::syscall.get());
        real(number, a, b, c, d, e, f)
    };
    if filter {
        privilege::sealed(at, result as c_int);
    }
    if let Some(inside) = enter(at) {
        // SAFETY: the kernel has seen the arguments.
        unsafe { after(&inside, number, [a, b, c, d], result, before) };
        inside.leave();
    }
    result
}

/// # Safety
/// The system call was made with these arguments and gave `result`.
unsafe fn after(inside: &Inside, number: c_long, args: [usize; 4], result: c_long, before: Before) {
    let [a, b, c, d] = args;
    let fd = result as c_int;
    let (first, second, third) = (a as c_int, b as c_int, c as c_int);
    // SAFETY: by the caller's promise.
    unsafe {
        match number {
            libc::SYS_open => fd::opened(inside, a as _, second, c as c_uint, fd),
            libc::SYS_openat => fd::opened(inside, b as _, third, d as c_uint, fd),
            libc::SYS_creat => fd::opened(inside, a as _, fd::CREAT, b as c_uint, fd),
            libc::SYS_close => {
                if let Before::Closing(handle) = before {
                    fds::closed(inside, Op::Close, handle, fd);
                }
            }
            libc::SYS_close_range => {
                fd::closed_range(inside, a as c_uint, b as c_uint, third, fd);
            }
            libc::SYS_dup => fd::duplicated(inside, Op::Dup, first, fd, 0),
            libc::SYS_dup2 | libc::SYS_dup3 => {
                let flags = if number == libc::SYS_dup3 { third } else { 0 };
                if let Before::Replacing(replaced) = before {
                    fd::replaced_by(inside, first, fd, flags, Some(replaced));
                }
            }
            libc::SYS_fcntl => fd::controlled(inside, first, second, c, fd),
            libc::SYS_socket => {
                fds::result(inside, fd, &socket::socket_of(Op::Socket, first, second, third));
            }
            libc::SYS_socketpair => {
                let what = socket::socket_of(Op::Socketpair, first, second, third);
                socket::pair(inside, d as _, what, 0, fd);
            }
            libc::SYS_bind => socket::named(inside, Op::Bind, first, b as _, c as u32, fd),
            libc::SYS_connect => socket::named(inside, Op::Connect, first, b as _, c as u32, fd),
            libc::SYS_listen if fd == 0 => {
                fds::state(inside, Op::Listen, first, b as u32 as u64, &[]);
            }
            libc::SYS_shutdown if fd == 0 => {
                fds::state(inside, Op::Shutdown, first, b as u32 as u64, &[]);
            }
            libc::SYS_accept => socket::accepted(inside, first, b as _, c as _, 0, fd),
            libc::SYS_accept4 => socket::accepted(inside, first, b as _, c as _, d as c_int, fd),
            libc::SYS_pipe => socket::piped(inside, a as _, 0, fd),
            libc::SYS_pipe2 => socket::piped(inside, a as _, second, fd),
            libc::SYS_memfd_create => socket::memory_file(inside, a as _, b as c_uint, fd),
            libc::SYS_signalfd => socket::signals(inside, first, 0, fd),
            libc::SYS_signalfd4 => socket::signals(inside, first, d as c_int, fd),
            libc::SYS_wait4 => process::waited(inside, fd, b as _, third),
            libc::SYS_execve => {
                if let Before::Executing = before {
                    process::exec_failed(inside, fd, a as _);
                }
            }
            _ => {
                if let Some(what) = event_source(number, first, second) {
                    fds::result(inside, fd, &what);
                }
            }
        }
    }
}

/// Calls whose only arguments that matter are a number and flags.
fn event_source(number: c_long, first: c_int, second: c_int) -> Option<Acquired<'static>> {
    let (op, kind, flags) = match number {
        libc::SYS_epoll_create => (Op::EpollCreate, Kind::Epoll, 0),
        libc::SYS_epoll_create1 => (Op::EpollCreate, Kind::Epoll, first),
        libc::SYS_eventfd => (Op::Eventfd, Kind::Eventfd, 0),
        libc::SYS_eventfd2 => (Op::Eventfd, Kind::Eventfd, second),
        libc::SYS_timerfd_create => (Op::TimerfdCreate, Kind::Timerfd, second),
        libc::SYS_inotify_init => (Op::InotifyInit, Kind::Inotify, 0),
        libc::SYS_inotify_init1 => (Op::InotifyInit, Kind::Inotify, first),
        libc::SYS_pidfd_open => (Op::PidfdOpen, Kind::Pidfd, libc::O_CLOEXEC),
        libc::SYS_io_uring_setup => (Op::IoUringSetup, Kind::IoUring, libc::O_CLOEXEC),
        _ => return None,
    };
    Some(socket::special(op, kind, flags))
}

/// Hook of `dlclose`: another library can land at the same addresses.
///
/// # Safety
/// That of the real function.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn dlclose(handle: *mut c_void) -> c_int {
    managed::before_unload();
    // SAFETY: the real function with its own prototype.
    let result = unsafe {
        let real: unsafe extern "C-unwind" fn(*mut c_void) -> c_int =
            core::mem::transmute(real::dlclose.get());
        real(handle)
    };
    stack::bump_epoch();
    managed::after_unload();
    result
}
