//! The system calls that the shim makes for itself: never through libc, whose functions are hooked
//! and set errno. This file is the whole list (a test, `system_calls`, holds it against strace):
//! `openat mkdirat fstat newfstatat getdents64 readlinkat read write mmap munmap close madvise ftruncate
//! flock unlinkat fstatfs fallocate prlimit64 getsockopt getpid gettid getppid geteuid`, and `clock_gettime` through the vDSO.
#![allow(unsafe_code, reason = "raw system calls, vDSO, counter")]

use core::ffi::CStr;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use rustix::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};

/// A descriptor of the shim's own, closed by the kernel's call. `OwnedFd` alone does not do: where
/// another crate of the same build switches on rustix's `std`, it is std's, whose end is libc's
/// `close`, which is our own hook, which would make a region for it.
pub struct Descriptor(ManuallyDrop<OwnedFd>);

impl Descriptor {
    fn new(fd: OwnedFd) -> Descriptor {
        Descriptor(ManuallyDrop::new(fd))
    }
}
impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: this is the end of the one owner: the field is not looked at again.
        let fd = unsafe { ManuallyDrop::take(&mut self.0) }.into_raw_fd();
        // SAFETY: nobody else owns the number.
        unsafe { rustix::io::close(fd) }
    }
}

/// Opens a directory for use as a base of other names, without following a link at its end.
pub fn open_directory(path: &CStr) -> Result<Descriptor, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).map(Descriptor::new)
}

/// Makes a directory for its owner alone.
pub fn make_directory(path: &CStr) -> Result<(), Errno> {
    rustix::fs::mkdirat(CWD, path, Mode::RWXU)
}

/// Whether a directory belongs to `euid` and nobody else may write into it.
pub fn is_private(directory: BorrowedFd, euid: u32) -> bool {
    rustix::fs::fstat(directory).is_ok_and(|stat| {
        stat.st_uid == euid && stat.st_mode & 0o170000 == 0o040000 && stat.st_mode & 0o022 == 0
    })
}

/// Makes a new file, readable and writable by its owner alone.
pub fn create(directory: BorrowedFd, name: &CStr) -> Result<Descriptor, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR).map(Descriptor::new)
}

/// Opens a file for appending, made if it is not there.
pub fn append(directory: BorrowedFd, name: &CStr) -> Result<Descriptor, Errno> {
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR).map(Descriptor::new)
}

/// Opens a file that others map as well, made if it is not there.
pub fn open_shared(directory: BorrowedFd, name: &CStr) -> Result<Descriptor, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR).map(Descriptor::new)
}

/// Opens a directory below another one.
pub fn open_below(directory: BorrowedFd, name: &CStr) -> Result<Descriptor, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::empty()).map(Descriptor::new)
}

/// Length of a file.
pub fn length(file: impl AsFd) -> Result<u64, Errno> {
    Ok(rustix::fs::fstat(file)?.st_size as u64)
}

/// Bytes that a file takes, and when it was last changed by a call, nanoseconds since 1970.
pub fn bytes_and_time(directory: BorrowedFd, name: &CStr) -> Result<(u64, u64), Errno> {
    let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let time = (stat.st_mtime as u64).wrapping_mul(1_000_000_000).wrapping_add(stat.st_mtime_nsec);
    Ok(((stat.st_blocks as u64).saturating_mul(512), time))
}

/// Bytes that are free on the file system of a directory.
pub fn free_bytes(directory: BorrowedFd) -> Result<u64, Errno> {
    let stat = rustix::fs::fstatfs(directory)?;
    Ok((stat.f_bavail as u64).saturating_mul(stat.f_bsize as u64))
}

/// Whether nobody has this file mapped or open who said so with [`lock_shared`].
pub fn owner_is_dead(directory: BorrowedFd, name: &CStr) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(directory, name, flags, Mode::empty()).map(Descriptor::new);
    opened.is_ok_and(|file| {
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok()
    })
}

/// Opens a file for reading.
pub fn open_read(path: &CStr) -> Result<Descriptor, Errno> {
    rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map(Descriptor::new)
}

/// Reads up to a full buffer from the current position; the bytes read.
pub fn read(file: impl AsFd, into: &mut [u8]) -> Result<usize, Errno> {
    rustix::io::read(file, into)
}

/// Writes once.
pub fn write(file: impl AsFd, bytes: &[u8]) -> Result<usize, Errno> {
    rustix::io::write(file, bytes)
}

/// Reads a whole small file, as far as it fits; the bytes read.
pub fn read_file(path: &CStr, into: &mut [u8]) -> Result<usize, Errno> {
    let file = open_read(path)?;
    let mut length = 0;
    while let Some(rest) = into.get_mut(length..) {
        match read(&file, rest) {
            Ok(0) | Err(_) => break,
            Ok(count) => length += count,
        }
        if length >= into.len() {
            break;
        }
    }
    Ok(length)
}

/// Domain and type of a socket, which this process owns.
pub fn socket(fd: core::ffi::c_int) -> Option<(core::ffi::c_int, core::ffi::c_int)> {
    // SAFETY: only asked about, and not kept; the kernel refuses a number that is none.
    let fd = unsafe { BorrowedFd::borrow_raw(fd.max(0)) };
    let domain = rustix::net::sockopt::socket_domain(fd).ok()?;
    let kind = rustix::net::sockopt::socket_type(fd).ok()?;
    Some((domain.as_raw().into(), kind.as_raw() as core::ffi::c_int))
}

