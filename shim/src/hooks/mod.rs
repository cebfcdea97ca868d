//! The families of hooks; each brings its list.

pub mod cold;
pub mod fd;
pub mod privilege;
pub mod process;
pub mod raw;
pub mod socket;
pub mod stream;
pub mod thread;

use crate::table::Hook;

/// All hooks.
pub fn all() -> impl Iterator<Item = &'static Hook> {
    let families: [&'static [Hook]; 8] = [
        cold::HOOKS,
        fd::HOOKS,
        privilege::HOOKS,
        process::HOOKS,
        raw::HOOKS,
        socket::HOOKS,
        stream::HOOKS,
        thread::HOOKS,
    ];
    families.into_iter().flatten()
}

/// Whether the process's `malloc` is ours, not one that the executable brings.
pub fn owns_malloc() -> bool {
    true
}
