//! Descriptors by calls that are cold and simple enough for redhook.
#![allow(unsafe_code, reason = "hooks")]

use super::fd::{duplicated, replaced_by, replacing};
use super::socket::{pair, socket_of, special};
use crate::state::fds::{self, Acquired};
use crate::table::cold_hooks;
use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use resshim_format::op::{Kind, Op};

cold_hooks! {
    fn dup(fd: c_int) -> c_int;
        after(inside, new) duplicated(&inside, Op::Dup, fd, new, 0);
    fn dup2(fd: c_int, to: c_int) -> c_int;
        before(inside) replacing(inside, fd, to);
        after(inside, new, replaced) replaced_by(&inside, fd, new, 0, replaced);
    fn socketpair(domain: c_int, kind: c_int, protocol: c_int, ends: *mut c_int) -> c_int;
        after(inside, result) pair(&inside, ends, socket_of(Op::Socketpair, domain, kind, protocol), 0, result);
    fn epoll_create1(flags: c_int) -> c_int;
        after(inside, fd) fds::result(&inside, fd, &special(Op::EpollCreate, Kind::Epoll, flags));
    fn eventfd(count: c_uint, flags: c_int) -> c_int;
        after(inside, fd) fds::result(&inside, fd, &special(Op::Eventfd, Kind::Eventfd, flags));
    fn timerfd_create(clock: c_int, flags: c_int) -> c_int;
        after(inside, fd) fds::result(&inside, fd, &Acquired { mode: clock as u16, ..special(Op::TimerfdCreate, Kind::Timerfd, flags) });
    fn inotify_init1(flags: c_int) -> c_int;
        after(inside, fd) fds::result(&inside, fd, &special(Op::InotifyInit, Kind::Inotify, flags));
    fn listen(fd: c_int, backlog: c_int) -> c_int;
        after(inside, result) if result == 0 { fds::state(&inside, Op::Listen, fd, backlog as u32 as u64, &[]) };
    fn shutdown(fd: c_int, how: c_int) -> c_int;
        after(inside, result) if result == 0 { fds::state(&inside, Op::Shutdown, fd, how as u32 as u64, &[]) };
}

// redhook asks `dlsym`, by its plain name, for what our own look-up has found already: this hidden one
// answers.
core::arch::global_asm!(
    ".text",
    ".globl dlsym",
    ".hidden dlsym",
    ".type dlsym,@function",
    "dlsym:",
    "jmp {answer}",
    ".size dlsym, . - dlsym",
    answer = sym answer,
);

extern "C" fn answer(_: *mut c_void, name: *const c_char) -> *const c_void {
    // SAFETY: redhook gives the name of its row, with a NUL at the end.
    let name = unsafe { CStr::from_ptr(name) };
    HOOKS.iter().find(|hook| hook.real.name() == name).map_or(core::ptr::null(), |h| h.real.get())
}
