//! Descriptors of files: open, close, duplicates, flags.
#![allow(unsafe_code, reason = "hooks")]

use crate::emit::Inside;
use crate::label::kind_of_path;
use crate::state::fds::{self, Acquired, bits};
use crate::table::hooks;
use crate::{caller, emit, stack};
use core::ffi::{c_char, c_int, c_uint, c_ulong};
use libc::mode_t;
use resshim_format::op::{Kind, Op};
use resshim_format::record::FdHandle;

hooks! {
    fn close(fd: c_int) -> c_int; libc live;
        before(inside) fds::closing(inside, fd);
        after(inside, result, handle) if let Some(handle) = handle { fds::closed(&inside, Op::Close, handle, result) };
    fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int; libc live;
        after(inside, result) closed_range(&inside, first, last, flags, result);
    fn closefrom(first: c_int) -> (); own live;
        after(inside, _result) closed_range(&inside, first.max(0) as c_uint, c_uint::MAX, 0, 0);
    fn creat(path: *const c_char, mode: mode_t) -> c_int; libc;
        after(inside, fd) opened(&inside, path, CREAT, mode, fd);
    fn creat64(path: *const c_char, mode: mode_t) -> c_int; libc;
        after(inside, fd) opened(&inside, path, CREAT, mode, fd);
    fn __open_2(path: *const c_char, flags: c_int) -> c_int; own;
        after(inside, fd) opened(&inside, path, flags, 0, fd);
    fn __open64_2(path: *const c_char, flags: c_int) -> c_int; own;
        after(inside, fd) opened(&inside, path, flags, 0, fd);
    fn __openat_2(directory: c_int, path: *const c_char, flags: c_int) -> c_int; own;
        after(inside, fd) opened(&inside, path, flags, 0, fd);
    fn __openat64_2(directory: c_int, path: *const c_char, flags: c_int) -> c_int; own;
        after(inside, fd) opened(&inside, path, flags, 0, fd);
    fn dup3(fd: c_int, to: c_int, flags: c_int) -> c_int; libc;
        before(inside) replacing(inside, fd, to);
        after(inside, new, replaced) replaced_by(&inside, fd, new, flags, replaced);
    fn mkstemp(template: *mut c_char) -> c_int; libc;
        after(inside, fd) made_temporary(&inside, template, 0, fd);
    fn mkstemp64(template: *mut c_char) -> c_int; own;
        after(inside, fd) made_temporary(&inside, template, 0, fd);
    fn mkostemp(template: *mut c_char, flags: c_int) -> c_int; libc;
        after(inside, fd) made_temporary(&inside, template, flags, fd);
    fn mkostemp64(template: *mut c_char, flags: c_int) -> c_int; own;
        after(inside, fd) made_temporary(&inside, template, flags, fd);
    fn mkstemps(template: *mut c_char, suffix: c_int) -> c_int; libc;
        after(inside, fd) made_temporary(&inside, template, 0, fd);
    fn mkstemps64(template: *mut c_char, suffix: c_int) -> c_int; own;
        after(inside, fd) made_temporary(&inside, template, 0, fd);
    fn mkostemps(template: *mut c_char, suffix: c_int, flags: c_int) -> c_int; libc;
        after(inside, fd) made_temporary(&inside, template, flags, fd);
    fn mkostemps64(template: *mut c_char, suffix: c_int, flags: c_int) -> c_int; own;
        after(inside, fd) made_temporary(&inside, template, flags, fd);
    by_hand: open, open64, openat, openat64, fcntl, fcntl64, ioctl;
}

/// Flags that `creat` stands for.
pub const CREAT: c_int = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;

/// After an `open` of any name.
///
/// # Safety
/// The real call gave `fd` for `path`.
pub unsafe fn opened(inside: &Inside, path: *const c_char, flags: c_int, mode: c_uint, fd: c_int) {
    // SAFETY: the kernel has seen the path.
    let path = unsafe { caller::path(path, fd as isize, inside.errno) };
    let creates = flags & libc::O_CREAT != 0 || flags & libc::O_TMPFILE == libc::O_TMPFILE;
    let what = Acquired {
        bits: bits(flags),
        mode: if creates { mode as u16 } else { 0 },
        flags: flags as u32,
        label: path,
        ..Acquired::of(Op::Open, kind_of_path(path, flags))
    };
    fds::result(inside, fd, &what);
}

/// # Safety
/// `template` is what a `mkstemp` that gave `fd` has filled in.
unsafe fn made_temporary(inside: &Inside, template: *mut c_char, flags: c_int, fd: c_int) {
    let label = if fd >= 0 {
        // SAFETY: by the caller's promise.
        unsafe { caller::string(template) }
    } else {
        &[]
    };
    let what = Acquired {
        bits: bits(flags),
        mode: 0o600,
        flags: (flags | libc::O_RDWR | libc::O_CREAT | libc::O_EXCL) as u32,
        label,
        ..Acquired::of(Op::Mkstemp, Kind::File)
    };
    fds::result(inside, fd, &what);
}

/// A duplicate of `source`: same kind, same open file description.
pub fn duplicated(inside: &Inside, op: Op, source: c_int, new: c_int, flags: c_int) {
    let mut label = [0; resshim_format::table::LABEL_BYTES];
    let (kind, length) = fds::describe(inside.region, source, &mut label);
    let kind = match kind {
        Kind::Socket if new >= 0 => fds::socket_kind(inside.region, source),
        kind => kind,
    };
    let what = Acquired {
        bits: bits(flags),
        origin: Some(source),
        label: label.get(..length).unwrap_or(&[]),
        ..Acquired::of(op, kind)
    };
    fds::result(inside, new, &what);
}

