//! The writing side: what runs inside the traced process, so nothing here blocks, allocates,
//! panics or trusts a word that somebody else could have changed.

use super::{CHUNK_HEADER, CHUNK_WORDS, ChunkState, SHARED_WORDS, SLOT_WORDS, StateWord, word};
use crate::op::{Effect, Op};
use crate::record::{DT_LIMIT, HeaderWord, MAX_WORDS, TEXT_BYTES, TIME_SHIFT, TextWord};
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};

/// Longest string that goes with a record; longer ones are cut.
pub const TEXT_LIMIT: usize = 1024;
const CONTEXT_WORDS: usize = 3;
/// Bytes of text in one slot of a shared chunk.
const SLOT_TEXT_BYTES: usize = (SLOT_WORDS - CONTEXT_WORDS - 2) * 8;
const _: () = assert!(SLOT_TEXT_BYTES <= TEXT_BYTES && SLOT_WORDS - CONTEXT_WORDS <= MAX_WORDS);

/// The chunks of a region, as a writer sees them.
#[derive(Clone, Copy)]
pub struct Ring<'a> {
    /// One state word a chunk.
    pub states: &'a [AtomicU64],
    /// The chunks' words; only those of populated chunks may be touched.
    pub words: &'a [AtomicU64],
    /// Next fill number.
    pub next_fill: &'a AtomicU64,
    /// Chunks overwritten before they were drained.
    pub overwritten: &'a AtomicU64,
    /// Fill numbers from the first up to the second are not overwritten.
    pub frozen: (u64, u64),
}

/// How the ring grows: by chunks that the kernel promises.
pub trait Grow {
    /// Chunks that may be touched now.
    fn populated(&self) -> usize;
    /// Makes one more usable; false if there is none to be had.
    fn grow(&self) -> bool;
}

/// Moment of a record.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Time stamp counter.
    pub tsc: u64,
    /// `CLOCK_MONOTONIC`, nanoseconds; asked for only where a chunk is begun.
    pub monotonic_ns: fn() -> u64,
}

/// One event to write: its record and the strings that go with it.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    /// Operation.
    pub op: Op,
    /// Stack id.
    pub stack: u32,
    /// Words behind the header word, at most `MAX_WORDS - 1`.
    pub words: &'a [u64],
    /// Strings, cut at [`TEXT_LIMIT`]; the first is field 0.
    pub texts: &'a [&'a [u8]],
}

/// Why an event was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

/// A thread's place in the ring. All zero = has no chunk.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Cursor {
    /// Index of the chunk plus one.
    chunk: u32,
    /// Next word to write.
    position: u32,
    /// Base of the records' times.
    base: u64,
    /// Fill number of the chunk.
    fill: u64,
    /// Acquisitions and releases so far in this chunk, as in word 7.
    contents: u64,
}

fn text_words(length: usize) -> usize {
    let length = if length < TEXT_LIMIT { length } else { TEXT_LIMIT };
    let whole = length / TEXT_BYTES;
    let rest = length % TEXT_BYTES;
    whole * MAX_WORDS + if rest > 0 || length == 0 { 2 + rest.div_ceil(8) } else { 0 }
}

fn cut<'a>(event: &Event<'a>) -> &'a [u64] {
    event.words.get(..MAX_WORDS - 1).unwrap_or(event.words)
}

fn size_of_event(event: &Event) -> usize {
    let mut total = 1 + cut(event).len();
    for text in event.texts {
        total += text_words(text.len());
    }
    total
}

/// What a chunk's word 7 grows by.
fn contents_of(op: Op) -> u64 {
    match op.effect() {
        Effect::Acquire | Effect::Alias | Effect::Fork => 1,
        Effect::Release => 1 << 32,
        _ => 0,
    }
}

/// Stores `bytes` as a `Text` record at `at`; returns the words it took.
fn store_text(out: &[AtomicU64], at: usize, bytes: &[u8], more: bool, field: u8, dt: u64) -> usize {
    let body = bytes.len().div_ceil(8);
    let header = HeaderWord::new(Op::Text, 2 + body, 0, dt).pack();
    let length = TextWord { length: bytes.len() as u16, more, field }.pack();
    store(out, at + 1, length);
    for (index, group) in bytes.chunks(8).enumerate() {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(group) {
            *to = *from;
        }
        store(out, at + 2 + index, u64::from_le_bytes(word));
    }
    store(out, at, header);
    2 + body
}

#[inline(always)]
fn store(out: &[AtomicU64], at: usize, value: u64) {
    if let Some(word) = out.get(at) {
        word.store(value, Ordering::Relaxed);
    }
}

