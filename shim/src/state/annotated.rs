//! What the program names itself: resources of its own kinds, their states and dependencies.

use super::{put_text, sites};
use crate::emit::Inside;
use crate::index::hash;
use crate::private::PRIVATE;
use crate::region::Region;
use crate::start;
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};
use resshim_format::op::{FIRST_ANNOTATED_KIND, Kind, Op};
use resshim_format::table::{AnnotatedRow, KindRow, RowState, generation};

/// Longest name of a kind.
pub const KIND_BYTES: usize = 32;
/// Releases of a site up to which each takes its stack.
const KNOWN: u64 = 32;
/// Of later ones, one in so many.
const SAMPLED: u64 = 64;

/// Number of the kind of this name; a new name gets a row. `None`: 128 names are taken.
#[inline(always)]
pub fn kind(region: Region, name: &[u8]) -> Option<u32> {
    let name = name.get(..KIND_BYTES).unwrap_or(name);
    let key = key_of_name(name);
    let known = cached(key)?.load(Ordering::Relaxed);
    match known != 0 && (known ^ key) >> 8 == 0 {
        true => Some(known as u8 as u32),
        false => find_kind(region, name, key),
    }
}

/// Where the kind of this name is kept: all numbers of kinds fit a byte.
fn cached(key: u64) -> Option<&'static AtomicU64> {
    PRIVATE.kind_cache.get((key >> 58) as usize)
}

const _: () = assert!(FIRST_ANNOTATED_KIND + 128 <= 256 && PRIVATE.kind_cache.len() == 64);

fn key_of_name(name: &[u8]) -> u64 {
    let (words, rest) = name.as_chunks::<8>();
    let last = rest.iter().fold(0, |word, byte| word << 8 | *byte as u64);
    let mix = |key: u64, word: u64| {
        let mixed = (key ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ mixed >> 29
    };
    let key = words.iter().fold(name.len() as u64, |key, word| mix(key, u64::from_le_bytes(*word)));
    mix(mix(key, last), 0) | 1
}

#[cold]
#[inline(never)]
fn find_kind(region: Region, name: &[u8], key: u64) -> Option<u32> {
    let kind = match core::str::from_utf8(name).ok().and_then(Kind::from_name) {
        Some(kind) => kind as u32,
        None => own_kind(region, name, key)?,
    };
    cached(key)?.store(key & !0xff | kind as u64, Ordering::Relaxed);
    Some(kind)
}

fn own_kind(region: Region, name: &[u8], key: u64) -> Option<u32> {
    for (index, slot) in PRIVATE.kind_hashes.iter().enumerate() {
        let taken = slot.load(Ordering::Acquire);
        if taken == key {
            return Some(FIRST_ANNOTATED_KIND + index as u32);
        }
        if taken != 0 {
            continue;
        }
        match slot.compare_exchange(0, key, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                let row = region.make_row::<KindRow>(index as u32)?;
                put_text(&row.name, name);
                region.note_used::<KindRow>(index as u32 + 1, false);
                return Some(FIRST_ANNOTATED_KIND + index as u32);
            }
            Err(now) if now == key => return Some(FIRST_ANNOTATED_KIND + index as u32),
            Err(_) => {}
        }
    }
    None
}

fn key(kind: u32, handle: u64) -> u64 {
    hash(handle ^ (kind as u64) << 56)
}

/// `resshim_acquire`.
pub fn acquired(inside: &Inside, kind: u32, handle: u64, label: &[u8]) {
    let region = inside.region;
    // Named twice without a release: the earlier one is over.
    if let Some((site, since)) = take(region, kind, handle) {
        sites::released(region, site, inside.now, 1, 0, inside.now.saturating_sub(since));
    }
    let stack = inside.stack(start::settings().stack_depth);
    let site = sites::find(region, stack, kind, Op::Annotate, inside.now);
    let free = PRIVATE.free_annotated.take();
    let row = free.and_then(|index| Some((index, region.make_row::<AnnotatedRow>(index)?)));
    if let Some((index, row)) = row {
        let generation = generation(row.state.load(Ordering::Relaxed)).wrapping_add(1).max(1);
        row.handle.store(handle, Ordering::Relaxed);
        row.acquired.store(inside.now, Ordering::Relaxed);
        row.kind.store(kind, Ordering::Relaxed);
        row.site.store(site, Ordering::Relaxed);
        put_text(&row.named_state, &[]);
        put_text(&row.label, label);
        row.state.store(RowState::Live.word(generation), Ordering::Release);
        PRIVATE.annotated.insert(key(kind, handle), index);
        region.note_used::<AnnotatedRow>(index + 1, false);
    } else {
        region.note_used::<AnnotatedRow>(0, true);
    }
    sites::acquired(region, site, inside.now, 1, 0);
    let words = [handle, kind as u64];
    match label.is_empty() {
        true => inside.write(Op::Annotate, stack, &words, &[]),
        false => inside.write_named(Op::Annotate, stack, &words, label),
    }
}

/// `resshim_release`.
pub fn released(inside: &Inside, kind: u32, handle: u64) {
    let released = take(inside.region, kind, handle).map(|(site, since)| {
        let lived = inside.now.saturating_sub(since);
        sites::released(inside.region, site, inside.now, 1, 0, lived)
    });
    // Its stack costs five times the rest: taken until it is known where a site's are released, and now and
    // then, should that change. Of what nobody knows here it is all that there is.
    let stack = match released {
        Some(count) if count > KNOWN && !count.is_multiple_of(SAMPLED) => 0,
        _ => inside.stack(start::settings().stack_depth),
    };
    inside.write(Op::AnnotateRelease, stack, &[handle, kind as u64], &[]);
}

/// `resshim_state`.
pub fn state(inside: &Inside, kind: u32, handle: u64, state: &[u8]) {
    if let Some(row) = find(inside.region, kind, handle) {
        put_text(&row.named_state, state.get(..32).unwrap_or(state));
    }
    inside.write_named(Op::AnnotateState, 0, &[handle, kind as u64], state);
}

fn find(region: Region, kind: u32, handle: u64) -> Option<&'static AnnotatedRow> {
    let found = Cell::new(None);
    PRIVATE.annotated.find(key(kind, handle), |index| {
        found.set(matching(region, index, kind, handle));
        found.get().is_some()
    })?;
    found.get()
}

fn matching(region: Region, index: u32, kind: u32, handle: u64) -> Option<&'static AnnotatedRow> {
    let row = region.row::<AnnotatedRow>(index)?;
    let (is_handle, is_kind) =
        (row.handle.load(Ordering::Relaxed) == handle, row.kind.load(Ordering::Relaxed) == kind);
    (is_handle && is_kind).then_some(row)
}

/// Frees the row of a live one: its site and when it was acquired.
fn take(region: Region, kind: u32, handle: u64) -> Option<(u32, u64)> {
    let found = Cell::new(None);
    let index = PRIVATE.annotated.remove(key(kind, handle), |index| {
        found.set(matching(region, index, kind, handle));
        found.get().is_some()
    })?;
    let row = found.get()?;
    let taken = (row.site.load(Ordering::Relaxed), row.acquired.load(Ordering::Relaxed));
    let generation = generation(row.state.load(Ordering::Relaxed));
    row.state.store(RowState::Free.word(generation), Ordering::Release);
    PRIVATE.free_annotated.give(index);
    Some(taken)
}