/// Before a `dup2`: what stands at the number that it takes.
pub fn replacing(inside: &Inside, source: c_int, target: c_int) -> Option<FdHandle> {
    // With equal numbers nothing is replaced, and a bad source replaces nothing: that shows afterwards.
    (source != target).then(|| fds::closing(inside, target))
}

/// After a `dup2`.
pub fn replaced_by(
    inside: &Inside,
    source: c_int,
    new: c_int,
    flags: c_int,
    replaced: Option<Option<FdHandle>>,
) {
    let replaced = replaced.flatten();
    if new < 0 {
        if let Some(handle) = replaced {
            fds::not_closed(inside.region, handle);
        }
        duplicated(inside, Op::Dup2, source, new, flags);
        return;
    }
    if source == new {
        return;
    }
    if let Some(handle) = replaced.filter(|handle| handle.generation != 0) {
        fds::closed(inside, Op::Replaced, handle, 0);
    }
    duplicated(inside, Op::Dup2, source, new, flags);
}

/// The numbers from `first` to `last` were closed, or got `FD_CLOEXEC`.
pub fn closed_range(inside: &Inside, first: c_uint, last: c_uint, flags: c_int, result: c_int) {
    if result != 0 {
        return;
    }
    let only_flag = flags & libc::CLOSE_RANGE_CLOEXEC as c_int != 0;
    fds::each_live(inside.region, first, last, |fd| {
        if only_flag {
            fds::set_cloexec(inside, fd, true);
        } else {
            let handle = fds::closing(inside, fd);
            fds::closed(inside, Op::CloseRange, handle, 0);
        }
    });
}

type Open = unsafe extern "C-unwind" fn(*const c_char, c_int, ...) -> c_int;
type OpenAt = unsafe extern "C-unwind" fn(c_int, *const c_char, c_int, ...) -> c_int;
type Fcntl = unsafe extern "C-unwind" fn(c_int, c_int, ...) -> c_int;
type Ioctl = unsafe extern "C-unwind" fn(c_int, c_ulong, ...) -> c_int;

// Variadic in C; defining variadic functions is not stable, and need not be: on x86_64 and AArch64
// Linux an optional argument travels in the register where a fixed one would (System V ABI 3.2.3,
// AAPCS64). Where the caller gave none, the register's value is passed on as it was.
macro_rules! open_like {
    ($($name:ident)*) => { $(
        /// Hook of `open`.
        ///
        /// # Safety
        /// That of the real function.
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $name(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
            let at = stack::here();
            // SAFETY: the real function with its own, variadic, prototype.
            let fd = unsafe {
                let real: Open = core::mem::transmute(real::$name.get());
                real(path, flags, mode)
            };
            if let Some(inside) = emit::enter(at) {
                // SAFETY: the real call has returned.
                unsafe { opened(&inside, path, flags, mode, fd) };
                inside.leave();
            }
            fd
        }
    )* };
}
open_like! { open open64 }

macro_rules! openat_like {
    ($($name:ident)*) => { $(
        /// Hook of `openat`.
        ///
        /// # Safety
        /// That of the real function.
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $name(directory: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
            let at = stack::here();
            // SAFETY: the real function with its own, variadic, prototype.
            let fd = unsafe {
                let real: OpenAt = core::mem::transmute(real::$name.get());
                real(directory, path, flags, mode)
            };
            if let Some(inside) = emit::enter(at) {
                // SAFETY: the real call has returned.
                unsafe { opened(&inside, path, flags, mode, fd) };
                inside.leave();
            }
            fd
        }
    )* };
}
openat_like! { openat openat64 }

/// After an `fcntl`: duplicates and the close-on-exec flag matter.
pub fn controlled(inside: &Inside, fd: c_int, command: c_int, argument: usize, result: c_int) {
    match command {
        libc::F_DUPFD => duplicated(inside, Op::FcntlDup, fd, result, 0),
        libc::F_DUPFD_CLOEXEC => duplicated(inside, Op::FcntlDup, fd, result, libc::O_CLOEXEC),
        libc::F_SETFD if result == 0 => {
            fds::set_cloexec(inside, fd, argument as c_int & libc::FD_CLOEXEC != 0);
        }
        _ => {}
    }
}

fn concerns_us(command: c_int) -> bool {
    matches!(command, libc::F_DUPFD | libc::F_DUPFD_CLOEXEC | libc::F_SETFD)
}

macro_rules! fcntl_like {
    ($($name:ident)*) => { $(
        /// Hook of `fcntl`.
        ///
        /// # Safety
        /// That of the real function.
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $name(fd: c_int, command: c_int, argument: usize) -> c_int {
            let at = stack::here();
            // SAFETY: the real function with its own, variadic, prototype.
            let result = unsafe {
                let real: Fcntl = core::mem::transmute(real::$name.get());
                real(fd, command, argument)
            };
            if concerns_us(command) && let Some(inside) = emit::enter(at) {
                controlled(&inside, fd, command, argument, result);
                inside.leave();
            }
            result
        }
    )* };
}
fcntl_like! { fcntl fcntl64 }

/// Hook of `ioctl`: only `FIOCLEX` and `FIONCLEX` matter.
///
/// # Safety
/// That of the real function.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn ioctl(fd: c_int, request: c_ulong, argument: usize) -> c_int {
    let at = stack::here();
    // SAFETY: the real function with its own, variadic, prototype.
    let result = unsafe {
        let real: Ioctl = core::mem::transmute(real::ioctl.get());
        real(fd, request, argument)
    };
    let flag = request == libc::FIOCLEX || request == libc::FIONCLEX;
    if flag
        && result == 0
        && let Some(inside) = emit::enter(at)
    {
        fds::set_cloexec(&inside, fd, request == libc::FIOCLEX);
        inside.leave();
    }
    result
}
