//! The executable's program headers, as the kernel told them.
//!
//! `_dl_find_object` gives an executable whose segments have gaps between them one segment at a time:
//! neither its unwind tables nor its notes are in the segment of its code. The kernel has put the
//! address of its program headers on the start-up stack; they say where all of it is.

use super::modules::{LOAD, MOST_HEADERS, ProgramHeader};
use core::mem::align_of;
use core::ptr::with_exposed_provenance;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Where the headers themselves are: tells the bias.
const HEADERS: u32 = 6;
const PAGE: usize = 4096;

static ADDRESS: AtomicUsize = AtomicUsize::new(0);
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// `AT_PHDR` and `AT_PHNUM`; without them, or with values that cannot be, the executable is what the
/// loader says.
///
/// # Safety
/// The kernel's values for this process: so many headers stand there, and stay.
pub unsafe fn set_program_headers(address: usize, count: usize) {
    if address != 0 && address.is_multiple_of(align_of::<ProgramHeader>()) && count <= MOST_HEADERS
    {
        COUNT.store(count, Ordering::Relaxed);
        ADDRESS.store(address, Ordering::Release);
    }
}

/// The headers; none where nobody told them.
pub(super) fn headers() -> &'static [ProgramHeader] {
    let address = ADDRESS.load(Ordering::Acquire);
    if address == 0 {
        return &[];
    }
    let count = COUNT.load(Ordering::Relaxed);
    // SAFETY: by the promise of `set_program_headers`; they are in a read-only segment.
    unsafe { core::slice::from_raw_parts(with_exposed_provenance(address), count) }
}

/// What is added to the executable's own addresses.
pub(super) fn bias() -> Option<usize> {
    let own = headers().iter().find(|header| header.kind == HEADERS)?;
    Some(ADDRESS.load(Ordering::Acquire).wrapping_sub(own.address))
}

/// Lowest address and end of the whole executable, if `pc` is in one of its segments.
pub(super) fn range_around(pc: usize) -> Option<(usize, usize)> {
    let (headers, bias) = (headers(), bias()?);
    let (mut start, mut end, mut is_inside) = (usize::MAX, 0, false);
    for header in headers.iter().filter(|header| header.kind == LOAD) {
        let at = bias.wrapping_add(header.address);
        is_inside |= pc.wrapping_sub(at) < header.bytes;
        start = start.min(at & !(PAGE - 1));
        end = end.max(at.wrapping_add(header.bytes));
    }
    (is_inside && start < end).then_some((start, end))
}
