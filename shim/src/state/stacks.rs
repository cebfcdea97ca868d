//! Stacks, hash-consed: the same frames get the same id.

use crate::index::hash;
use crate::layout::Row;
use crate::private::PRIVATE;
use crate::region::Region;
use crate::stack::{self, Registers, Stack};
use core::sync::atomic::{AtomicU64, Ordering};
use resshim_format::record::STACK_LIMIT;
use resshim_format::table::{STACK_UNIT, StackHead};

/// Words of a [`StackHead`].
const HEAD_WORDS: usize = STACK_UNIT / 8;

/// Id of the stack at `at`, at most `depth` frames of it; 0 = none could be had.
#[inline(never)]
pub fn id(region: Region, at: &Registers, depth: usize) -> u32 {
    let mut taken = Stack::empty();
    stack::capture(at, depth, None, &mut taken);
    let frames = taken.frames();
    if frames.is_empty() {
        region.header().stacks_truncated.fetch_add(1, Ordering::Relaxed);
        return 0;
    }
    let epoch = taken.epoch;
    let hash = hash_of(frames, epoch);
    // The index has compared the upper 40 bits of the hash, the row has the lower ones.
    let same = |unit: u32| {
        head(region, unit).is_some_and(|head| {
            head.frames.load(Ordering::Acquire) as u16 as usize == frames.len()
                && head.hash.load(Ordering::Relaxed) == hash as u32
                && head.epoch.load(Ordering::Relaxed) == epoch
        })
    };
    let found = PRIVATE
        .stacks
        .find_or_insert(hash, same, || store(region, frames, taken.flags, hash as u32, epoch));
    found.unwrap_or_else(|| {
        region.header().stacks_lost.fetch_add(1, Ordering::Relaxed);
        0
    })
}

/// A hash of the frames in their order. Four lanes: one multiplication need not wait for the other.
#[inline(always)]
fn hash_of(frames: &[usize], epoch: u32) -> u64 {
    let mix =
        |lane: u64, word: u64| (lane.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut lanes = [epoch as u64, 1 << 32, 2 << 32, 3 << 32];
    let (groups, rest) = frames.as_chunks::<4>();
    for group in groups {
        for (lane, frame) in lanes.iter_mut().zip(group) {
            *lane = mix(*lane, *frame as u64);
        }
    }
    for (lane, frame) in lanes.iter_mut().zip(rest) {
        *lane = mix(*lane, *frame as u64);
    }
    hash(lanes.into_iter().reduce(mix).unwrap_or(0))
}

/// Units that a stack of `frames` takes.
fn units_of(frames: usize) -> u32 {
    1 + (frames * 8).div_ceil(STACK_UNIT) as u32
}

fn head(region: Region, unit: u32) -> Option<&'static StackHead> {
    region.row::<StackHead>(unit)
}

fn store(region: Region, frames: &[usize], flags: u32, hash: u32, epoch: u32) -> Option<u32> {
    let units = units_of(frames.len());
    // Unit 0 stands for "no stack".
    let used = PRIVATE.used.get(<StackHead as Row>::TABLE)?;
    let unit = used.fetch_add(units, Ordering::Relaxed) + 1;
    if unit + units >= STACK_LIMIT {
        used.fetch_sub(units, Ordering::Relaxed);
        return None;
    }
    let words: &[AtomicU64] = region.make_stack_words(unit, units)?;
    for (word, frame) in words.iter().skip(HEAD_WORDS).zip(frames) {
        word.store(*frame as u64, Ordering::Relaxed);
    }
    let head = head(region, unit)?;
    head.hash.store(hash, Ordering::Relaxed);
    head.epoch.store(epoch, Ordering::Relaxed);
    head.frames.store(frames.len() as u32 | flags, Ordering::Release);
    region.note_used::<StackHead>(unit + units, false);
    Some(unit)
}