impl<'a> Ring<'a> {
    fn chunk(&self, index: usize) -> &'a [AtomicU64] {
        let start = index * CHUNK_WORDS;
        self.words.get(start..start + CHUNK_WORDS).unwrap_or(&[])
    }

    /// Takes a chunk for writing and gives its index: the free one used last, else one more
    /// page of the region, else (flight recorder) the oldest full one.
    fn take(&self, grow: &impl Grow, into: ChunkState) -> Option<(usize, u64)> {
        // Bounded: each round somebody else won a chunk; then this event is lost instead of this thread.
        for _ in 0..8 {
            let populated = grow.populated().min(self.states.len());
            let mut free: Option<(usize, u64)> = None;
            let mut oldest: Option<(usize, u64, u64)> = None;
            for (index, state) in self.states.iter().take(populated).enumerate() {
                let bits = state.load(Ordering::Relaxed);
                let StateWord { state, fill } = StateWord::unpack(bits);
                match state {
                    // LIFO: the chunk drained last is the one still in the cache.
                    ChunkState::Free if free.is_none_or(|(_, best)| bits > best) => {
                        free = Some((index, bits));
                    }
                    ChunkState::Full | ChunkState::Parked
                        if !(self.frozen.0 <= fill && fill < self.frozen.1)
                            && oldest.is_none_or(|(_, _, best)| fill < best) =>
                    {
                        oldest = Some((index, bits, fill));
                    }
                    _ => {}
                }
            }
            let (index, bits, overwritten) = if let Some((index, bits)) = free {
                (index, bits, false)
            } else if grow.grow() {
                continue;
            } else if let Some((index, bits, _)) = oldest {
                (index, bits, true)
            } else {
                return None;
            };
            let fill = self.next_fill.fetch_add(1, Ordering::Relaxed) & (u64::MAX >> 3);
            let taken = StateWord { state: into, fill }.pack();
            let state = self.states.get(index)?;
            if state.compare_exchange(bits, taken, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                // Whoever sees one of the stores to come also sees the new state (reader: copy, fence, state).
                fence(Ordering::Release);
                if overwritten {
                    self.overwritten.fetch_add(1, Ordering::Relaxed);
                }
                return Some((index, fill));
            }
        }
        None
    }

    fn begin(&self, index: usize, fill: u64, moment: Moment, owner: u64) {
        let chunk = self.chunk(index);
        store(chunk, word::BASE_TSC, moment.tsc);
        store(chunk, word::BASE_MONOTONIC, (moment.monotonic_ns)());
        store(chunk, word::OWNER, owner);
        store(chunk, word::RESERVED, 0);
        store(chunk, word::COMPLETED, 0);
        store(chunk, word::CONTENTS, 0);
        store(chunk, word::COMMITTED, CHUNK_HEADER as u64);
        if let Some(first) = chunk.get(word::FILL) {
            first.store(fill, Ordering::Release);
        }
    }
}

