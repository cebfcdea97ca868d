//! Messages, which can carry descriptors (`SCM_RIGHTS`, unix(7)): those that arrive are acquisitions of the
//! receiver; of those that are sent a copy leaves.
#![allow(unsafe_code, reason = "hooks")]

use crate::emit::{self, Inside};
use crate::stack::here;
use crate::state::fds;
use crate::state::uses;
use crate::table::after_hooks;
use core::ffi::{c_int, c_uint};
use libc::{cmsghdr, mmsghdr, msghdr, ssize_t, timespec};
use resshim_format::op::Op;
use resshim_format::record::FD_CLOEXEC;

after_hooks! {
    fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t; libc;
        after(result) sent(fd, message, result);
    fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t; libc;
        after(result) received(fd, message, flags, result);
    fn sendmmsg(fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int) -> c_int; libc;
        after(result) sent_many(fd, messages, result);
    fn recvmmsg(fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int, timeout: *mut timespec) -> c_int; libc;
        after(result) received_many(fd, messages, flags, result);
}

/// Most control messages of one message that are looked at.
const MOST_CONTROLS: usize = 64;
/// Most descriptors of one control message (`SCM_MAX_FD`).
const MOST_DESCRIPTORS: usize = 253;

/// # Safety
/// The real call sent `message` and gave `result`.
#[inline(always)]
unsafe fn sent(fd: c_int, message: *const msghdr, result: ssize_t) {
    if result < 0 {
        uses::failed(Op::Send, fd);
        return;
    }
    uses::used(fd);
    // SAFETY: by the caller's promise.
    if unsafe { (*message).msg_controllen } != 0 {
        // SAFETY: as above.
        unsafe { left(fd, message) };
    }
}

/// # Safety
/// The real call filled `message` and gave `result`.
#[inline(always)]
unsafe fn received(fd: c_int, message: *const msghdr, flags: c_int, result: ssize_t) {
    if result < 0 {
        uses::failed(Op::Recv, fd);
        return;
    }
    // SAFETY: by the caller's promise.
    if result == 0 && unsafe { has_room(message) } {
        uses::ended(fd);
    } else {
        uses::used(fd);
    }
    // SAFETY: as above; the kernel has stored how much it gave.
    if unsafe { (*message).msg_controllen } != 0 {
        // SAFETY: as above.
        unsafe { arrived(fd, message, flags) };
    }
}

/// # Safety
/// The real call sent the first `result` of `messages`.
unsafe fn sent_many(fd: c_int, messages: *const mmsghdr, result: c_int) {
    if result < 0 {
        uses::failed(Op::Send, fd);
        return;
    }
    uses::used(fd);
    if uses::can_carry(fd) {
        for index in 0..result as usize {
            // SAFETY: by the caller's promise.
            unsafe { sent(fd, &raw const (*messages.add(index)).msg_hdr, 1) };
        }
    }
}

/// # Safety
/// The real call filled the first `result` of `messages`.
unsafe fn received_many(fd: c_int, messages: *const mmsghdr, flags: c_int, result: c_int) {
    if result < 0 {
        uses::failed(Op::Recv, fd);
        return;
    }
    uses::used(fd);
    if uses::can_carry(fd) {
        for index in 0..result as usize {
            // SAFETY: by the caller's promise.
            unsafe {
                let one = messages.add(index);
                let length = (*one).msg_len as ssize_t;
                received(fd, &raw const (*one).msg_hdr, flags, length);
            }
        }
    }
}

/// Whether a message had room for data: without, nothing says nothing.
///
/// # Safety
/// The kernel accepted the message.
unsafe fn has_room(message: *const msghdr) -> bool {
    // SAFETY: by the caller's promise.
    unsafe {
        let parts = (*message).msg_iov;
        (0..(*message).msg_iovlen.min(8)).any(|part| (*parts.add(part)).iov_len != 0)
    }
}

/// Calls `each` with the descriptors of a message.
///
/// # Safety
/// The kernel accepted the message: its control part is mapped as far as it says. What stands there may have
/// been written by another thread since: nothing in it leads beyond that part.
unsafe fn descriptors(message: *const msghdr, mut each: impl FnMut(c_int)) {
    const HEAD: usize = size_of::<cmsghdr>();
    // SAFETY: by the caller's promise.
    let (control, length) =
        unsafe { ((*message).msg_control.cast::<u8>(), (*message).msg_controllen) };
    if control.is_null() {
        return;
    }
    let mut at = 0;
    for _ in 0..MOST_CONTROLS {
        if length - at < HEAD {
            return;
        }
        // SAFETY: inside the control part.
        let head = unsafe { control.add(at).cast::<cmsghdr>().read_unaligned() };
        let size = head.cmsg_len;
        if size < HEAD || size > length - at {
            return;
        }
        if head.cmsg_level == libc::SOL_SOCKET && head.cmsg_type == libc::SCM_RIGHTS {
            let count = ((size - HEAD) / size_of::<c_int>()).min(MOST_DESCRIPTORS);
            for index in 0..count {
                // SAFETY: inside this control message.
                each(unsafe { control.add(at + HEAD).cast::<c_int>().add(index).read_unaligned() });
            }
        }
        at += size.next_multiple_of(size_of::<usize>());
        if at > length {
            return;
        }
    }
}

/// # Safety
/// `message` came by `fd`.
#[cold]
#[inline(never)]
unsafe fn arrived(fd: c_int, message: *const msghdr, flags: c_int) {
    let mut inside: Option<Inside> = None;
    // SAFETY: by the caller's promise.
    unsafe {
        descriptors(message, |new| {
            if inside.is_none() {
                inside = emit::enter(here());
            }
            if let Some(inside) = inside.as_ref().filter(|_| new >= 0) {
                let closes = flags & libc::MSG_CMSG_CLOEXEC != 0;
                fds::came(inside, new, fd, if closes { FD_CLOEXEC } else { 0 });
            }
        });
    }
    if let Some(inside) = inside {
        inside.leave();
    }
}

/// # Safety
/// `message` was sent by `fd`.
#[cold]
#[inline(never)]
unsafe fn left(fd: c_int, message: *const msghdr) {
    let mut inside: Option<Inside> = None;
    // SAFETY: by the caller's promise.
    unsafe {
        descriptors(message, |sent| {
            if inside.is_none() {
                inside = emit::enter(here());
            }
            if let Some(inside) = &inside {
                fds::went(inside, sent, fd);
            }
        });
    }
    if let Some(inside) = inside {
        inside.leave();
    }
}
