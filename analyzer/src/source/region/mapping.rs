//! The places of a live region that a reader writes: the drainer's words and the clock of uses in the
//! control page (with its gap in the header), and the state of a chunk that was drained. The one mapping of the analyzer, and its only unsafe code.
#![allow(
    unsafe_code,
    reason = "the state words are changed by compare-and-swap with the traced process"
)]

use std::mem::offset_of;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use resshim_format::header::{CONTROL_OFFSET, Control, Header, STATES_OFFSET};
use resshim_format::ring::drain;
pub use resshim_format::ring::drain::Drainer;

use super::{ChunkCopy, RegionFile};

/// The right to free chunks of a region: at most one drainer lives at a time.
#[derive(Debug)]
pub struct Drain {
    map: MmapRaw,
    chunks: u32,
    me: Drainer,
}

impl Drain {
    /// Claims the role for the process `me`; `alive` tells whether another drainer still lives.
    ///
    /// # Errors
    /// Where the pages cannot be mapped. `Ok(None)`: somebody else drains it.
    pub fn claim(
        region: &RegionFile,
        me: Drainer,
        alive: impl Fn(Drainer) -> bool,
    ) -> std::io::Result<Option<Drain>> {
        let chunks = region.header().chunk_limit;
        let length = STATES_OFFSET + chunks as usize * 8;
        if !long_enough(region, length) {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let map = MmapOptions::new().len(length).map_raw(region.file())?;
        let drain = Drain { map, chunks, me };
        let claimed = drain::claim(&drain.control().drainer, me, alive);
        Ok(claimed.then_some(drain))
    }

    /// Frees a chunk whose copy is stored; false if it was written or begun anew meanwhile.
    pub fn free(&self, region: &RegionFile, copy: &ChunkCopy) -> bool {
        let end = STATES_OFFSET + self.chunks as usize * 8;
        if copy.index >= self.chunks || !long_enough(region, end) {
            return false;
        }
        drain::free(self.word(STATES_OFFSET + copy.index as usize * 8), &copy.copied())
    }

    /// Gives the role back.
    pub fn release(self, region: &RegionFile) {
        if long_enough(region, STATES_OFFSET) {
            drain::release(&self.control().drainer, self.me);
        }
    }

    /// Moves the clock on that uses of descriptors are stamped with.
    pub fn step_uses(&self, region: &RegionFile) {
        if !long_enough(region, STATES_OFFSET) {
            return;
        }
        let Some(now) = counter() else { return };
        let clock = &self.control().use_clock;
        let before = clock.load(Ordering::Relaxed);
        // 0: this process stamps none.
        if before != 0 && now > before {
            clock.store(now, Ordering::Relaxed);
            let gap = self.word(offset_of!(Header, use_clock_gap));
            gap.fetch_max(now - before, Ordering::Relaxed);
        }
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset + 8 <= self.map.len() && offset.is_multiple_of(8));
        // SAFETY: inside the mapping (just checked) and aligned, since a mapping begins at a page;
        // both sides use these words as atomics only; the mapping lives as long as `self`.
        unsafe { &*self.map.as_mut_ptr().add(offset).cast::<AtomicU64>() }
    }

    fn control(&self) -> &Control {
        // SAFETY: `claim` mapped at least the first three pages, the control page is the second;
        // `Control` is made of atomics, for which any bits are a value.
        unsafe { &*self.map.as_mut_ptr().add(CONTROL_OFFSET).cast::<Control>() }
    }
}

/// The processor's counter, where it is what regions tell time by.
#[cfg(target_arch = "x86_64")]
fn counter() -> Option<u64> {
    // SAFETY: an instruction that every processor of this architecture has.
    Some(unsafe { core::arch::x86_64::_rdtsc() })
}

/// The processor's counter, where it is what regions tell time by.
#[cfg(not(target_arch = "x86_64"))]
fn counter() -> Option<u64> {
    None
}

/// A file of ours shrinks only where somebody damages it on purpose: asked before each access.
fn long_enough(region: &RegionFile, length: usize) -> bool {
    region.file().metadata().is_ok_and(|data| data.len() >= length as u64)
}
