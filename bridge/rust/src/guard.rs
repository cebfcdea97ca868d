//! A live resource as a value.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::{acquire, depends, is_on, release, state};

/// Live from its making until it is dropped.
///
/// It belongs into what owns the resource. A value in Rust has no address that stays, so a handle is a
/// number: the program's own ([`Tracked::new`]) or the next one ([`Tracked::numbered`]).
#[derive(Debug)]
#[must_use = "what is not kept is released at once"]
pub struct Tracked {
    kind: &'static str,
    handle: u64,
}

impl Tracked {
    /// A resource that the program has a number for, unique among the live ones of its kind.
    #[inline]
    pub fn new(kind: &'static str, handle: u64, label: &str) -> Tracked {
        acquire(kind, handle, label);
        Tracked { kind, handle }
    }

    /// A resource without a number: it gets one that no other guard made here has.
    ///
    /// Not to be mixed with numbers of the program's own in one kind.
    #[inline]
    pub fn numbered(kind: &'static str, label: &str) -> Tracked {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let handle = if is_on() { NEXT.fetch_add(1, Ordering::Relaxed) } else { 0 };
        Tracked::new(kind, handle, label)
    }

    /// Its kind.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Its number within its kind; 0 if it was [`numbered`](Tracked::numbered) where resshim does not run.
    pub fn handle(&self) -> u64 {
        self.handle
    }

    /// It goes to another state.
    #[inline]
    pub fn state(&self, name: &str) {
        state(self.kind, self.handle, name);
    }

    /// It needs another one; `relation` is a word such as `waits-for`.
    #[inline]
    pub fn depends(&self, other: &Tracked, relation: &str) {
        depends(self.kind, self.handle, other.kind, other.handle, relation);
    }

    /// Ends it now. The same as dropping it, said aloud.
    #[inline]
    pub fn release(self) {}

    /// Gives the guard up without releasing: whoever gets the handle has to call [`release`](crate::release).
    #[inline]
    pub fn into_handle(self) -> u64 {
        let handle = self.handle;
        core::mem::forget(self);
        handle
    }
}

impl Drop for Tracked {
    #[inline]
    fn drop(&mut self) {
        release(self.kind, self.handle);
    }
}
