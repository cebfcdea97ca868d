//! Streams and directories: `FILE` and `DIR` own descriptors that libc opens and closes for itself.
#![allow(unsafe_code, reason = "hooks")]

use crate::caller;
use crate::emit::Inside;
use crate::state::failures;
use crate::state::fds::{self, Acquired};
use crate::table::hooks;
use core::ffi::{c_char, c_int};
use libc::{DIR, FILE};
use resshim_format::op::{Kind, Op};
use resshim_format::record::{FD_CLOEXEC, FD_STREAM, FdHandle};

hooks! {
    fn fopen(path: *const c_char, mode: *const c_char) -> *mut FILE; libc;
        after(inside, file) streamed(&inside, Op::Fopen, path, mode, file);
    fn fopen64(path: *const c_char, mode: *const c_char) -> *mut FILE; own;
        after(inside, file) streamed(&inside, Op::Fopen, path, mode, file);
    fn freopen(path: *const c_char, mode: *const c_char, file: *mut FILE) -> *mut FILE; libc;
        before(inside) closing_stream(inside, file);
        after(inside, new, old) reopened(&inside, path, mode, new, old);
    fn freopen64(path: *const c_char, mode: *const c_char, file: *mut FILE) -> *mut FILE; own;
        before(inside) closing_stream(inside, file);
        after(inside, new, old) reopened(&inside, path, mode, new, old);
    fn fdopen(fd: c_int, mode: *const c_char) -> *mut FILE; libc;
        after(inside, file) if !file.is_null() { fds::owned_by_stream(&inside, Op::Fdopen, fd, file as usize) };
    fn fclose(file: *mut FILE) -> c_int; libc live;
        before(inside) closing_stream(inside, file);
        after(inside, _result, handle) closed_stream(&inside, Op::Fclose, handle, file as usize);
    fn tmpfile() -> *mut FILE; libc;
        after(inside, file) temporary(&inside, file);
    fn tmpfile64() -> *mut FILE; own;
        after(inside, file) temporary(&inside, file);
    fn popen(command: *const c_char, mode: *const c_char) -> *mut FILE; libc;
        after(inside, file) piped(&inside, mode, file);
    fn pclose(file: *mut FILE) -> c_int; libc live;
        before(inside) closing_stream(inside, file);
        after(inside, _result, handle) closed_stream(&inside, Op::Pclose, handle, file as usize);
    fn opendir(path: *const c_char) -> *mut DIR; libc;
        after(inside, directory) listed(&inside, path, directory);
    fn fdopendir(fd: c_int) -> *mut DIR; libc;
        after(inside, directory) if !directory.is_null() { fds::owned_by_stream(&inside, Op::Fdopendir, fd, directory as usize) };
    fn closedir(directory: *mut DIR) -> c_int; libc live;
        before(inside) closing_directory(inside, directory);
        after(inside, _result, handle) closed_stream(&inside, Op::Closedir, handle, directory as usize);
}

/// Descriptor of a live stream, -1 where it has none (memory streams).
unsafe fn number(file: *mut FILE) -> c_int {
    let errno = crate::real::errno();
    // SAFETY: a stream that libc gave, or that the caller is about to close: valid until then.
    let fd = unsafe { libc::fileno(file) };
    crate::real::set_errno(errno);
    fd
}

/// Flags as `fopen` understands its mode (fopen(3)).
fn flags_of(mode: &[u8]) -> c_int {
    let plus = mode.contains(&b'+');
    let access = match mode.first() {
        _ if plus => libc::O_RDWR,
        Some(b'r') => libc::O_RDONLY,
        _ => libc::O_WRONLY,
    };
    let create = match mode.first() {
        Some(b'w') => libc::O_CREAT | libc::O_TRUNC,
        Some(b'a') => libc::O_CREAT | libc::O_APPEND,
        _ => 0,
    };
    access | create | if mode.contains(&b'e') { libc::O_CLOEXEC } else { 0 }
}

