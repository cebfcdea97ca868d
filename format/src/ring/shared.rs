//! The writing side of a chunk that many threads write: for signal handlers that interrupt their
//! thread inside the shim, and for threads beyond half the chunks. Never waits for another thread.
//!
//! A slot holds a `Context` record and one other. The slots of one event stand side by side; the
//! stack field of their `Context` counts them. A slot is there when its first word is, and the first
//! slot of an event gets its first word last: no reader sees a part of an event.
//!
//! | word 5, reserved | meaning |
//! |---|---|
//! | below `SHARED_WORDS` | open: a reservation adds its words, and has what was there before |
//! | from there on | closed: every chunk that is not `Shared` |
//!
//! A thread may come to reserve with the index of a chunk that has meanwhile been filled, drained and
//! begun anew. That is harmless: it is closed, or it is a shared chunk again and any reservation in it
//! is as good as another. While a reservation is not completed the chunk cannot leave `Shared`.

use super::writer::{
    CONTEXT_WORDS, Event, Grow, Moment, NoRoom, Out, Ring, TEXT_LIMIT, contents_of, pieces,
};
use super::{CHUNK_HEADER, CHUNK_WORDS, ChunkState, SHARED_WORDS, SLOT_WORDS, StateWord, word};
use crate::op::Op;
use crate::record::{HeaderWord, MAX_WORDS, TEXT_BYTES};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Bytes of text in one slot.
const SLOT_TEXT_BYTES: usize = (SLOT_WORDS - CONTEXT_WORDS - 2) * 8;
/// Words behind the header word of a slot's record.
const SLOT_RECORD_WORDS: usize = SLOT_WORDS - CONTEXT_WORDS - 1;
/// Bits of `place` that are the chunk's index plus one; those above are the low bits of its fill
/// number, so that the same chunk in a later life is another place.
const PLACE_BITS: u32 = 16;

const _: () = assert!(SLOT_TEXT_BYTES <= TEXT_BYTES && SLOT_WORDS - CONTEXT_WORDS <= MAX_WORDS);

/// Writes `event` into the chunk that `place` names, which many threads write.
/// `place` is private to the process; 0 = no chunk yet.
///
/// # Errors
/// [`NoRoom`] when no chunk can be had, or the event is longer than a shared chunk.
pub fn push_shared(
    ring: &Ring,
    grow: &impl Grow,
    place: &AtomicU32,
    moment: Moment,
    tid: u32,
    event: Event,
) -> Result<(), NoRoom> {
    let mut slots = 1;
    for text in event.texts {
        slots += text.len().min(TEXT_LIMIT).div_ceil(SLOT_TEXT_BYTES).max(1);
    }
    let size = slots * SLOT_WORDS;
    if size > SHARED_WORDS {
        return Err(NoRoom);
    }
    // Bounded: each round others filled a whole chunk.
    for _ in 0..4 {
        // Acquire, as the exchange below releases: a chunk that was never begun has 0 in `RESERVED`, which
        // says open.
        let now = place.load(Ordering::Acquire);
        let index = (now as usize & ((1 << PLACE_BITS) - 1)).wrapping_sub(1);
        if let Some((chunk, start)) = reserve(ring, index, size) {
            fill_slots(chunk.get(start..).unwrap_or(&[]), moment.tsc, tid, &event);
            chunk[word::CONTENTS].fetch_add(contents_of(event.op), Ordering::Relaxed);
            complete(ring, index, size);
            return Ok(());
        }
        let (index, fill) = ring.take(grow, ChunkState::Shared).ok_or(NoRoom)?;
        open(ring, index, fill, moment);
        let next = (fill as u32) << PLACE_BITS | (index as u32 + 1);
        let placed = index + 1 < 1 << PLACE_BITS
            && place.compare_exchange(now, next, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if !placed {
            give_back(ring, index, fill);
        }
    }
    Err(NoRoom)
}

/// Writes the slots of an event, the first one last.
fn fill_slots(slots: &[AtomicU64], tsc: u64, tid: u32, event: &Event) {
    let mut slots = slots.chunks_exact(SLOT_WORDS);
    let Some(first) = slots.next() else { return };
    let mut part = 0;
    for (field, text) in event.texts.iter().enumerate() {
        pieces(text, SLOT_TEXT_BYTES, |bytes, more| {
            part += 1;
            if let Some(slot) = slots.next() {
                fill_slot(slot, part, tsc, tid, |out| out.text(bytes, more, field as u8, 0));
            }
        });
    }
    let words = event.words.get(..SLOT_RECORD_WORDS).unwrap_or(event.words);
    fill_slot(first, 0, tsc, tid, |out| out.record(event.op, event.stack, 0, words));
}

/// Writes one slot: its record, then its `Context`, whose first word is stored last.
#[inline(always)]
fn fill_slot(slot: &[AtomicU64], part: u32, tsc: u64, tid: u32, put: impl FnOnce(&mut Out)) {
    if let [first, at_tsc, at_tid, record @ ..] = slot {
        put(&mut Out::new(record));
        at_tsc.store(tsc, Ordering::Relaxed);
        at_tid.store(tid as u64, Ordering::Relaxed);
        let header = HeaderWord::new(Op::Context, CONTEXT_WORDS, part, 0).pack();
        first.store(header, Ordering::Release);
    }
}

/// Reserves `size` words in the chunk `index`: its words and the first one of the reservation.
fn reserve<'a>(
    ring: &Ring<'a>,
    index: usize,
    size: usize,
) -> Option<(&'a [AtomicU64; CHUNK_WORDS], usize)> {
    let chunk = ring.chunk(index)?;
    // Acquire: what `open` stored before it opened the chunk. It has released all that there is to know.
    let start = chunk[word::RESERVED].fetch_add(size as u64, Ordering::Acquire);
    // The words behind the end are nobody's; those before it that this reservation spans are done with.
    let left = (SHARED_WORDS as u64).checked_sub(start).filter(|left| *left > 0)? as usize;
    if size <= left {
        return Some((chunk, CHUNK_HEADER + start as usize));
    }
    complete(ring, index, left);
    None
}

