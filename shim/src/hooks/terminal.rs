//! Pseudo-terminals: libc opens both ends inside its own functions, past every other hook.
#![allow(unsafe_code, reason = "hooks")]

use super::socket::special;
use crate::emit::Inside;
use crate::state::fds::{self, Acquired};
use crate::state::{children, failures};
use crate::table::hooks;
use core::ffi::{c_char, c_int};
use libc::{pid_t, termios, winsize};
use resshim_format::op::{Kind, Op};

hooks! {
    fn posix_openpt(flags: c_int) -> c_int; libc;
        after(inside, fd) fds::result(&inside, fd, &special(Op::Openpty, Kind::Pty, flags));
    fn getpt() -> c_int; libc;
        after(inside, fd) fds::result(&inside, fd, &special(Op::Openpty, Kind::Pty, libc::O_RDWR));
    fn openpty(master: *mut c_int, slave: *mut c_int, name: *mut c_char, attributes: *const termios, size: *const winsize) -> c_int; libc;
        after(inside, result) opened(&inside, master, slave, result);
    fn forkpty(master: *mut c_int, name: *mut c_char, attributes: *const termios, size: *const winsize) -> pid_t; libc;
        before(inside) children::forking(inside);
        skip(pid) pid == 0;
        after(inside, pid, sequence) forked(&inside, master, pid, sequence);
}

/// # Safety
/// An `openpty` that returned `result` was given the pointers.
unsafe fn opened(inside: &Inside, master: *const c_int, slave: *const c_int, result: c_int) {
    let what = special(Op::Openpty, Kind::Pty, libc::O_RDWR);
    if result != 0 {
        fds::result(inside, -1, &what);
        return;
    }
    // SAFETY: libc has written both.
    let (master, slave) = unsafe { (*master, *slave) };
    fds::result(inside, master, &what);
    fds::result(inside, slave, &Acquired { origin: Some(master), ..what });
}

/// In the parent alone: in the child the terminal is its standard input and output.
///
/// # Safety
/// A `forkpty` that returned `pid` was given the pointer.
unsafe fn forked(inside: &Inside, master: *const c_int, pid: pid_t, sequence: Option<u32>) {
    let what = special(Op::Openpty, Kind::Pty, libc::O_RDWR);
    if pid < 0 {
        failures::failed(inside, Op::Openpty, Kind::Pty, [0, 0], &[]);
        return;
    }
    // SAFETY: libc has written it.
    fds::result(inside, unsafe { *master }, &what);
    children::forked(inside, Op::Fork, pid, sequence.unwrap_or(0));
}