/// Whether this process is known to be behind no seccomp filter: one that was installed before it began.
#[cold]
#[inline(never)]
pub fn is_unfiltered() -> bool {
    let mut status = [0; 2048];
    let length = read_file(c"/proc/self/status", &mut status).unwrap_or(0);
    let status = status.get(..length).unwrap_or(&[]);
    let mode = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Seccomp:"));
    mode.is_some_and(|mode| mode.trim_ascii() == b"0")
}

/// Hands out the list of this process's mappings piece by piece, as long as `wants_more`.
pub fn read_maps(wants_more: &mut dyn FnMut(&[u8]) -> bool) {
    let Ok(file) = open_read(c"/proc/self/maps") else { return };
    let mut buffer = [0; 1024];
    while let Ok(count) = read(&file, &mut buffer) {
        let piece = buffer.get(..count).unwrap_or(&[]);
        if piece.is_empty() || !wants_more(piece) {
            return;
        }
    }
}

/// What a link points at; cut at the buffer's length.
pub fn read_link(path: &CStr, into: &mut [u8]) -> Result<usize, Errno> {
    rustix::fs::readlinkat_raw(CWD, path, into)
}

/// Sets a file's length. The caller has asked [`file_size_limit`] first.
pub fn set_length(file: impl AsFd, length: u64) -> Result<(), Errno> {
    rustix::fs::ftruncate(file, length)
}

/// Has the kernel promise a part of a file; for kernels that cannot by [`populate`].
pub fn reserve(file: impl AsFd, offset: u64, length: u64) -> Result<(), Errno> {
    rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), offset, length)
}

/// Says that the open file is in use, for as long as it is open or mapped; fails where somebody is
/// removing it, or has.
pub fn lock_shared(file: impl AsFd) -> Result<(), Errno> {
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared)?;
    if rustix::fs::fstat(&file)?.st_nlink == 0 { Err(Errno::NOENT) } else { Ok(()) }
}

/// Calls `each` with the names of a directory, as far as one buffer of 4 KiB at a time goes.
pub fn names(directory: BorrowedFd, mut each: impl FnMut(&CStr)) {
    let mut buffer = [core::mem::MaybeUninit::<u8>::uninit(); 2048];
    let mut entries = rustix::fs::RawDir::new(directory, &mut buffer);
    while let Some(Ok(entry)) = entries.next() {
        each(entry.file_name());
    }
}

/// Removes a name.
pub fn unlink(directory: BorrowedFd, name: &CStr) -> Result<(), Errno> {
    rustix::fs::unlinkat(directory, name, AtFlags::empty())
}

/// Maps a file shared for reading and writing, no page touched.
pub fn map_shared(file: impl AsFd, length: usize) -> Result<NonNull<u8>, Errno> {
    // SAFETY: the kernel chooses the place: nothing that exists is mapped over.
    let address = unsafe {
        rustix::mm::mmap(
            core::ptr::null_mut(),
            length,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::SHARED | MapFlags::NORESERVE,
            file,
            0,
        )?
    };
    NonNull::new(address.cast()).ok_or(Errno::NOMEM)
}

/// Gives a mapping back.
///
/// # Safety
/// Nothing may use it any more.
pub unsafe fn unmap(address: NonNull<u8>, length: usize) {
    // SAFETY: by the caller's promise.
    let _ = unsafe { rustix::mm::munmap(address.as_ptr().cast(), length) };
}

/// Has the kernel promise (and zero) pages of a shared mapping, so that touching them cannot fault.
///
/// # Safety
/// The range lies in a mapping of ours.
pub unsafe fn populate(address: *mut u8, length: usize) -> Result<(), Errno> {
    // SAFETY: populating changes no byte.
    unsafe { rustix::mm::madvise(address.cast(), length, Advice::LinuxPopulateWrite) }
}

/// Has the kernel hand zeroed pages to a fork child in place of these.
///
/// # Safety
/// The range is whole pages of private anonymous memory of ours.
pub unsafe fn wipe_on_fork(address: *mut u8, length: usize) -> Result<(), Errno> {
    // SAFETY: changes nothing in this process.
    unsafe { rustix::mm::madvise(address.cast(), length, Advice::LinuxWipeOnFork) }
}

/// Largest size that a file may be made to without `SIGXFSZ`.
pub fn file_size_limit() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Fsize).current.unwrap_or(u64::MAX)
}

/// Soft limit of a resource, `u64::MAX` = none.
pub fn limit(resource: rustix::process::Resource) -> u64 {
    rustix::process::getrlimit(resource).current.unwrap_or(u64::MAX)
}

/// This process.
pub fn pid() -> u32 {
    rustix::process::getpid().as_raw_nonzero().get() as u32
}

/// Its parent, 0 = none in this namespace.
pub fn parent_pid() -> u32 {
    rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get() as u32)
}

/// This thread.
pub fn tid() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get() as u32
}

/// Effective user.
pub fn euid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The processor's time stamp counter.
#[inline(always)]
pub fn counter() -> u64 {
    // SAFETY: every x86_64 processor has it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

fn clock(which: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec; not hooked, answered by the vDSO, keeps errno on success.
    unsafe { libc::clock_gettime(which, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// `CLOCK_MONOTONIC`, nanoseconds.
pub fn monotonic_ns() -> u64 {
    clock(libc::CLOCK_MONOTONIC)
}

/// Processor time of this process so far, nanoseconds.
pub fn cpu_ns() -> u64 {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// `CLOCK_REALTIME`, nanoseconds since 1970.
pub fn realtime_ns() -> u64 {
    clock(libc::CLOCK_REALTIME)
}
