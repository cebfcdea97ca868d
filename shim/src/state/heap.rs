//! Heap blocks: sampled ones, or every one.

use super::sites;
use crate::emit::Inside;
use crate::index::hash;
use crate::private::PRIVATE;
use crate::{sample, start};
use core::sync::atomic::Ordering;
use resshim_format::op::{Kind, Op};
use resshim_format::table::HeapRow;

/// Bits of the filter.
const FILTER_BITS: u32 = 15;

/// Bit of the filter for an address; the fast path of `free` computes the same.
#[inline(always)]
pub fn filter_bit(address: usize) -> u32 {
    ((address >> 4) as u32).wrapping_mul(FILTER_FACTOR) >> (32 - FILTER_BITS)
}
/// Knuth's multiplicative hash, 2^32 / golden ratio.
pub const FILTER_FACTOR: u32 = 0x9e37_79b1;

/// Whether a block may be one that was sampled.
#[inline(always)]
pub fn may_be_sampled(address: usize) -> bool {
    let bit = filter_bit(address);
    let word = &PRIVATE.heap_filter[bit as usize / 64 % PRIVATE.heap_filter.len()];
    word.load(Ordering::Relaxed) >> (bit % 64) & 1 == 1
}

fn remember(address: usize) {
    let bit = filter_bit(address) as usize;
    let (Some(count), Some(word)) =
        (PRIVATE.heap_counts.get(bit), PRIVATE.heap_filter.get(bit / 64))
    else {
        return;
    };
    count.fetch_add(1, Ordering::AcqRel);
    word.fetch_or(1 << (bit % 64), Ordering::AcqRel);
}

fn forget(address: usize) {
    let bit = filter_bit(address) as usize;
    let (Some(count), Some(word)) =
        (PRIVATE.heap_counts.get(bit), PRIVATE.heap_filter.get(bit / 64))
    else {
        return;
    };
    if count.fetch_sub(1, Ordering::AcqRel) == 1 && PRIVATE.heap_all.load(Ordering::Relaxed) == 0 {
        word.fetch_and(!(1 << (bit % 64)), Ordering::AcqRel);
        // Another block may have come to this bit in between.
        if count.load(Ordering::Acquire) != 0 {
            word.fetch_or(1 << (bit % 64), Ordering::AcqRel);
        }
    }
}

/// A block that was taken out of the tables before its release.
#[derive(Clone, Copy)]
pub struct Taken {
    address: usize,
    size: u64,
    acquired: u64,
    site: u32,
    weight: u32,
}

/// Mean bytes between samples as it stands now.
pub fn mean(inside: &Inside) -> u64 {
    inside.region.control().heap_mean.load(Ordering::Relaxed).max(1)
}

/// A block was sampled.
pub fn acquired(inside: &Inside, op: Op, address: usize, size: u64) {
    let region = inside.region;
    let mean = mean(inside);
    let weight = sample::weight(size, mean);
    let stack = inside.stack(start::settings().stack_depth);
    let site = sites::find(region, stack, Kind::Heap as u32, op, inside.now);
    if let Some(row) = sites::row(region, site) {
        row.samples.fetch_add(1, Ordering::Relaxed);
        let blocks = weight as u64 >> 8;
        row.weight_squares.fetch_add(blocks.saturating_mul(blocks), Ordering::Relaxed);
    }
    let taken = Taken { address, size, acquired: inside.now, site, weight };
    put(inside, taken);
    let (blocks, bytes) = taken.stands_for();
    sites::acquired(region, site, inside.now, blocks, bytes);
    let exact = (weight as f64 / 256.0).to_bits();
    let words = [address as u64, size, exact];
    let count = if weight == 256 { 2 } else { 3 };
    inside.write(op, stack, words.get(..count).unwrap_or(&words), &[]);
}

/// Puts a block into the tables. Where they are full, samples become rarer.
pub fn put(inside: &Inside, block: Taken) {
    let region = inside.region;
    let free = PRIVATE.free_heap.take();
    let Some((index, row)) =
        free.and_then(|index| Some((index, region.make_row::<HeapRow>(index)?)))
    else {
        region.note_used::<HeapRow>(0, true);
        let mean = mean(inside);
        if mean > 1 {
            region.control().heap_mean.store(mean.saturating_mul(2), Ordering::Relaxed);
        }
        return;
    };
    row.size.store(block.size, Ordering::Relaxed);
    row.acquired.store(block.acquired, Ordering::Relaxed);
    row.site.store(block.site, Ordering::Relaxed);
    row.weight.store(block.weight, Ordering::Relaxed);
    row.address.store(block.address as u64, Ordering::Release);
    if PRIVATE.heap.insert(hash(block.address as u64), index) {
        remember(block.address);
        region.note_used::<HeapRow>(index + 1, false);
    } else {
        row.address.store(0, Ordering::Release);
        PRIVATE.free_heap.give(index);
        region.note_used::<HeapRow>(0, true);
    }
}

/// Takes a block out, before it is released: its address is somebody else's right after.
pub fn take(inside: &Inside, address: usize) -> Option<Taken> {
    let region = inside.region;
    let is = |index: u32| {
        region
            .row::<HeapRow>(index)
            .is_some_and(|row| row.address.load(Ordering::Relaxed) == address as u64)
    };
    let index = PRIVATE.heap.remove(hash(address as u64), is)?;
    let row = region.row::<HeapRow>(index)?;
    let taken = Taken {
        address,
        size: row.size.load(Ordering::Relaxed),
        acquired: row.acquired.load(Ordering::Relaxed),
        site: row.site.load(Ordering::Relaxed),
        weight: row.weight.load(Ordering::Relaxed),
    };
    row.address.store(0, Ordering::Release);
    forget(address);
    PRIVATE.free_heap.give(index);
    Some(taken)
}

/// Every block is recorded from here on: each `free` has to come by, so that one of an address where
/// nothing lives is seen.
pub fn watch_all() {
    if PRIVATE.heap_all.swap(1, Ordering::Relaxed) == 0 {
        for word in &PRIVATE.heap_filter {
            word.store(u64::MAX, Ordering::Relaxed);
        }
    }
}

/// An address was freed where no recorded block lives. That may be right (a block from before the shim, or of
/// the parent): the reader knows what it has seen released. Before the call, which may abort.
pub fn unknown(inside: &Inside, address: usize) {
    if address != 0 && PRIVATE.heap_all.load(Ordering::Relaxed) != 0 {
        let stack = inside.stack(start::settings().stack_depth);
        inside.write(Op::Free, stack, &[address as u64], &[]);
    }
}

/// A block that was taken out is released.
pub fn released(inside: &Inside, op: Op, block: Taken) {
    let lived = inside.now.saturating_sub(block.acquired);
    let (blocks, bytes) = block.stands_for();
    sites::released(inside.region, block.site, inside.now, blocks, bytes, lived);
    inside.write(op, 0, &[block.address as u64], &[]);
}

impl Taken {
    /// Blocks and bytes that it stands for.
    fn stands_for(&self) -> (u64, u64) {
        let weight = self.weight as u64;
        ((weight + 128) >> 8, (self.size.saturating_mul(weight) >> 8).max(1))
    }
}
