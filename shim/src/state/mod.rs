//! What is true now, in the region's tables: one file a kind of row. Safe code: rows are atomics.

pub mod annotated;
pub mod children;
pub mod codes;
pub mod failures;
pub mod fds;
pub mod heap;
pub mod mappings;
pub mod modules;
pub mod sites;
pub mod stacks;
pub mod threads;
pub mod uses;

use crate::region::Region;
use core::sync::atomic::{AtomicU64, Ordering};
use resshim_format::header::FACT_OWN_MAP;
use resshim_format::op::Kind;

/// A region was made: notes what was there before it.
pub fn begin(region: Region) {
    crate::managed::tell(region);
    crate::stack::announce_known();
    fds::census(region);
    uses::begin(region);
    if crate::generated::is_map_ours() {
        region.header().facts.fetch_or(FACT_OWN_MAP, Ordering::Relaxed);
    }
}

/// Stores `text` into a row's words, NUL-padded; a longer one keeps its end, which tells more of a path.
pub fn put_text(words: &[AtomicU64], text: &[u8]) {
    let room = words.len() * 8;
    let text = text.get(text.len().saturating_sub(room)..).unwrap_or(text);
    let mut rest = text;
    for word in words {
        let value = match rest.split_first_chunk::<8>() {
            Some((group, behind)) => {
                rest = behind;
                u64::from_le_bytes(*group)
            }
            None => {
                let last = core::mem::take(&mut rest);
                last.iter().rev().fold(0, |word, byte| word << 8 | *byte as u64)
            }
        };
        word.store(value, Ordering::Relaxed);
    }
}

/// A shortage: the calls that led to it are kept from being overwritten.
pub fn freeze(region: Region, kind: Kind) {
    use crate::private::PRIVATE;
    let bit = 1 << (kind as u32 % 64);
    if PRIVATE.frozen_kinds.fetch_or(bit, Ordering::Relaxed) != 0 {
        // Only the first shortage of a process freezes: two halves would be the whole ring.
        return;
    }
    let next = region.control().next_fill.load(Ordering::Relaxed);
    let half = PRIVATE.chunk_limit.load(Ordering::Relaxed) as u64 / 2;
    PRIVATE.frozen[0].store(next.saturating_sub(half), Ordering::Relaxed);
    PRIVATE.frozen[1].store(next, Ordering::Relaxed);
    let control = region.control();
    control.freeze_from.store(next.saturating_sub(half), Ordering::Relaxed);
    control.freeze_to.store(next, Ordering::Relaxed);
}
