//! The functions behind ours: the next definition of each hooked symbol.
//!
//! All are resolved in one pass at start. A hook that runs before that (a `preinit_array`, ld.so's
//! own `malloc`) resolves its one. Nothing here is `Once` or a lock: resolving twice gives the same
//! answer twice.
#![allow(unsafe_code, reason = "dlsym and the pointers it gives")]

pub mod symbols;

use core::ffi::{CStr, c_char, c_int, c_void};
use core::sync::atomic::{AtomicPtr, Ordering};
use symbols::Found;

unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
    /// Below. A plain reference to a weak symbol would be taken for one that is never null.
    safe fn resshim_dlsym_address() -> *const c_void;
}

// `dlsym@GLIBC_2.2.5`: the default version is 2.34 on newer systems, and a preload that asks for it stops
// every program on an older one. Weak: before 2.34 it is libdl's, which many programs have not loaded.
core::arch::global_asm!(
    ".symver resshim_dlsym_2_2_5, dlsym@GLIBC_2.2.5",
    ".weak resshim_dlsym_2_2_5",
    ".text",
    ".globl resshim_dlsym_address",
    ".hidden resshim_dlsym_address",
    ".type resshim_dlsym_address,@function",
    "resshim_dlsym_address:",
    "mov rax, qword ptr [rip + resshim_dlsym_2_2_5@GOTPCREL]",
    "ret",
    ".size resshim_dlsym_address, . - resshim_dlsym_address",
);
type Dlsym = unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void;

/// `dlsym`; null where the process has none, as where it finds nothing.
fn dlsym(handle: *mut c_void, name: &CStr) -> *mut c_void {
    let at = resshim_dlsym_address();
    if at.is_null() {
        return core::ptr::null_mut();
    }
    // SAFETY: it is glibc's function, and the name is valid; `RTLD_NEXT` is resolved by our own return address.
    unsafe { core::mem::transmute::<*const c_void, Dlsym>(at)(handle, name.as_ptr()) }
}

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
    /// What stands at `address` until it is resolved; null for most.
    stand_in: *const (),
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
            stand_in: core::ptr::null(),
        }
    }

    /// Not resolved yet, for a hook that has no look at the pointer before it calls it: until it is, `stand_in` is
    /// called, which has [`find_and_go_on`] do the rest.
    pub const fn standing_in(name: &'static CStr, stand_in: *const ()) -> Real {
        let address = AtomicPtr::new(stand_in as *mut c_void);
        Real { address, stand_in, ..Real::new(name) }
    }

    /// What a hook of such a function calls.
    #[inline(always)]
    pub fn stood_for(&self) -> *const c_void {
        self.address.load(Ordering::Relaxed)
    }

    /// The symbol.
    pub fn name(&self) -> &'static CStr {
        // SAFETY: both are of the one `CStr` that `new` was given.
        unsafe {
            let bytes = core::slice::from_raw_parts(self.name.cast(), self.name_bytes as usize + 1);
            CStr::from_bytes_with_nul_unchecked(bytes)
        }
    }

    /// Address of the real function, or of one that fails with `ENOSYS` where this system has none. What was
    /// missing before is looked for again: before glibc 2.34 a plugin may bring libpthread.
    #[inline(always)]
    pub fn get(&self) -> *const c_void {
        let address = self.address.load(Ordering::Relaxed);
        if address.is_null() || core::ptr::eq(address, missing as *const c_void) {
            self.resolve()
        } else {
            address
        }
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
        let address = self.address.load(Ordering::Relaxed);
        !address.is_null() && !core::ptr::addr_eq(address, self.stand_in)
    }

    /// Whether the system has it.
    pub fn is_missing(&self) -> bool {
        core::ptr::eq(self.get(), missing as *const c_void)
    }
}

/// Finds the function whose slot is in r11, and goes on there with the arguments of who has called.
#[unsafe(naked)]
pub unsafe extern "C-unwind" fn find_and_go_on() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "push rdi", "push rsi", "push rdx", "push rcx", "push r8", "push r9", "push rax",
        ".cfi_adjust_cfa_offset 56",
        "mov rdi, r11",
        "call {resolve}",
        "mov r11, rax",
        "pop rax", "pop r9", "pop r8", "pop rcx", "pop rdx", "pop rsi", "pop rdi",
        ".cfi_adjust_cfa_offset -56",
        "jmp r11",
        ".cfi_endproc",
        resolve = sym resolve_slot,
    )
}

extern "C" fn resolve_slot(real: &'static Real) -> *const c_void {
    real.resolve()
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
    let found = dlsym(NEXT, name);
    if found.is_null() { behind(name) } else { found }
}

/// First definition of `name` in the process, null if there is none.
pub fn find(name: &CStr) -> *mut c_void {
    let found = dlsym(DEFAULT, name);
    if found.is_null() { behind(name) } else { found }
}

/// By the modules' own tables: where there is no `dlsym`, and in libraries that were loaded for a plugin alone.
fn behind(name: &CStr) -> *mut c_void {
    let (hash, mut address) = (symbols::hash(name), 0);
    symbols::each_module_behind(|module| match module.find(name, hash) {
        Found::At(at) => {
            address = at;
            false
        }
        Found::Absent | Found::Unclear => true,
    });
    core::ptr::with_exposed_provenance_mut(address)
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
