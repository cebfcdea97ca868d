//! Sockets and the descriptors that are neither files nor sockets.
#![allow(unsafe_code, reason = "hooks")]

use crate::caller;
use crate::emit::Inside;
use crate::label::{self, kind_of_socket};
use crate::state::fds::{self, Acquired};
use crate::state::{failures, uses};
use crate::table::hooks;
use core::ffi::{c_char, c_int, c_uint};
use libc::{epoll_event, sigset_t, sockaddr, socklen_t};
use resshim_format::op::{Kind, Op};
use resshim_format::record::{FD_CLOEXEC, FD_WRITE_END};

hooks! {
    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int; libc;
        after(inside, fd) fds::result(&inside, fd, &socket_of(Op::Socket, domain, kind, protocol));
    fn bind(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int; libc;
        after(inside, result) named(&inside, Op::Bind, fd, address, length, result);
    fn connect(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int; libc;
        after(inside, result) named(&inside, Op::Connect, fd, address, length, result);
    fn accept(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int; libc;
        after(inside, new) accepted(&inside, fd, address, length, 0, new);
    fn accept4(fd: c_int, address: *mut sockaddr, length: *mut socklen_t, flags: c_int) -> c_int; libc;
        after(inside, new) accepted(&inside, fd, address, length, flags, new);
    fn pipe(ends: *mut c_int) -> c_int; libc;
        after(inside, result) piped(&inside, ends, 0, result);
    fn pipe2(ends: *mut c_int, flags: c_int) -> c_int; libc;
        after(inside, result) piped(&inside, ends, flags, result);
    fn epoll_create(size: c_int) -> c_int; libc;
        after(inside, fd) fds::result(&inside, fd, &Acquired::of(Op::EpollCreate, Kind::Epoll));
    fn epoll_ctl(set: c_int, op: c_int, fd: c_int, event: *mut epoll_event) -> c_int; libc;
        after(inside, result) controlled(&inside, set, op, fd, event, result);
    fn signalfd(fd: c_int, mask: *const sigset_t, flags: c_int) -> c_int; libc;
        after(inside, new) signals(&inside, fd, flags, new);
    fn inotify_init() -> c_int; libc;
        after(inside, fd) fds::result(&inside, fd, &special(Op::InotifyInit, Kind::Inotify, 0));
    fn pidfd_open(pid: libc::pid_t, flags: c_uint) -> c_int; own;
        after(inside, fd) fds::result(&inside, fd, &special(Op::PidfdOpen, Kind::Pidfd, libc::O_CLOEXEC));
    fn memfd_create(name: *const c_char, flags: c_uint) -> c_int; libc;
        after(inside, fd) memory_file(&inside, name, flags, fd);
}

/// A socket of these arguments.
pub fn socket_of(op: Op, domain: c_int, kind: c_int, protocol: c_int) -> Acquired<'static> {
    Acquired {
        bits: socket_bits(kind),
        mode: protocol as u16,
        flags: (domain as u32) << 16 | kind as u32 & 0xf,
        ..Acquired::of(op, kind_of_socket(domain, kind))
    }
}

/// `SOCK_CLOEXEC` and `SOCK_NONBLOCK` (which are `O_CLOEXEC` and `O_NONBLOCK`).
fn socket_bits(kind: c_int) -> u8 {
    fds::bits(kind)
}

/// An event source whose flags are `O_CLOEXEC` and `O_NONBLOCK` under other names.
pub fn special(op: Op, kind: Kind, flags: c_int) -> Acquired<'static> {
    Acquired { bits: fds::bits(flags), flags: flags as u32, ..Acquired::of(op, kind) }
}

/// # Safety
/// The real call took `address` of `length` and gave `result`.
pub unsafe fn named(
    inside: &Inside,
    op: Op,
    fd: c_int,
    address: *const sockaddr,
    length: socklen_t,
    result: c_int,
) {
    let accepted = result == 0 || inside.errno != libc::EFAULT;
    let bytes: &[u8] = if accepted && length <= 128 {
        // SAFETY: the kernel has read it.
        unsafe { caller::address(address.cast(), length) }
    } else {
        &[]
    };
    let text = label::address(bytes);
    let begun = matches!(inside.errno, libc::EINPROGRESS | libc::EINTR | libc::EALREADY);
    if result == 0 || (op == Op::Connect && begun) {
        let detail = if result == 0 { 0 } else { inside.errno as u64 };
        fds::state(inside, op, fd, detail, text.bytes());
    } else if inside.errno != libc::EISCONN {
        let handle = fds::handle(inside.region, fd);
        let kind = fds::kind(inside.region, fd).unwrap_or(Kind::Socket);
        failures::failed(inside, op, kind, [handle.pack(), 0], text.bytes());
    }
}

/// # Safety
/// The real call filled `address` and `length` and gave `new`.
pub unsafe fn accepted(
    inside: &Inside,
    listener: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
    flags: c_int,
    new: c_int,
) {
    let filled: &[u8] = if new >= 0 && !address.is_null() && !length.is_null() {
        // SAFETY: by the caller's promise. A peer's address may be longer than the caller had room
        // for: the kernel wrote no more than the room, which is not known now; 16 bytes are always
        // within what a caller that got an AF_INET peer gave.
        unsafe {
            let family = if *length >= 2 { (*address).sa_family as c_int } else { libc::AF_UNSPEC };
            let least = match family {
                libc::AF_INET => 16,
                libc::AF_INET6 => 28,
                _ => 2,
            };
            caller::address(address.cast(), (*length).min(least))
        }
    } else {
        &[]
    };
    let text = label::address(filled);
    let kind = match fds::kind(inside.region, listener) {
        Some(kind) if kind != Kind::Socket => kind,
        // A listener that was inherited (a worker's of a prefork server): the peer tells its family.
        _ => match kind_of_peer(filled) {
            Kind::Socket if new >= 0 => fds::socket_kind(inside.region, listener),
            kind => kind,
        },
    };
    let what = Acquired {
        bits: fds::bits(flags),
        flags: flags as u32,
        origin: Some(listener),
        label: text.bytes(),
        ..Acquired::of(Op::Accept, kind)
    };
    if new >= 0 {
        uses::used(listener);
    }
    fds::result(inside, new, &what);
}

/// Kind of a connection by its peer's address: what is accepted on AF_INET is a stream.
fn kind_of_peer(address: &[u8]) -> Kind {
    let Some(family) = address.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes)) else {
        return Kind::Socket;
    };
    match c_int::from(family) {
        libc::AF_INET | libc::AF_INET6 => Kind::Tcp,
        libc::AF_UNIX => Kind::Unix,
        _ => Kind::Socket,
    }
}

