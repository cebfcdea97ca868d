//! The atomics of the ring: `core`'s, or loom's under `--cfg loom`.
//!
//! Under loom each operation is also a step at which its thread may be killed: see [`die_after`].

#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
#[cfg(loom)]
pub use loom::sync::atomic::Ordering;
#[cfg(loom)]
pub use modelled::{AtomicU32, AtomicU64, die_after, fence, is_dead, steps_left};

/// Loom's atomics, which a dead thread no longer changes.
///
/// A killed thread is one whose operations have no effect from some step on: whatever it goes on to
/// compute, no other thread can tell it from one that stopped there. Nothing unwinds, nothing blocks.
#[cfg(loom)]
mod modelled {
    use core::cell::Cell;
    use loom::sync::atomic::Ordering;

    loom::thread_local! {
        static STEPS: Cell<usize> = Cell::new(usize::MAX);
    }

    /// Lets the calling thread do this many more operations; it is dead then.
    pub fn die_after(steps: usize) {
        STEPS.with(|left| left.set(steps));
    }

    /// Operations that the calling thread may still do.
    pub fn steps_left() -> usize {
        STEPS.with(Cell::get)
    }

    /// Whether the calling thread was killed.
    pub fn is_dead() -> bool {
        steps_left() == 0
    }

    /// Counts a step; false if the thread does not live to do it.
    fn step() -> bool {
        let left = steps_left();
        die_after(left.saturating_sub(1));
        left > 0
    }

    /// A fence, for who lives.
    pub fn fence(order: Ordering) {
        if step() {
            loom::sync::atomic::fence(order);
        }
    }

    macro_rules! modelled {
        ($name:ident, $int:ty) => {
            /// Loom's atomic of this name.
            #[derive(Debug)]
            pub struct $name(loom::sync::atomic::$name);

            #[allow(missing_docs, reason = "the methods of `core`'s atomic of this name")]
            impl $name {
                pub fn new(value: $int) -> Self {
                    Self(loom::sync::atomic::$name::new(value))
                }
                pub fn load(&self, order: Ordering) -> $int {
                    if step() { self.0.load(order) } else { 0 }
                }
                pub fn store(&self, value: $int, order: Ordering) {
                    if step() {
                        self.assert_alone();
                        self.0.store(value, order);
                    }
                }
                /// Loom gives the writes of a word one order, that in which they were executed; in truth
                /// two that race may come to stand in any. So each write before a plain store must have
                /// happened before it. (A word that many write at once is changed by `swap` and the like.)
                #[allow(unsafe_code, reason = "loom's name for its check of races")]
                fn assert_alone(&self) {
                    // SAFETY: loom reports a race instead of making one; the value is not used.
                    unsafe { self.0.unsync_load() };
                }
                pub fn swap(&self, value: $int, order: Ordering) -> $int {
                    if step() { self.0.swap(value, order) } else { 0 }
                }
                pub fn fetch_add(&self, value: $int, order: Ordering) -> $int {
                    if step() { self.0.fetch_add(value, order) } else { 0 }
                }
                pub fn compare_exchange(
                    &self,
                    from: $int,
                    to: $int,
                    done: Ordering,
                    failed: Ordering,
                ) -> Result<$int, $int> {
                    if step() { self.0.compare_exchange(from, to, done, failed) } else { Err(0) }
                }
            }
        };
    }
    modelled!(AtomicU32, u32);
    modelled!(AtomicU64, u64);
}
