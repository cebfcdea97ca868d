//! Threads.

/// Called once at start.
pub fn prepare() {}
