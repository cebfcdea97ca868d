//! Names a program's own resources in the report of resshim: sessions, data sources, leases, jobs.
//!
//! ```
//! use resshim_api::{Tracked, phase, state};
//!
//! phase("serving");
//! // Live until it is dropped. What owns the session owns the guard.
//! let session = Tracked::numbered("session", "alice");
//! session.state("busy");
//!
//! // The same with numbers of the program's own, where no value stands for the resource.
//! resshim_api::acquire("lease", 42, "orders/7");
//! state("lease", 42, "renewed");
//! resshim_api::release("lease", 42);
//! ```
//!
//! Where the program does not run under resshim, every call is a load and a comparison. Nothing here
//! blocks, allocates, panics or needs `std`; strings are copied, labels cut at 1023 bytes and the names of
//! kinds at 32, all at their first NUL. Elsewhere than on Linux with glibc nothing is ever done.
#![no_std]

mod guard;
mod shim;
mod text;

pub use guard::Tracked;

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ops::ControlFlow;

use shim::Function;
use text::{KIND, LABEL, Text};

static ACQUIRE: Function = Function::named(c"resshim_acquire");
static RELEASE: Function = Function::named(c"resshim_release");
static STATE: Function = Function::named(c"resshim_state");
static DEPENDS: Function = Function::named(c"resshim_depends");
static PHASE: Function = Function::named(c"resshim_phase");
static EXPECT: Function = Function::named(c"resshim_expect");
static EACH: Function = Function::named(c"resshim_each");

/// Whether the program runs under resshim.
#[inline]
pub fn is_on() -> bool {
    ACQUIRE.address().is_some()
}

/// A resource of `kind` begins; `handle` names it within its kind.
///
/// A kind is any word. A handle that is acquired again was released in between.
#[inline]
pub fn acquire(kind: &str, handle: u64, label: &str) {
    if let Some(address) = ACQUIRE.address() {
        // SAFETY: the type that resshim.h gives this function.
        let f: unsafe extern "C" fn(*const c_char, u64, *const c_char) =
            unsafe { core::mem::transmute(address) };
        let (kind, label) = (Text::<KIND>::of(kind), Text::<LABEL>::of(label));
        // SAFETY: both are C strings that outlive the call.
        unsafe { f(kind.as_ptr(), handle, label.as_ptr()) }
    }
}

/// It ends.
#[inline]
pub fn release(kind: &str, handle: u64) {
    if let Some(address) = RELEASE.address() {
        // SAFETY: as in `acquire`.
        let f: unsafe extern "C" fn(*const c_char, u64) = unsafe { core::mem::transmute(address) };
        let kind = Text::<KIND>::of(kind);
        // SAFETY: as in `acquire`.
        unsafe { f(kind.as_ptr(), handle) }
    }
}

/// It goes to another state.
#[inline]
pub fn state(kind: &str, handle: u64, state: &str) {
    if let Some(address) = STATE.address() {
        // SAFETY: as in `acquire`.
        let f: unsafe extern "C" fn(*const c_char, u64, *const c_char) =
            unsafe { core::mem::transmute(address) };
        let (kind, state) = (Text::<KIND>::of(kind), Text::<LABEL>::of(state));
        // SAFETY: as in `acquire`.
        unsafe { f(kind.as_ptr(), handle, state.as_ptr()) }
    }
}

/// One resource needs another; `relation` is a word such as `waits-for`.
#[inline]
pub fn depends(from_kind: &str, from: u64, to_kind: &str, to: u64, relation: &str) {
    if let Some(address) = DEPENDS.address() {
        // SAFETY: as in `acquire`.
        let f: unsafe extern "C" fn(*const c_char, u64, *const c_char, u64, *const c_char) =
            unsafe { core::mem::transmute(address) };
        let (from_kind, to_kind) = (Text::<KIND>::of(from_kind), Text::<KIND>::of(to_kind));
        let relation = Text::<LABEL>::of(relation);
        // SAFETY: as in `acquire`.
        unsafe { f(from_kind.as_ptr(), from, to_kind.as_ptr(), to, relation.as_ptr()) }
    }
}

/// A phase of the program begins. `exit` is reserved: what is released after it was still open at exit.
#[inline]
pub fn phase(name: &str) {
    if let Some(address) = PHASE.address() {
        // SAFETY: as in `acquire`.
        let f: unsafe extern "C" fn(*const c_char) = unsafe { core::mem::transmute(address) };
        let name = Text::<LABEL>::of(name);
        // SAFETY: as in `acquire`.
        unsafe { f(name.as_ptr()) }
    }
}

/// What the caller acquires of `kind` is expected to live no longer than this.
#[inline]
pub fn expect(kind: &str, seconds: f64) {
    if let Some(address) = EXPECT.address() {
        // SAFETY: as in `acquire`.
        let f: unsafe extern "C" fn(*const c_char, f64) = unsafe { core::mem::transmute(address) };
        let kind = Text::<KIND>::of(kind);
        // SAFETY: as in `acquire`.
        unsafe { f(kind.as_ptr(), seconds) }
    }
}

/// One live resource, as [`each`] shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live<'a> {
    /// Its kind: a word of the program's own, or one of resshim's (`file`, `tcp`, `thread`, …).
    pub kind: &'a CStr,
    /// Its number within the kind: a descriptor, a thread id, the program's own number.
    pub handle: u64,
    /// Path, address, name; may be empty.
    pub label: &'a CStr,
}

/// Calls `visit` with what is live now, of one kind or of all, until it breaks.
pub fn each<F: FnMut(Live<'_>) -> ControlFlow<()>>(kind: Option<&str>, mut visit: F) {
    /// # Safety
    /// `context` is the visitor of the `each` that runs; the strings are C strings.
    unsafe extern "C-unwind" fn one<F: FnMut(Live<'_>) -> ControlFlow<()>>(
        context: *mut c_void,
        kind: *const c_char,
        handle: u64,
        label: *const c_char,
    ) -> c_int {
        // SAFETY: by the caller's promise; nothing else uses the visitor meanwhile.
        let (visit, kind, label) =
            unsafe { (&mut *context.cast::<F>(), CStr::from_ptr(kind), CStr::from_ptr(label)) };
        visit(Live { kind, handle, label }).is_break() as c_int
    }
    type Callback =
        unsafe extern "C-unwind" fn(*mut c_void, *const c_char, u64, *const c_char) -> c_int;
    if let Some(address) = EACH.address() {
        // SAFETY: as in `acquire`.
        let f: unsafe extern "C-unwind" fn(*const c_char, Callback, *mut c_void) =
            unsafe { core::mem::transmute(address) };
        let text = kind.map(Text::<KIND>::of);
        let kind = text.as_ref().map_or(core::ptr::null(), Text::as_ptr);
        // SAFETY: the string and the visitor outlive the call.
        unsafe { f(kind, one::<F>, (&raw mut visit).cast()) }
    }
}
