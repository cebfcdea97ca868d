//! Stacks, hash-consed: the same frames get the same id.

use crate::index::hash;
use crate::layout::Row;
use crate::managed;
use crate::private::PRIVATE;
use crate::region::Region;
use crate::stack::{self, Registers, Stack};
use crate::tls;
use core::sync::atomic::{AtomicU64, Ordering};
use resshim_format::record::STACK_LIMIT;
use resshim_format::table::{STACK_FOLDED, STACK_UNIT, StackHead};

/// Words of a [`StackHead`].
const HEAD_WORDS: usize = STACK_UNIT / 8;

/// So many events of a thread's are walked without a look at what is kept: a short life is not to touch its pages.
const FEW_VISITS: u32 = 32;

/// Id of the stack at `at`, at most `depth` frames of it; 0 = none could be had.
#[inline(never)]
pub fn id(region: Region, at: &Registers, depth: usize) -> u32 {
    let bounds = tls::stack_bounds();
    let comes_often = tls::visits() >= FEW_VISITS;
    if managed::is_active() {
        let mut taken = Stack::empty();
        if !comes_often || PRIVATE.walks.find(at, depth, bounds, Some(&mut taken)).is_none() {
            stack::capture(at, depth, bounds, &mut taken);
            if comes_often {
                let hash = hash_of(taken.frames(), taken.epoch);
                PRIVATE.walks.keep(at, depth, bounds, &mut taken, (hash, 0));
            }
        }
        return id_with_managed(region, &mut taken, depth);
    }
    if comes_often
        && let Some(known) = PRIVATE.walks.find(at, depth, bounds, None)
        && known != 0
    {
        return known;
    }
    let mut taken = Stack::empty();
    stack::capture(at, depth, bounds, &mut taken);
    let frames = taken.frames();
    if frames.is_empty() {
        region.header().stacks_truncated.fetch_add(1, Ordering::Relaxed);
        return 0;
    }
    let (epoch, hash) = (taken.epoch, hash_of(frames, taken.epoch));
    // The index has compared the upper 40 bits of the hash, the row has the lower ones.
    let same = |unit: u32| {
        head(region, unit).is_some_and(|head| {
            head.frames.load(Ordering::Acquire) as u16 as usize == frames.len()
                && head.hash.load(Ordering::Relaxed) == hash as u32
                && head.epoch.load(Ordering::Relaxed) == epoch
        })
    };
    let id = find_or_store(region, hash, same, || Parts {
        native: frames,
        managed: &[],
        flags: taken.flags,
        hash,
        epoch,
    });
    if comes_often && id != 0 {
        PRIVATE.walks.keep(at, depth, bounds, &mut taken, (hash, id));
    }
    id
}

/// As [`id`], with the frames of the managed languages that run in this process.
#[inline(never)]
fn id_with_managed(region: Region, taken: &mut Stack, depth: usize) -> u32 {
    let mut managed = managed::Frames::empty(depth);
    if managed::collect(region, taken, &mut managed) {
        taken.flags |= STACK_FOLDED;
    }
    let (frames, words, epoch) = (taken.frames(), managed.words(), taken.epoch);
    if frames.is_empty() && words.is_empty() {
        region.header().stacks_truncated.fetch_add(1, Ordering::Relaxed);
        return 0;
    }
    let hash =
        if words.is_empty() { hash_of(frames, epoch) } else { hash_of_parts(frames, words, epoch) };
    let is_managed = !words.is_empty();
    let count = frames.len() + words.len();
    let same = |unit: u32| {
        head(region, unit).is_some_and(|head| {
            let stored = head.frames.load(Ordering::Acquire);
            // The native frames inside the interpreter may be more or fewer than at the first time.
            stored != 0
                && (is_managed || stored as u16 as usize == count)
                && head.hash.load(Ordering::Relaxed) == hash as u32
                && head.epoch.load(Ordering::Relaxed) == epoch
        })
    };
    find_or_store(region, hash, same, || Parts {
        native: frames,
        managed: words,
        flags: taken.flags,
        hash,
        epoch,
    })
}

/// What is stored of a stack.
struct Parts<'a> {
    native: &'a [usize],
    managed: &'a [u64],
    flags: u32,
    hash: u64,
    epoch: u32,
}

#[inline(always)]
fn find_or_store<'a>(
    region: Region,
    hash: u64,
    same: impl Fn(u32) -> bool,
    parts: impl FnOnce() -> Parts<'a>,
) -> u32 {
    let found = PRIVATE.stacks.find_or_insert(hash, same, || store(region, &parts()));
    found.unwrap_or_else(|| {
        region.header().stacks_lost.fetch_add(1, Ordering::Relaxed);
        0
    })
}

/// A hash of the frames that are a site's key: the managed ones, and the native ones outside interpreters.
fn hash_of_parts(frames: &[usize], managed: &[u64], epoch: u32) -> u64 {
    let mix =
        |lane: u64, word: u64| (lane.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let interpreters = managed::interpreters();
    let (mut native, mut rest) = (epoch as u64 | 1 << 63, frames.iter());
    // A search, and no fold: that would wait for a multiplication at each frame inside one, too.
    while let Some(pc) = rest.find(|pc| !interpreters.has(**pc)) {
        native = mix(native, *pc as u64);
    }
    // Two lanes: one multiplication need not wait for the other.
    let (pairs, rest) = managed.as_chunks::<2>();
    let mut lanes = [1 << 62, 1 << 61];
    for [one, other] in pairs {
        lanes = [mix(lanes[0], *one), mix(lanes[1], *other)];
    }
    let [one, other] = lanes;
    let managed = rest.iter().fold(mix(one, other), |lane, word| mix(lane, *word));
    hash(mix(native, managed))
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

fn store(region: Region, parts: &Parts<'_>) -> Option<u32> {
    let count = parts.native.len() + parts.managed.len();
    let units = units_of(count);
    // Unit 0 stands for "no stack".
    let used = PRIVATE.used.get(<StackHead as Row>::TABLE)?;
    let unit = used.fetch_add(units, Ordering::Relaxed) + 1;
    if unit + units >= STACK_LIMIT {
        used.fetch_sub(units, Ordering::Relaxed);
        return None;
    }
    let words: &[AtomicU64] = region.make_stack_words(unit, units)?;
    let frames = parts.native.iter().map(|pc| *pc as u64).chain(parts.managed.iter().copied());
    for (word, frame) in words.iter().skip(HEAD_WORDS).zip(frames) {
        word.store(frame, Ordering::Relaxed);
    }
    let head = head(region, unit)?;
    head.hash.store(parts.hash as u32, Ordering::Relaxed);
    head.epoch.store(parts.epoch, Ordering::Relaxed);
    head.frames.store(count as u32 | parts.flags, Ordering::Release);
    region.note_used::<StackHead>(unit + units, false);
    Some(unit)
}