impl Cursor {
    /// Writes `event` behind what this thread has written; takes a new chunk where needed.
    ///
    /// # Errors
    /// [`NoRoom`] when no chunk can be had; nothing was written.
    pub fn push(
        &mut self,
        ring: &Ring,
        grow: &impl Grow,
        moment: Moment,
        tid: u32,
        event: Event,
    ) -> Result<(), NoRoom> {
        let size = size_of_event(&event);
        // Two words more: a `Time` record may be needed first.
        if self.chunk == 0 || self.position as usize + size + 2 > CHUNK_WORDS {
            self.next_chunk(ring, grow, moment, tid, size + 2 + CONTEXT_WORDS)?;
        }
        let chunk = ring.chunk(self.chunk as usize - 1);
        let mut at = self.position as usize;
        // Not below the base: counters of two processors may differ by a few ticks.
        let mut dt = moment.tsc.saturating_sub(self.base) >> TIME_SHIFT;
        if dt >= DT_LIMIT {
            store(chunk, at, HeaderWord::new(Op::Time, 2, 0, 0).pack());
            store(chunk, at + 1, moment.tsc);
            self.base = moment.tsc;
            dt = 0;
            at += 2;
        }
        let words = cut(&event);
        store(chunk, at, HeaderWord::new(event.op, 1 + words.len(), event.stack, dt).pack());
        for (index, word) in words.iter().enumerate() {
            store(chunk, at + 1 + index, *word);
        }
        at += 1 + words.len();
        for (field, text) in event.texts.iter().enumerate() {
            let text = text.get(..TEXT_LIMIT).unwrap_or(text);
            if text.is_empty() {
                at += store_text(chunk, at, &[], false, field as u8, dt);
            }
            let mut rest = text;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(TEXT_BYTES));
                at += store_text(chunk, at, now, !later.is_empty(), field as u8, dt);
                rest = later;
            }
        }
        self.position = at as u32;
        let grown = contents_of(event.op);
        if grown != 0 {
            self.contents = self.contents.wrapping_add(grown);
            store(chunk, word::CONTENTS, self.contents);
        }
        if let Some(committed) = chunk.get(word::COMMITTED) {
            committed.store(at as u64, Ordering::Release);
        }
        Ok(())
    }

    fn next_chunk(
        &mut self,
        ring: &Ring,
        grow: &impl Grow,
        moment: Moment,
        tid: u32,
        room: usize,
    ) -> Result<(), NoRoom> {
        let full = *self;
        // A parked chunk is taken only for a thread's first: it has few records, they fit what is left.
        if full.chunk == 0 && self.take_parked(ring, grow, moment, tid, room) {
            return Ok(());
        }
        // The next chunk first: if there is none, this one stays open for smaller events.
        let (index, fill) = ring.take(grow, ChunkState::Owned).ok_or(NoRoom)?;
        full.seal(ring, ChunkState::Full);
        ring.begin(index, fill, moment, tid as u64);
        *self = Cursor {
            chunk: index as u32 + 1,
            position: CHUNK_HEADER as u32,
            base: moment.tsc,
            fill,
            contents: 0,
        };
        Ok(())
    }

    fn take_parked(
        &mut self,
        ring: &Ring,
        grow: &impl Grow,
        moment: Moment,
        tid: u32,
        room: usize,
    ) -> bool {
        let populated = grow.populated().min(ring.states.len());
        for (index, state) in ring.states.iter().take(populated).enumerate() {
            let bits = state.load(Ordering::Relaxed);
            let StateWord { state: ChunkState::Parked, fill } = StateWord::unpack(bits) else {
                continue;
            };
            let owned = StateWord { state: ChunkState::Owned, fill }.pack();
            if state.compare_exchange(bits, owned, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue;
            }
            fence(Ordering::Release);
            let chunk = ring.chunk(index);
            let committed = chunk.get(word::COMMITTED).map_or(0, |w| w.load(Ordering::Acquire));
            let contents = chunk.get(word::CONTENTS).map_or(0, |w| w.load(Ordering::Relaxed));
            let at = committed as usize;
            let cursor = Cursor {
                chunk: index as u32 + 1,
                position: at as u32,
                base: moment.tsc,
                fill,
                contents,
            };
            // `committed` is a word that others could have scribbled on.
            if at < CHUNK_HEADER || at + room > CHUNK_WORDS {
                let sealed = StateWord { state: ChunkState::Full, fill }.pack();
                let _ = state.compare_exchange(owned, sealed, Ordering::Release, Ordering::Relaxed);
                continue;
            }
            *self = cursor;
            store_context(chunk, at, tid, moment.tsc, 0);
            self.position += CONTEXT_WORDS as u32;
            return true;
        }
        false
    }

    fn seal(&self, ring: &Ring, into: ChunkState) {
        if self.chunk == 0 {
            return;
        }
        let owned = StateWord { state: ChunkState::Owned, fill: self.fill }.pack();
        let sealed = StateWord { state: into, fill: self.fill }.pack();
        if let Some(state) = ring.states.get(self.chunk as usize - 1) {
            // Fails only where somebody scribbled on the states: then the chunk is lost, not this thread.
            let _ = state.compare_exchange(owned, sealed, Ordering::Release, Ordering::Relaxed);
        }
    }

    /// The thread ends: what is left of its chunk is for the next thread.
    pub fn park(&mut self, ring: &Ring) {
        self.seal(ring, ChunkState::Parked);
        *self = Cursor::default();
    }

    /// Whether this thread has a chunk.
    pub fn is_placed(&self) -> bool {
        self.chunk != 0
    }
}

fn store_context(chunk: &[AtomicU64], at: usize, tid: u32, tsc: u64, part: u32) {
    store(chunk, at + 1, tsc);
    store(chunk, at + 2, tid as u64);
    if let Some(first) = chunk.get(at) {
        let header = HeaderWord::new(Op::Context, CONTEXT_WORDS, part, 0).pack();
        first.store(header, Ordering::Release);
    }
}

