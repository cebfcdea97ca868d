//! A process that forbids itself system calls (seccomp) must not die of one of ours.
//!
//! What a filter allows is not looked into: from the moment before it is installed, this process and its
//! children make no system call for the shim any more. The region is made before, with room to go on
//! with; when that is used up, history is lost and counted, while tables go on in the pages they have.

use crate::region::Region;
use core::sync::atomic::{AtomicU32, Ordering};

/// Not part of the private state: a fork child inherits the filter.
static SEALED: AtomicU32 = AtomicU32::new(0);

/// Chunks that a sealed process can still use: half a MiB of history.
const CHUNKS: usize = 32;

/// Whether the shim may make system calls.
#[inline(always)]
pub fn is_sealed() -> bool {
    SEALED.load(Ordering::Relaxed) != 0
}

/// A filter is about to be installed: what will be needed is taken now. No system call after this.
pub fn close(region: Option<Region>) {
    use resshim_format::ring::writer::Grow;
    if let Some(region) = region {
        while region.populated() < CHUNKS && region.grow() {}
        region.reserve_rows();
    }
    SEALED.fetch_add(1, Ordering::AcqRel);
}

/// The filter was not installed after all.
pub fn reopen() {
    SEALED.fetch_sub(1, Ordering::AcqRel);
}
