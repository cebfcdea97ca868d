//! The families of hooks; each brings its list.

pub mod cold;
pub mod fd;
pub mod heap;
pub mod mapping;
pub mod message;
pub mod privilege;
pub mod process;
pub mod raw;
pub mod socket;
pub mod stream;
pub mod terminal;
pub mod thread;
pub mod uses;
pub mod waits;

use crate::table::Hook;

/// All hooks.
pub fn all() -> impl Iterator<Item = &'static Hook> + Clone {
    let families: [&'static [Hook]; 14] = [
        cold::HOOKS,
        fd::HOOKS,
        heap::HOOKS,
        mapping::HOOKS,
        message::HOOKS,
        privilege::HOOKS,
        process::HOOKS,
        raw::HOOKS,
        socket::HOOKS,
        stream::HOOKS,
        terminal::HOOKS,
        thread::HOOKS,
        uses::HOOKS,
        waits::HOOKS,
    ];
    families.into_iter().flatten()
}
