//! Where the shim's functions are, if it is there.
//!
//! Asked of the dynamic loader by name, once each: a weak reference would be settled as null for good
//! by the linker of an executable that is not position-independent.

use core::ffi::{CStr, c_void};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, Ordering};

/// A function of `resshim.h`.
pub struct Function {
    name: &'static CStr,
    /// Null: not asked yet. [`ABSENT`]: not there.
    slot: AtomicPtr<c_void>,
}

const ABSENT: *mut c_void = core::ptr::without_provenance_mut(1);

impl Function {
    pub const fn named(name: &'static CStr) -> Function {
        Function { name, slot: AtomicPtr::new(core::ptr::null_mut()) }
    }

    /// Its address. The shim is loaded with the program or never: what was found once stays.
    #[inline]
    pub fn address(&self) -> Option<NonNull<c_void>> {
        let known = self.slot.load(Ordering::Relaxed);
        match NonNull::new(known) {
            Some(_) if known == ABSENT => None,
            Some(address) => Some(address),
            None => self.find(),
        }
    }

    #[cold]
    fn find(&self) -> Option<NonNull<c_void>> {
        let found = NonNull::new(look_up(self.name));
        let known = found.map_or(ABSENT, NonNull::as_ptr);
        self.slot.store(known, Ordering::Relaxed);
        found
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn look_up(name: &CStr) -> *mut c_void {
    unsafe extern "C" {
        fn dlsym(handle: *mut c_void, name: *const core::ffi::c_char) -> *mut c_void;
    }
    // SAFETY: RTLD_DEFAULT is null in glibc; the name is a C string.
    unsafe { dlsym(core::ptr::null_mut(), name.as_ptr()) }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn look_up(_: &CStr) -> *mut c_void {
    core::ptr::null_mut()
}
