//! The cache pc → rule code, shared by all threads: an entry is one word, so that it is whole or absent.
//!
//! ```text
//! pc    = page:38 (its low bits, as many as pages are in use, pick the page) | way:1 | set:8
//! slot  = page · 512 + way · 256 + set, or the other way of the set
//! entry = page:38 | way:1 | generation:5 | code:20     0 = empty
//! ```
//!
//! A walk waits from frame to frame for the return address, the entry, the next CFA. So nothing is hashed
//! (the low bits of return addresses are as good), and the code is the entry's low bits as they are.
//!
//! Slot and entry give back the whole pc, so a hit is never another pc's. A page of 512 entries is
//! in use at first; when live entries are driven out the number doubles, up to 128 KiB, so a process with
//! few events touches 4 KiB. The generation is 1 + epoch mod 31: entries of an earlier one are misses,
//! and all pages are emptied before a generation number comes round again.

use super::apart;
use super::arch::HIGHEST_PC;
use super::rule::CODE_BITS;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

const PAGE_ENTRIES: usize = 512;
const MOST_PAGES: usize = 32;
const MOST_ENTRIES: usize = PAGE_ENTRIES * MOST_PAGES;
const SETS: usize = PAGE_ENTRIES / 2;
const GENERATIONS: u32 = 31;
const WAY_SHIFT: u32 = 25;
const CODE_MASK: u64 = (1 << CODE_BITS) - 1;
/// Evictions for each page in use after which their number doubles.
const PATIENCE: u32 = 64;

apart! { static ENTRIES: [AtomicU64; MOST_ENTRIES] = "resshim_rule_cache"; }

#[repr(align(64))]
struct Geometry {
    /// Pages in use, less one.
    page_mask: AtomicU32,
    /// Generation, already at its place in an entry.
    generation: AtomicU64,
}
static GEOMETRY: Geometry =
    Geometry { page_mask: AtomicU32::new(0), generation: AtomicU64::new(1 << CODE_BITS) };
/// Live entries driven out since the number of pages last changed.
static EVICTIONS: AtomicU32 = AtomicU32::new(0);

const _: () = assert!(HIGHEST_PC == 1 << 47, "an entry has 47 bits of the pc");

/// The cache as one walk sees it.
#[derive(Clone, Copy)]
pub struct View {
    /// Entries in use, less one.
    mask: usize,
    generation: u64,
}

/// Where a pc stands and what its entry begins with.
#[derive(Clone, Copy)]
struct Place {
    slot: usize,
    tag: u64,
}

impl View {
    /// The cache as it is now.
    #[inline(always)]
    pub fn now() -> View {
        let pages = GEOMETRY.page_mask.load(Ordering::Relaxed) as usize;
        View {
            generation: GEOMETRY.generation.load(Ordering::Acquire),
            mask: ((pages * PAGE_ENTRIES) | (PAGE_ENTRIES - 1)) & (MOST_ENTRIES - 1),
        }
    }

    #[inline(always)]
    fn place(self, pc: usize) -> Place {
        let tag = ((pc / SETS) as u64) << WAY_SHIFT | self.generation;
        Place { slot: pc & self.mask, tag }
    }

    #[inline(always)]
    fn ways(place: Place) -> Option<[&'static AtomicU64; 2]> {
        Some([ENTRIES.get(place.slot)?, ENTRIES.get(place.slot ^ SETS)?])
    }

    /// The code of a pc (below [`HIGHEST_PC`]) in the low [`CODE_BITS`].
    #[inline(always)]
    pub fn get(self, pc: usize) -> Option<u32> {
        let place = self.place(pc);
        let [first, second] = View::ways(place)?;
        let mut entry = first.load(Ordering::Relaxed);
        if (entry ^ place.tag) & !CODE_MASK != 0 {
            core::hint::cold_path();
            entry = second.load(Ordering::Relaxed);
            if (entry ^ place.tag) & !CODE_MASK != 0 {
                return None;
            }
        }
        Some(entry as u32)
    }

    /// Remembers the code of a pc for the generation of this view.
    pub fn put(self, pc: usize, code: u32) {
        let place = self.place(pc);
        let Some(ways) = View::ways(place) else { return };
        let entry = place.tag | u64::from(code) & CODE_MASK;
        for way in ways {
            if !self.is_live(way.load(Ordering::Relaxed), place) {
                way.store(entry, Ordering::Relaxed);
                return;
            }
        }
        let evicted = EVICTIONS.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let [first, second] = ways;
        if evicted & 1 == 0 { first } else { second }.store(entry, Ordering::Relaxed);
        let pages = (self.mask / PAGE_ENTRIES) as u32 + 1;
        if evicted >= PATIENCE * pages && (pages as usize) < MOST_PAGES {
            EVICTIONS.store(0, Ordering::Relaxed);
            GEOMETRY.page_mask.store(pages * 2 - 1, Ordering::Relaxed);
        }
    }

    /// Whether an entry can still be hit: it is of this generation, and its pc belongs in this page (not
    /// so for some of the entries made when fewer pages were in use).
    fn is_live(self, entry: u64, place: Place) -> bool {
        let differs = entry ^ place.tag;
        let pages_in_use = (self.mask / PAGE_ENTRIES) as u64;
        let generation = ((1 << WAY_SHIFT) - 1) & !CODE_MASK;
        differs & generation == 0 && differs >> (WAY_SHIFT + 1) & pages_in_use == 0
    }
}

/// Makes all entries misses. A thread that is just filling one for code that is being unloaded can
/// not exist: it would be running that code.
pub fn next_generation() {
    let now = (GEOMETRY.generation.load(Ordering::Relaxed) >> CODE_BITS) as u32;
    let next = now % GENERATIONS + 1;
    if next == 1 {
        let pages = GEOMETRY.page_mask.load(Ordering::Relaxed) as usize + 1;
        for entry in ENTRIES.iter().take(pages * PAGE_ENTRIES) {
            entry.store(0, Ordering::Relaxed);
        }
    }
    GEOMETRY.generation.store(u64::from(next) << CODE_BITS, Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cache is one for the process: tests that write it take turns.
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

    /// Addresses as unlike real code's as can be, so that tests that unwind are not disturbed.
    fn pcs() -> impl Iterator<Item = usize> {
        (0..200_000usize).map(|i| 0x1000_0000 + i * 7)
    }

    #[test]
    fn a_hit_is_never_another_pcs() {
        let _turn = TURN.lock();
        let code_in = |entry: u32| entry & CODE_MASK as u32;
        let code_of = |pc: usize| (pc.wrapping_mul(0x9e3779b1) >> 7) as u32 & CODE_MASK as u32;
        let mut hits = 0;
        for pc in pcs() {
            let view = View::now();
            view.put(pc, code_of(pc));
            assert_eq!(view.get(pc).map(code_in), Some(code_of(pc)));
        }
        for pc in pcs() {
            if let Some(code) = View::now().get(pc).map(code_in) {
                assert_eq!(code, code_of(pc), "{pc:x}");
                hits += 1;
            }
        }
        assert!(hits > 8_000, "grown to 32 pages, half of them at least are in use: {hits}");
    }

    #[test]
    fn generations_make_misses_and_come_round_empty() {
        let _turn = TURN.lock();
        let pc = 0x2222_3333;
        View::now().put(pc, 5);
        for _ in 0..GENERATIONS + 2 {
            next_generation();
            assert_eq!(View::now().get(pc), None);
        }
    }
}
