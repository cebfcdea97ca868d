//! What a caller's pointers point at. Read only after the kernel accepted them: success, or an errno
//! other than `EFAULT` (`open((char *)8)` stays `EFAULT`, it does not become a fault of ours).
#![allow(unsafe_code, reason = "reads the caller's memory")]

use crate::label;
use core::ffi::{c_char, c_int, c_void};

/// Longest string that is looked at.
const LONGEST: usize = 1024;

/// A path that the kernel accepted; empty if it did not.
///
/// # Safety
/// `path` was given to a system call that ended with `errno` (0 = success).
pub unsafe fn path<'a>(path: *const c_char, result: isize, errno: c_int) -> &'a [u8] {
    if path.is_null() || (result < 0 && errno == libc::EFAULT) {
        return &[];
    }
    // SAFETY: the kernel has read this string to its end.
    let path = unsafe { string(path) };
    if path.contains(&b':') { label::place_of_url(path) } else { path }
}

/// A string that libc has read to its end (a `fopen` mode, a library's name).
///
/// # Safety
/// `text` is a C string.
pub unsafe fn string<'a>(text: *const c_char) -> &'a [u8] {
    if text.is_null() {
        return &[];
    }
    // SAFETY: reads up to the NUL; the slice ends there.
    unsafe {
        let mut length = 0;
        while length < LONGEST && *text.add(length) != 0 {
            length += 1;
        }
        core::slice::from_raw_parts(text.cast(), length)
    }
}

/// The bytes of an address of `length`, as the kernel read or wrote it.
///
/// # Safety
/// The kernel accepted `address` with this length.
pub unsafe fn address<'a>(address: *const c_void, length: u32) -> &'a [u8] {
    if address.is_null() {
        return &[];
    }
    // SAFETY: by the caller's promise; a longer value than any sockaddr is cut.
    unsafe { core::slice::from_raw_parts(address.cast(), (length as usize).min(128)) }
}
