//! Mappings.
#![allow(unsafe_code, reason = "hooks")]

use crate::emit::{self, Inside};
use crate::stack::here;
use crate::state::{mappings, uses};
use crate::table::hooks;
use core::ffi::{c_int, c_void};
use libc::{off_t, off64_t, size_t};

hooks! {
    fn mmap(address: *mut c_void, length: size_t, protection: c_int, flags: c_int, fd: c_int, offset: off_t) -> *mut c_void; libc;
        after(inside, result) mapped(&inside, result as usize, length, protection, flags, fd);
    fn mmap64(address: *mut c_void, length: size_t, protection: c_int, flags: c_int, fd: c_int, offset: off64_t) -> *mut c_void; libc;
        after(inside, result) mapped(&inside, result as usize, length, protection, flags, fd);
    fn munmap(address: *mut c_void, length: size_t) -> c_int; libc live;
        before(inside) mappings::unmapping(inside, address as usize);
        after(inside, result, row) mappings::unmapped(&inside, address as usize, length, row.flatten(), result);
    by_hand: mremap;
}

fn mapped(
    inside: &Inside,
    result: usize,
    length: usize,
    protection: c_int,
    flags: c_int,
    fd: c_int,
) {
    if result != usize::MAX && flags & libc::MAP_ANONYMOUS == 0 {
        uses::mapped(inside, fd);
    }
    mappings::mapped(inside, result, length, protection, flags, fd);
}

/// Hook of `mremap`; the new address is there only with `MREMAP_FIXED`.
///
/// # Safety
/// That of the real function.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn mremap(
    old: *mut c_void,
    old_length: size_t,
    length: size_t,
    flags: c_int,
    new: *mut c_void,
) -> *mut c_void {
    type Mremap =
        unsafe extern "C-unwind" fn(*mut c_void, size_t, size_t, c_int, ...) -> *mut c_void;
    let at = here();
    let row = emit::enter(at).and_then(|inside| {
        let row = mappings::unmapping(&inside, old as usize);
        inside.leave();
        row
    });
    // SAFETY: the real function with its own, variadic, prototype.
    let result = unsafe {
        let real: Mremap = core::mem::transmute(real::mremap.get());
        real(old, old_length, length, flags, new)
    };
    if let Some(inside) = emit::enter(at) {
        mappings::moved(&inside, old as usize, old_length, result as usize, length, row);
        inside.leave();
    }
    result
}
