//! Uses of descriptors by calls whose first argument is not the one number that counts: waits for many,
//! copies from one to another.
#![allow(unsafe_code, reason = "hooks")]

use crate::state::uses;
use crate::table::after_hooks;
use core::ffi::{c_int, c_uint, c_void};
use libc::{
    fd_set, nfds_t, off_t, off64_t, pollfd, sigset_t, size_t, sockaddr, socklen_t, ssize_t,
    timespec, timeval,
};
use resshim_format::op::Op;

after_hooks! {
    fn poll(set: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int; libc;
        after(ready) polled(set, count, ready);
    fn ppoll(set: *mut pollfd, count: nfds_t, timeout: *const timespec, mask: *const sigset_t) -> c_int; libc;
        after(ready) polled(set, count, ready);
    fn __poll_chk(set: *mut pollfd, count: nfds_t, timeout: c_int, room: size_t) -> c_int; own;
        after(ready) polled(set, count, ready);
    fn __ppoll_chk(set: *mut pollfd, count: nfds_t, timeout: *const timespec, mask: *const sigset_t, room: size_t) -> c_int; own;
        after(ready) polled(set, count, ready);
    fn select(end: c_int, reads: *mut fd_set, writes: *mut fd_set, others: *mut fd_set, timeout: *mut timeval) -> c_int; libc;
        after(ready) selected(end, [reads, writes, others], ready);
    fn pselect(end: c_int, reads: *mut fd_set, writes: *mut fd_set, others: *mut fd_set, timeout: *const timespec, mask: *const sigset_t) -> c_int; libc;
        after(ready) selected(end, [reads, writes, others], ready);
    fn __recvfrom_chk(fd: c_int, to: *mut c_void, count: size_t, room: size_t, flags: c_int, address: *mut sockaddr, length: *mut socklen_t) -> ssize_t; own;
        after(result) received(fd, count, result);
    fn sendfile(to: c_int, from: c_int, at: *mut off_t, count: size_t) -> ssize_t; libc;
        after(result) copied(from, to, result);
    fn sendfile64(to: c_int, from: c_int, at: *mut off64_t, count: size_t) -> ssize_t; libc;
        after(result) copied(from, to, result);
    fn splice(from: c_int, from_at: *mut off64_t, to: c_int, to_at: *mut off64_t, count: size_t, flags: c_uint) -> ssize_t; libc;
        after(result) copied(from, to, result);
    fn copy_file_range(from: c_int, from_at: *mut off64_t, to: c_int, to_at: *mut off64_t, count: size_t, flags: c_uint) -> ssize_t; libc;
        after(result) copied(from, to, result);
}

/// Most descriptors of a set that are looked at, and most that are stamped.
const MOST: usize = 64;

/// # Safety
/// The real call filled `set` of `count` and gave `ready`.
#[inline(always)]
unsafe fn polled(set: *const pollfd, count: nfds_t, ready: c_int) {
    if ready <= 0 {
        uses::waited();
        return;
    }
    let mut left = ready;
    for index in 0..(count as usize).min(MOST) {
        // SAFETY: by the caller's promise; a member at a time, which another thread may change.
        let member = unsafe { set.add(index).read() };
        if member.revents == 0 {
            continue;
        }
        if member.revents & libc::POLLNVAL != 0 {
            uses::bad(Op::Poll, member.fd);
        } else {
            uses::used(member.fd);
        }
        left -= 1;
        if left == 0 {
            return;
        }
    }
}

/// # Safety
/// The real call took these sets, whose numbers are below `end`, and gave `ready`.
unsafe fn selected(end: c_int, sets: [*const fd_set; 3], ready: c_int) {
    let is_bad = ready < 0 && crate::real::errno() == libc::EBADF;
    if ready <= 0 && !is_bad {
        uses::waited();
        return;
    }
    let mut left = MOST;
    for set in sets {
        if set.is_null() {
            continue;
        }
        // The kernel reads and writes whole words of each set, and no more of them than `end` needs.
        for index in 0..(end.max(0) as usize).div_ceil(64) {
            // SAFETY: by the caller's promise.
            let mut word = unsafe { set.cast::<u64>().add(index).read_unaligned() };
            while word != 0 && left > 0 {
                let fd = (index * 64) as c_int + word.trailing_zeros() as c_int;
                word &= word - 1;
                left -= 1;
                if !is_bad {
                    uses::used(fd);
                } else if uses::is_released(fd) {
                    // Which one it was the kernel does not tell.
                    uses::bad(Op::Poll, fd);
                    return;
                }
            }
        }
    }
}

/// A receive that was asked for `count` bytes gave `result`.
fn received(fd: c_int, count: size_t, result: ssize_t) {
    match result {
        ..0 => uses::failed(Op::Recv, fd),
        0 if count != 0 => uses::ended(fd),
        _ => uses::used(fd),
    }
}

/// Bytes went from one descriptor to another.
fn copied(from: c_int, to: c_int, result: ssize_t) {
    if result < 0 {
        // Either may be the bad one: the other is open.
        uses::failed(Op::Sendfile, if uses::is_released(to) { to } else { from });
    } else {
        uses::used(from);
        uses::used(to);
    }
}
