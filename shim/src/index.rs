//! Two lock-free containers for the private state: a hash index and a list of free rows.
//!
//! Both are all zero when empty, need no set-up, never allocate, and work in a signal handler that
//! interrupts them. The index grows by levels, so that a process with few entries touches few pages.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Bits of an entry that hold the value.
const VALUE_BITS: u32 = 24;
const VALUE_MASK: u64 = (1 << VALUE_BITS) - 1;
/// An entry whose value is 0 but which is not 0: removed, to be passed over.
const REMOVED: u64 = 1 << VALUE_BITS;
const FIRST: usize = 512;
const SECOND: usize = 8192;

/// Hash → value of 24 bits, not 0. An entry is `tag: 40 | value: 24`; where the tag says "maybe", the
/// caller compares.
pub struct Index<const LAST: usize> {
    first: [AtomicU64; FIRST],
    second: [AtomicU64; SECOND],
    last: [AtomicU64; LAST],
}

/// Mixes a key of any structure into a hash whose every bit depends on all of it (splitmix64's finalizer).
#[inline(always)]
pub fn hash(key: u64) -> u64 {
    let mut x = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

impl<const LAST: usize> Index<LAST> {
    /// The slots that may hold `hash`, in the order of search: few, neighbours, level after level.
    #[inline(always)]
    fn levels(&self, hash: u64) -> [&[AtomicU64]; 3] {
        [group(&self.first, hash, 8), group(&self.second, hash, 16), group(&self.last, hash, 32)]
    }

    fn slots(&self, hash: u64) -> impl Iterator<Item = &AtomicU64> {
        self.levels(hash).into_iter().flatten()
    }

    /// The value stored under `hash` for which `is` holds.
    #[inline]
    pub fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        self.locate(hash, is).map(|(_, value)| value)
    }

    #[inline(always)]
    fn locate(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<(&AtomicU64, u32)> {
        // Most are in the first place where they can be.
        for slot in group(&self.first, hash, 8) {
            let entry = slot.load(Ordering::Acquire);
            if entry == 0 {
                return None;
            }
            let value = (entry & VALUE_MASK) as u32;
            if (entry ^ hash) >> VALUE_BITS == 0 && value != 0 && is(value) {
                return Some((slot, value));
            }
        }
        self.search(hash, is)
    }

    #[cold]
    #[inline(never)]
    fn search(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<(&AtomicU64, u32)> {
        for slot in self.slots(hash) {
            let entry = slot.load(Ordering::Acquire);
            if entry == 0 {
                // Entries are put into the first slot that is free, so nothing lies behind an empty one.
                return None;
            }
            let value = (entry & VALUE_MASK) as u32;
            if entry >> VALUE_BITS == hash >> VALUE_BITS && value != 0 && is(value) {
                return Some((slot, value));
            }
        }
        None
    }

    /// Finds `hash`, or stores what `make` gives. `make` runs once at most; where another thread
    /// stores the same first, its value is found and `make`'s is lost.
    #[inline(always)]
    pub fn find_or_insert(
        &self,
        hash: u64,
        is: impl Fn(u32) -> bool,
        make: impl FnOnce() -> Option<u32>,
    ) -> Option<u32> {
        // Most are in the first place where they can be.
        for slot in group(&self.first, hash, 8) {
            let entry = slot.load(Ordering::Acquire);
            if (entry ^ hash) >> VALUE_BITS == 0 {
                let value = (entry & VALUE_MASK) as u32;
                if value != 0 && is(value) {
                    return Some(value);
                }
            }
            if entry == 0 {
                break;
            }
        }
        self.search_or_insert(hash, is, make)
    }

    #[cold]
    #[inline(never)]
    fn search_or_insert(
        &self,
        hash: u64,
        is: impl Fn(u32) -> bool,
        make: impl FnOnce() -> Option<u32>,
    ) -> Option<u32> {
        let mut make = Some(make);
        let mut made = 0;
        for slot in self.slots(hash) {
            let mut entry = slot.load(Ordering::Acquire);
            if entry == 0 {
                if let Some(make) = make.take() {
                    made = make()?;
                }
                let new = hash & !VALUE_MASK | made as u64 & VALUE_MASK;
                match slot.compare_exchange(0, new, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => return Some(made),
                    Err(now) => entry = now,
                }
            }
            let value = (entry & VALUE_MASK) as u32;
            if entry >> VALUE_BITS == hash >> VALUE_BITS && value != 0 && is(value) {
                return Some(value);
            }
        }
        None
    }

    /// Stores a key that is not in it, in a slot that is free or was freed. False: no room.
    pub fn insert(&self, hash: u64, value: u32) -> bool {
        let new = hash & !VALUE_MASK | value as u64 & VALUE_MASK;
        for slot in self.slots(hash) {
            let entry = slot.load(Ordering::Relaxed);
            if entry & VALUE_MASK == 0
                && slot.compare_exchange(entry, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            {
                return true;
            }
        }
        false
    }

    /// Takes `hash` out; whoever of several callers took it gets its value.
    pub fn remove(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let (slot, value) = self.locate(hash, is)?;
        let entry = hash & !VALUE_MASK | value as u64;
        slot.compare_exchange(entry, REMOVED, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        Some(value)
    }
}

#[inline(always)]
fn group(level: &[AtomicU64], hash: u64, count: usize) -> &[AtomicU64] {
    // Levels are powers of two: aligned groups of neighbours, few cache lines.
    let groups = level.len() / count;
    let group = (hash >> VALUE_BITS) as usize % groups.max(1);
    level.get(group * count..group * count + count).unwrap_or(&[])
}

/// Rows of a table that are free, from 1 to `N - 1`: a stack, so that the row used last (whose page
/// is there) is used next.
pub struct FreeList<const N: usize> {
    /// Turn (against the ABA problem): 32, row on top: 32.
    top: AtomicU64,
    /// Rows that have ever been handed out.
    fresh: AtomicU32,
    links: [AtomicU32; N],
    /// 1 = handed out. Who gives back is told by the region's words, which anybody can change: a row that
    /// is given back twice would be handed out twice.
    taken: [AtomicU8; N],
}

impl<const N: usize> FreeList<N> {
    /// A free row.
    pub fn take(&self) -> Option<u32> {
        // Bounded: a thread that loses this often goes on without a row instead.
        for _ in 0..64 {
            let top = self.top.load(Ordering::Acquire);
            let row = top as u32;
            if row == 0 {
                let fresh = self.fresh.fetch_add(1, Ordering::Relaxed) + 1;
                if let Some(taken) = self.taken.get(fresh as usize) {
                    taken.store(1, Ordering::Relaxed);
                    return Some(fresh);
                }
                self.fresh.fetch_sub(1, Ordering::Relaxed);
                return None;
            }
            let next = self.links.get(row as usize)?.load(Ordering::Relaxed);
            let new = (top >> 32).wrapping_add(1) << 32 | next as u64;
            if self.top.compare_exchange(top, new, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                self.taken.get(row as usize)?.store(1, Ordering::Relaxed);
                return Some(row);
            }
        }
        None
    }

    /// Gives a row back.
    pub fn give(&self, row: u32) {
        let (Some(link), Some(taken)) =
            (self.links.get(row as usize), self.taken.get(row as usize))
        else {
            return;
        };
        if taken.swap(0, Ordering::AcqRel) == 0 {
            return;
        }
        for _ in 0..64 {
            let top = self.top.load(Ordering::Relaxed);
            link.store(top as u32, Ordering::Relaxed);
            let new = (top >> 32).wrapping_add(1) << 32 | row as u64;
            if self.top.compare_exchange(top, new, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return;
            }
        }
    }
}
