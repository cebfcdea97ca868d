//! The functions behind ours: the next definition of each hooked symbol.
//!
//! All are resolved in one pass at start. A hook that runs before that (a `preinit_array`, ld.so's
//! own `malloc`) resolves its one. Nothing here is `Once` or a lock: resolving twice gives the same
//! answer twice.
#![allow(unsafe_code, reason = "dlsym and the pointers it gives")]

mod symbols;

use core::ffi::{CStr, c_char, c_int, c_void};
use core::sync::atomic::{AtomicPtr, Ordering};
use symbols::Found;

unsafe extern "C" {
    /// `dlsym@GLIBC_2.2.5`: the default version is 2.34 on newer systems, and a preload that asks
    /// for it stops every program on an older one.
    #[link_name = "resshim_dlsym_2_2_5"]
    fn dlsym_old(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn __errno_location() -> *mut c_int;
}

core::arch::global_asm!(".symver resshim_dlsym_2_2_5, dlsym@GLIBC_2.2.5");

/// `RTLD_NEXT`.
const NEXT: *mut c_void = -1isize as *mut c_void;
/// `RTLD_DEFAULT`.
const DEFAULT: *mut c_void = core::ptr::null_mut();

/// A symbol's next definition. The address comes first: tail jumps read it as the first word.
#[repr(C)]
pub struct Real {
    address: AtomicPtr<c_void>,
    name: *const c_char,
    name_bytes: u32,
    hash: u32,
}
// SAFETY: the name is a constant.
unsafe impl Sync for Real {}

impl Real {
    /// Not resolved yet.
    pub const fn new(name: &'static CStr) -> Real {
        Real {
            address: AtomicPtr::new(core::ptr::null_mut()),
            name: name.as_ptr(),
            name_bytes: name.count_bytes() as u32,
            hash: symbols::hash(name),
        }
    }

    /// The symbol.
    pub fn name(&self) -> &'static CStr {
        // SAFETY: both are of the one `CStr` that `new` was given.
        unsafe {
            let bytes = core::slice::from_raw_parts(self.name.cast(), self.name_bytes as usize + 1);
            CStr::from_bytes_with_nul_unchecked(bytes)
        }
    }

    /// Address of the real function, or of one that fails with `ENOSYS` where this system has none.
    #[inline(always)]
    pub fn get(&self) -> *const c_void {
        let address = self.address.load(Ordering::Relaxed);
        if address.is_null() { self.resolve() } else { address }
    }

    /// Looks the symbol up.
    #[cold]
    pub fn resolve(&self) -> *const c_void {
        let found = next(self.name());
        let address = if found.is_null() { missing as *const c_void as *mut c_void } else { found };
        self.address.store(address, Ordering::Relaxed);
        address
    }

    fn is_resolved(&self) -> bool {
        !self.address.load(Ordering::Relaxed).is_null()
    }

    /// Whether the system has it.
    pub fn is_missing(&self) -> bool {
        core::ptr::eq(self.get(), missing as *const c_void)
    }
}

/// Looks all of them up: in the modules' own tables first, by `dlsym` what is not found there or is out
/// of the ordinary.
pub fn resolve_all(all: impl Iterator<Item = &'static Real> + Clone) {
    symbols::each_module_behind(|module| {
        let mut is_whole = true;
        for real in all.clone().filter(|real| !real.is_resolved()) {
            match module.find(real.name(), real.hash) {
                Found::At(address) => {
                    let address = core::ptr::with_exposed_provenance_mut(address);
                    real.address.store(address, Ordering::Relaxed);
                }
                Found::Unclear => {
                    real.resolve();
                }
                Found::Absent => is_whole = false,
            }
        }
        !is_whole
    });
    for real in all.filter(|real| !real.is_resolved()) {
        real.resolve();
    }
}

/// Next definition of `name` behind this object, null if there is none.
pub fn next(name: &CStr) -> *mut c_void {
    // SAFETY: a valid name; `RTLD_NEXT` is resolved by our own return address.
    unsafe { dlsym_old(NEXT, name.as_ptr()) }
}

/// First definition of `name` in the process, null if there is none.
pub fn find(name: &CStr) -> *mut c_void {
    // SAFETY: a valid name.
    unsafe { dlsym_old(DEFAULT, name.as_ptr()) }
}

/// Stands in for a function that this C library has not.
extern "C" fn missing() -> isize {
    set_errno(libc::ENOSYS);
    -1
}

/// This thread's errno.
#[inline(always)]
pub fn errno() -> c_int {
    // SAFETY: glibc gives the address of this thread's errno; it always exists.
    unsafe { *__errno_location() }
}

/// Sets this thread's errno.
#[inline(always)]
pub fn set_errno(value: c_int) {
    // SAFETY: as in `errno`.
    unsafe { *__errno_location() = value }
}