/// # Safety
/// The real call filled `ends` where `result` is 0.
pub unsafe fn piped(inside: &Inside, ends: *mut c_int, flags: c_int, result: c_int) {
    let what = special(Op::Pipe, Kind::Pipe, flags);
    // SAFETY: by the caller's promise.
    unsafe { pair(inside, ends, what, FD_WRITE_END, result) };
}

/// # Safety
/// As for [`piped`].
pub unsafe fn pair(inside: &Inside, ends: *mut c_int, what: Acquired, second: u8, result: c_int) {
    if result != 0 {
        fds::result(inside, -1, &what);
        return;
    }
    // SAFETY: two descriptors.
    let (first, other) = unsafe { (*ends, *ends.add(1)) };
    fds::result(inside, first, &what);
    let bits = what.bits | second;
    fds::result(inside, other, &Acquired { bits, origin: Some(first), ..what });
}

/// # Safety
/// The real call took `event` and gave `result`.
unsafe fn controlled(
    inside: &Inside,
    set: c_int,
    op: c_int,
    fd: c_int,
    event: *mut epoll_event,
    result: c_int,
) {
    if result != 0 || op == libc::EPOLL_CTL_MOD {
        return;
    }
    let events = if op == libc::EPOLL_CTL_ADD && !event.is_null() {
        // SAFETY: the kernel has read it.
        unsafe { (&raw const (*event).events).read_unaligned() }
    } else {
        0
    };
    fds::set_watched(inside.region, fd, op == libc::EPOLL_CTL_ADD);
    let set = fds::handle(inside.region, set).pack();
    let member = fds::handle(inside.region, fd).pack();
    inside.write(Op::EpollCtl, 0, &[set, (op as u64) | (events as u64) << 32, member], &[]);
}

/// After a `signalfd`.
pub fn signals(inside: &Inside, fd: c_int, flags: c_int, new: c_int) {
    // With a descriptor given, its mask is changed and nothing is acquired.
    if fd == -1 {
        fds::result(inside, new, &special(Op::Signalfd, Kind::Signalfd, flags));
    }
}

/// # Safety
/// The real call read `name` where it gave a descriptor.
pub unsafe fn memory_file(inside: &Inside, name: *const c_char, flags: c_uint, fd: c_int) {
    // SAFETY: by the caller's promise.
    let label = unsafe { caller::path(name, fd as isize, inside.errno) };
    let bits = if flags & libc::MFD_CLOEXEC != 0 { FD_CLOEXEC } else { 0 };
    let what = Acquired { bits, flags, label, ..Acquired::of(Op::MemfdCreate, Kind::Memfd) };
    fds::result(inside, fd, &what);
}