/// # Safety
/// `path` and `mode` were given to an open that returned `file`.
unsafe fn streamed(
    inside: &Inside,
    op: Op,
    path: *const c_char,
    mode: *const c_char,
    file: *mut FILE,
) {
    // SAFETY: by the caller's promise.
    unsafe {
        let result = if file.is_null() { -1 } else { 0 };
        let label = caller::path(path, result, inside.errno);
        let flags = flags_of(caller::string(mode));
        let what = Acquired {
            bits: fds::bits(flags) | FD_STREAM,
            mode: 0o666,
            flags: flags as u32,
            stream: file as usize,
            label,
            ..Acquired::of(op, crate::label::kind_of_path(label, flags))
        };
        let fd = if file.is_null() { -1 } else { number(file) };
        if fd >= 0 || file.is_null() {
            fds::result(inside, fd, &what);
        }
    }
}

fn closing_stream(inside: &Inside, file: *mut FILE) -> Option<FdHandle> {
    if file.is_null() {
        return None;
    }
    // SAFETY: the caller is about to hand it to libc, which reads it as well.
    let fd = unsafe { number(file) };
    (fd >= 0).then(|| fds::closing(inside, fd))
}

fn closing_directory(inside: &Inside, directory: *mut DIR) -> Option<FdHandle> {
    if directory.is_null() {
        return None;
    }
    // SAFETY: as for a stream.
    let fd = unsafe { libc::dirfd(directory) };
    (fd >= 0).then(|| fds::closing(inside, fd))
}

fn closed_stream(inside: &Inside, op: Op, handle: Option<Option<FdHandle>>, stream: usize) {
    // Whether or not the last flush failed, the descriptor is gone (fclose(3)).
    if let Some(Some(handle)) = handle {
        fds::closed_with_stream(inside, op, handle, stream);
    }
}

/// # Safety
/// As for [`streamed`].
unsafe fn reopened(
    inside: &Inside,
    path: *const c_char,
    mode: *const c_char,
    new: *mut FILE,
    old: Option<Option<FdHandle>>,
) {
    if path.is_null() && !new.is_null() {
        // Only the mode was changed: the same file, at the same or another number.
        // SAFETY: a live stream.
        let fd = unsafe { number(new) };
        if let Some(Some(handle)) = old
            && handle.number == fd as u32
        {
            fds::not_closed(inside.region, handle);
            return;
        }
    }
    // The old descriptor is closed even where the new file cannot be opened.
    if let Some(Some(handle)) = old {
        fds::closed(inside, Op::Replaced, handle, 0);
    }
    // SAFETY: by the caller's promise.
    unsafe { streamed(inside, Op::Freopen, path, mode, new) };
}

fn temporary(inside: &Inside, file: *mut FILE) {
    // SAFETY: null or a live stream.
    let fd = if file.is_null() { -1 } else { unsafe { number(file) } };
    let what = Acquired {
        bits: FD_STREAM,
        mode: 0o600,
        flags: (libc::O_RDWR | libc::O_CREAT | libc::O_EXCL) as u32,
        stream: file as usize,
        ..Acquired::of(Op::Tmpfile, Kind::File)
    };
    fds::result(inside, fd, &what);
}

/// # Safety
/// `mode` was given to a `popen` that returned `file`.
unsafe fn piped(inside: &Inside, mode: *const c_char, file: *mut FILE) {
    if file.is_null() {
        failures::failed(inside, Op::Popen, Kind::Pipe, [0, 0], &[]);
        return;
    }
    // SAFETY: by the caller's promise.
    unsafe {
        let closes = caller::string(mode).contains(&b'e');
        let what = Acquired {
            bits: FD_STREAM | if closes { FD_CLOEXEC } else { 0 },
            stream: file as usize,
            ..Acquired::of(Op::Popen, Kind::Pipe)
        };
        fds::result(inside, number(file), &what);
    }
}

/// # Safety
/// `path` was given to an `opendir` that returned `directory`.
unsafe fn listed(inside: &Inside, path: *const c_char, directory: *mut DIR) {
    // SAFETY: by the caller's promise.
    unsafe {
        let (fd, result) = if directory.is_null() { (-1, -1) } else { (libc::dirfd(directory), 0) };
        let what = Acquired {
            bits: FD_STREAM | FD_CLOEXEC,
            flags: (libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC) as u32,
            stream: directory as usize,
            label: caller::path(path, result, inside.errno),
            ..Acquired::of(Op::Opendir, Kind::Dir)
        };
        fds::result(inside, fd, &what);
    }
}