/// Counts `size` words as written; who completes the last one seals the chunk.
fn complete(ring: &Ring, index: usize, size: usize) {
    let Some(chunk) = ring.chunk(index) else { return };
    // Both: who completes the last word hands over what all the others wrote.
    let before = chunk[word::COMPLETED].fetch_add(size as u64, Ordering::AcqRel);
    if before.wrapping_add(size as u64) != SHARED_WORDS as u64 {
        return;
    }
    if let Some(state) = ring.states.get(index) {
        let bits = state.load(Ordering::Relaxed);
        let now = StateWord::unpack(bits);
        // It is, unless somebody scribbled on the words.
        if now.state == ChunkState::Shared {
            let full = StateWord { state: ChunkState::Full, fill: now.fill }.pack();
            let _ = state.compare_exchange(bits, full, Ordering::Release, Ordering::Relaxed);
        }
    }
}

/// Makes a chunk that was just taken ready for many writers.
fn open(ring: &Ring, index: usize, fill: u64, moment: Moment) {
    let Some(chunk) = ring.chunk(index) else { return };
    // Slots are told from holes by their first word.
    for slot in chunk[CHUNK_HEADER..].chunks_exact(SLOT_WORDS) {
        if let Some(first) = slot.first() {
            first.store(0, Ordering::Relaxed);
        }
    }
    ring.begin(index, fill, moment, 1 << 32, CHUNK_HEADER + SHARED_WORDS);
    chunk[word::RESERVED].swap(0, Ordering::Release);
}

/// Another thread placed its chunk first: this one goes back, unless a thread that had its index in
/// mind from an earlier fill has reserved in it already. Then it is full.
fn give_back(ring: &Ring, index: usize, fill: u64) {
    let Some(chunk) = ring.chunk(index) else { return };
    let reserved = chunk[word::RESERVED].swap(SHARED_WORDS as u64, Ordering::Relaxed);
    if reserved == 0 {
        let taken = StateWord { state: ChunkState::Shared, fill }.pack();
        let free = StateWord { state: ChunkState::Free, fill }.pack();
        if let Some(state) = ring.states.get(index) {
            let _ = state.compare_exchange(taken, free, Ordering::Release, Ordering::Relaxed);
        }
    } else if let Some(left) = (SHARED_WORDS as u64).checked_sub(reserved).filter(|l| *l > 0) {
        complete(ring, index, left as usize);
    }
}
