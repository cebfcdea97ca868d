//! The families of hooks; each brings its list.

pub mod fd;
pub mod process;
pub mod thread;

use crate::table::Hook;

/// All hooks.
pub fn all() -> impl Iterator<Item = &'static Hook> {
    fd::HOOKS.iter().chain(process::HOOKS).chain(thread::HOOKS)
}

/// Whether the process's `malloc` is ours, not one that the executable brings.
pub fn owns_malloc() -> bool {
    true
}