/// Writes `event` into the chunk that `place` names, which many threads write: for signal handlers
/// that interrupt this thread inside the shim, and for threads beyond half the chunks.
/// `place` = index plus one, 0 = none yet; it is private to the process.
///
/// A slot holds a `Context` (whose stack field counts the slots of one event) and one record.
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
    let words = event.words.get(..SLOT_WORDS - CONTEXT_WORDS - 1).unwrap_or(event.words);
    let mut slots = 1;
    for text in event.texts {
        slots += text.len().min(TEXT_LIMIT).div_ceil(SLOT_TEXT_BYTES.max(1)).max(1);
    }
    let size = slots * SLOT_WORDS;
    if size > SHARED_WORDS {
        return Err(NoRoom);
    }
    for _ in 0..4 {
        let now = place.load(Ordering::Acquire);
        let Some((chunk, start)) = reserve(ring, now, size) else {
            let (index, fill) = ring.take(grow, ChunkState::Shared).ok_or(NoRoom)?;
            begin_shared(ring, index, fill, moment);
            let next = index as u32 + 1;
            if place.compare_exchange(now, next, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                // Another thread was first: this chunk goes back unused.
                let taken = StateWord { state: ChunkState::Shared, fill }.pack();
                let free = StateWord { state: ChunkState::Free, fill }.pack();
                if let Some(state) = ring.states.get(index) {
                    let _ =
                        state.compare_exchange(taken, free, Ordering::Release, Ordering::Relaxed);
                }
            }
            continue;
        };
        let mut at = start;
        let mut part = 0;
        let mut slot = |fill_in: &dyn Fn(usize)| {
            fill_in(at + CONTEXT_WORDS);
            store_context(chunk, at, tid, moment.tsc, part);
            at += SLOT_WORDS;
            part += 1;
        };
        slot(&|at| {
            for (index, word) in words.iter().enumerate() {
                store(chunk, at + 1 + index, *word);
            }
            store(chunk, at, HeaderWord::new(event.op, 1 + words.len(), event.stack, 0).pack());
        });
        for (field, text) in event.texts.iter().enumerate() {
            let mut rest = text.get(..TEXT_LIMIT).unwrap_or(text);
            loop {
                let (now, later) = rest.split_at(rest.len().min(SLOT_TEXT_BYTES));
                slot(&|at| {
                    store_text(chunk, at, now, !later.is_empty(), field as u8, 0);
                });
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
        }
        if let Some(contents) = chunk.get(word::CONTENTS) {
            contents.fetch_add(contents_of(event.op), Ordering::Relaxed);
        }
        complete(ring, now as usize - 1, size);
        return Ok(());
    }
    Err(NoRoom)
}

/// Reserves `size` words in the shared chunk `place - 1`: the chunk and the first word.
fn reserve<'a>(ring: &Ring<'a>, place: u32, size: usize) -> Option<(&'a [AtomicU64], usize)> {
    let index = (place as usize).checked_sub(1)?;
    let chunk = ring.chunk(index);
    let start = chunk.get(word::RESERVED)?.fetch_add(size as u64, Ordering::AcqRel);
    if start + size as u64 <= SHARED_WORDS as u64 {
        return Some((chunk, CHUNK_HEADER + start as usize));
    }
    // The words behind the end are nobody's; those before it that this reservation spans are done with it.
    if start < SHARED_WORDS as u64 {
        complete(ring, index, SHARED_WORDS - start as usize);
    }
    None
}

/// Counts `size` words as written; who completes the last one seals the chunk.
fn complete(ring: &Ring, index: usize, size: usize) {
    let chunk = ring.chunk(index);
    let Some(completed) = chunk.get(word::COMPLETED) else { return };
    let before = completed.fetch_add(size as u64, Ordering::AcqRel);
    if before + size as u64 != SHARED_WORDS as u64 {
        return;
    }
    if let Some(state) = ring.states.get(index) {
        let bits = state.load(Ordering::Relaxed);
        let now = StateWord::unpack(bits);
        if now.state == ChunkState::Shared {
            let full = StateWord { state: ChunkState::Full, fill: now.fill }.pack();
            let _ = state.compare_exchange(bits, full, Ordering::Release, Ordering::Relaxed);
        }
    }
}

fn begin_shared(ring: &Ring, index: usize, fill: u64, moment: Moment) {
    // Slots are told from holes by their first word.
    for slot in ring.chunk(index).get(CHUNK_HEADER..).unwrap_or(&[]).chunks(SLOT_WORDS) {
        store(slot, 0, 0);
    }
    ring.begin(index, fill, moment, 1 << 32);
    store(ring.chunk(index), word::COMMITTED, (CHUNK_HEADER + SHARED_WORDS) as u64);
}
