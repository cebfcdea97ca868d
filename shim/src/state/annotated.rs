//! What the program names itself: resources of its own kinds, their states and dependencies.

use super::{put_text, sites};
use crate::emit::Inside;
use crate::index::hash;
use crate::private::PRIVATE;
use crate::region::Region;
use crate::start;
use core::sync::atomic::Ordering;
use resshim_format::op::{FIRST_ANNOTATED_KIND, Kind, Op};
use resshim_format::table::{AnnotatedRow, KindRow, RowState, generation};

/// Longest name of a kind.
pub const KIND_BYTES: usize = 32;

/// Number of the kind of this name; a new name gets a row. `None`: 128 names are taken.
pub fn kind(region: Region, name: &[u8]) -> Option<u32> {
    let name = name.get(..KIND_BYTES).unwrap_or(name);
    if let Some(kind) = core::str::from_utf8(name).ok().and_then(Kind::from_name) {
        return Some(kind as u32);
    }
    let mut key = 0u64;
    for byte in name {
        key = hash(key ^ *byte as u64);
    }
    let key = key | 1;
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
    let texts = [label];
    let texts = if label.is_empty() { &[][..] } else { &texts[..] };
    inside.write(Op::Annotate, stack, &[handle, kind as u64], texts);
}

/// `resshim_release`.
pub fn released(inside: &Inside, kind: u32, handle: u64) {
    if let Some((site, since)) = take(inside.region, kind, handle) {
        let lived = inside.now.saturating_sub(since);
        sites::released(inside.region, site, inside.now, 1, 0, lived);
    }
    let stack = inside.stack(start::settings().stack_depth);
    inside.write(Op::AnnotateRelease, stack, &[handle, kind as u64], &[]);
}

/// `resshim_state`.
pub fn state(inside: &Inside, kind: u32, handle: u64, state: &[u8]) {
    if let Some(row) = find(inside.region, kind, handle) {
        put_text(&row.1.named_state, state.get(..32).unwrap_or(state));
    }
    inside.write(Op::AnnotateState, 0, &[handle, kind as u64], &[state]);
}

fn find(region: Region, kind: u32, handle: u64) -> Option<(u32, &'static AnnotatedRow)> {
    let index =
        PRIVATE.annotated.find(key(kind, handle), |index| is(region, index, kind, handle))?;
    Some((index, region.row::<AnnotatedRow>(index)?))
}

fn is(region: Region, index: u32, kind: u32, handle: u64) -> bool {
    region.row::<AnnotatedRow>(index).is_some_and(|row| {
        row.handle.load(Ordering::Relaxed) == handle && row.kind.load(Ordering::Relaxed) == kind
    })
}

/// Frees the row of a live one: its site and when it was acquired.
fn take(region: Region, kind: u32, handle: u64) -> Option<(u32, u64)> {
    let same = |index: u32| is(region, index, kind, handle);
    let index = PRIVATE.annotated.remove(key(kind, handle), same)?;
    let row = region.row::<AnnotatedRow>(index)?;
    let taken = (row.site.load(Ordering::Relaxed), row.acquired.load(Ordering::Relaxed));
    let generation = generation(row.state.load(Ordering::Relaxed));
    row.state.store(RowState::Free.word(generation), Ordering::Release);
    PRIVATE.free_annotated.give(index);
    Some(taken)
}
