//! The cache pc → rule code, shared by all threads: an entry is one word, so that it is whole or absent.
//!
//! ```text
//! hash(47) of the pc, bijective:  set:8 | rest:39      (page:5 are the top bits of rest)
//! slot  = (page & pages in use) · 512 + set · 2 + way
//! entry = rest:39 | generation:5 | code:20             0 = empty
//! ```
//!
//! The slot and `rest` give back the whole pc, so a hit is never another pc's. A page of 512 entries is
//! in use at first; when live entries are driven out the number doubles, up to 128 KiB, so a process with
//! few events touches 4 KiB. The generation is 1 + epoch mod 31: entries of an earlier one are misses,
//! and all pages are emptied before a generation number comes round again.

use super::apart;
use super::arch::HIGHEST_PC;
use super::rule::CODE_BITS;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

const PAGE_ENTRIES: usize = 512;
const MOST_PAGES: usize = 32;
const GENERATIONS: u32 = 31;
/// Bits below `rest` in an entry.
const REST_SHIFT: u32 = 25;
const CODE_MASK: u64 = (1 << CODE_BITS) - 1;
/// Evictions for each page in use after which their number doubles.
const PATIENCE: u32 = 64;

apart! { static PAGES: [[AtomicU64; PAGE_ENTRIES]; MOST_PAGES] = "resshim_rule_cache"; }

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

const _: () = assert!(HIGHEST_PC == 1 << 47, "the hash takes 47 bits");

/// The cache as one walk sees it.
#[derive(Clone, Copy)]
pub struct View {
    page_mask: u32,
    generation: u64,
}

/// Where a pc stands and what its entry begins with.
#[derive(Clone, Copy)]
struct Place {
    set: usize,
    page: u32,
    tag: u64,
}

impl View {
    /// The cache as it is now.
    #[inline(always)]
    pub fn now() -> View {
        View {
            generation: GEOMETRY.generation.load(Ordering::Acquire),
            page_mask: GEOMETRY.page_mask.load(Ordering::Relaxed),
        }
    }

    #[inline(always)]
    fn place(self, pc: usize) -> Place {
        // An odd factor permutes the 47 upper bits; the 17 lower ones stay zero.
        let hash = ((pc as u64) << 17).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Place {
            set: (hash >> 56) as usize,
            page: (hash >> 51) as u32 & (MOST_PAGES as u32 - 1),
            tag: hash << 8 | self.generation,
        }
    }

    #[inline(always)]
    fn ways(self, place: Place) -> Option<&'static [AtomicU64; 2]> {
        let page = PAGES.get((place.page & self.page_mask) as usize)?;
        page.get(place.set * 2..)?.first_chunk::<2>()
    }

    /// The code of a pc (below [`HIGHEST_PC`]).
    #[inline(always)]
    pub fn get(self, pc: usize) -> Option<u32> {
        let place = self.place(pc);
        let [first, second] = self.ways(place)?;
        let mut entry = first.load(Ordering::Relaxed) ^ place.tag;
        if entry & !CODE_MASK != 0 {
            entry = second.load(Ordering::Relaxed) ^ place.tag;
            if entry & !CODE_MASK != 0 {
                return None;
            }
        }
        Some(entry as u32)
    }

    /// Remembers the code of a pc for the generation of this view.
    pub fn put(self, pc: usize, code: u32) {
        let place = self.place(pc);
        let Some(ways) = self.ways(place) else { return };
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
        let pages = self.page_mask + 1;
        if evicted >= PATIENCE * pages && (pages as usize) < MOST_PAGES {
            EVICTIONS.store(0, Ordering::Relaxed);
            GEOMETRY.page_mask.store(pages * 2 - 1, Ordering::Relaxed);
        }
    }

    /// Whether an entry can still be hit: it is of this generation, and its pc belongs in this page (not
    /// so for some of the entries made when fewer pages were in use).
    fn is_live(self, entry: u64, place: Place) -> bool {
        let generation = entry & ((1 << REST_SHIFT) - 1) & !CODE_MASK;
        let page = (entry >> 59) as u32;
        generation == self.generation && (page ^ place.page) & self.page_mask == 0
    }
}

/// Makes all entries misses. A thread that is just filling one for code that is being unloaded can
/// not exist: it would be running that code.
pub fn next_generation() {
    let now = (GEOMETRY.generation.load(Ordering::Relaxed) >> CODE_BITS) as u32;
    let next = now % GENERATIONS + 1;
    if next == 1 {
        let pages = GEOMETRY.page_mask.load(Ordering::Relaxed) as usize + 1;
        for page in PAGES.iter().take(pages) {
            for entry in page {
                entry.store(0, Ordering::Relaxed);
            }
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
        let code_of = |pc: usize| (pc.wrapping_mul(0x9e3779b1) >> 7) as u32 & CODE_MASK as u32;
        let mut hits = 0;
        for pc in pcs() {
            let view = View::now();
            view.put(pc, code_of(pc));
            assert_eq!(view.get(pc), Some(code_of(pc)));
        }
        for pc in pcs() {
            if let Some(code) = View::now().get(pc) {
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
