//! The writing side of a thread's own chunk: what runs inside the traced process, so nothing here
//! blocks, allocates, panics or trusts a word that somebody else could have changed.

use super::{CHUNK_HEADER, CHUNK_WORDS, ChunkState, SHARED_WORDS, StateWord, word};
use crate::op::{Effect, Op};
use crate::record::{DT_LIMIT, HeaderWord, MAX_WORDS, TEXT_BYTES, TIME_SHIFT, TextWord};
use crate::sync::{AtomicU64, Ordering, fence};

pub use super::shared::push_shared;

/// Longest string that goes with a record; longer ones are cut.
pub const TEXT_LIMIT: usize = 1024;
/// Words of a `Context` record.
pub(super) const CONTEXT_WORDS: usize = 3;
/// Words of a `Time` record.
const TIME_WORDS: usize = 2;

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

impl<'a> Event<'a> {
    pub(super) fn cut(&self) -> &'a [u64] {
        self.words.get(..MAX_WORDS - 1).unwrap_or(self.words)
    }
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

/// Words that are written one after the other; what does not fit is dropped, so sizes are checked before.
pub(super) struct Out<'a>(core::slice::Iter<'a, AtomicU64>);

impl<'a> Out<'a> {
    pub(super) fn new(words: &'a [AtomicU64]) -> Out<'a> {
        Out(words.iter())
    }

    #[inline(always)]
    fn word(&mut self, value: u64) {
        if let Some(word) = self.0.next() {
            word.store(value, Ordering::Relaxed);
        }
    }

    #[inline(always)]
    pub(super) fn record(&mut self, op: Op, stack: u32, dt: u64, words: &[u64]) {
        self.word(HeaderWord::new(op, 1 + words.len(), stack, dt).pack());
        for word in words {
            self.word(*word);
        }
    }

    /// One `Text` record: at most [`TEXT_BYTES`] bytes.
    pub(super) fn text(&mut self, bytes: &[u8], more: bool, field: u8, dt: u64) {
        self.word(HeaderWord::new(Op::Text, 2 + bytes.len().div_ceil(8), 0, dt).pack());
        self.word(TextWord { length: bytes.len() as u16, more, field }.pack());
        let (groups, rest) = bytes.as_chunks::<8>();
        for group in groups {
            self.word(u64::from_le_bytes(*group));
        }
        if !rest.is_empty() {
            // By shifts: a loop over bytes would become a call of `memcpy`.
            let last = rest.iter().rev().fold(0, |word, byte| word << 8 | *byte as u64);
            self.word(last);
        }
    }
}

/// Cuts a string at [`TEXT_LIMIT`] and into pieces of `limit` bytes; an empty one is one empty piece.
pub(super) fn pieces(text: &[u8], limit: usize, mut put: impl FnMut(&[u8], bool)) {
    let mut rest = text.get(..TEXT_LIMIT).unwrap_or(text);
    loop {
        let (now, later) = rest.split_at_checked(limit).unwrap_or((rest, &[]));
        put(now, !later.is_empty());
        rest = later;
        if rest.is_empty() {
            return;
        }
    }
}

/// Words of the `Text` records of a string.
fn text_words(length: usize) -> usize {
    let length = if length < TEXT_LIMIT { length } else { TEXT_LIMIT };
    let whole = length / TEXT_BYTES;
    let rest = length % TEXT_BYTES;
    whole * MAX_WORDS + if rest > 0 || length == 0 { 2 + rest.div_ceil(8) } else { 0 }
}

/// The words of a chunk.
#[inline(always)]
fn chunk_of(words: &[AtomicU64], index: usize) -> Option<&[AtomicU64; CHUNK_WORDS]> {
    words.get(index.checked_mul(CHUNK_WORDS)?..)?.first_chunk()
}

/// What a chunk's word 7 grows by.
#[inline(always)]
pub(super) fn contents_of(op: Op) -> u64 {
    match op.effect() {
        Effect::Acquire | Effect::Alias | Effect::Fork => 1,
        Effect::Release => 1 << 32,
        _ => 0,
    }
}

impl<'a> Ring<'a> {
    /// The words of a chunk; `None` if the region has no such chunk.
    #[inline(always)]
    pub(super) fn chunk(&self, index: usize) -> Option<&'a [AtomicU64; CHUNK_WORDS]> {
        chunk_of(self.words, index)
    }

    /// Chunks that both slices have.
    fn limit(&self) -> usize {
        self.states.len().min(self.words.len() / CHUNK_WORDS)
    }

    /// Takes a chunk for writing and gives its index and new fill: the free one used last, else one
    /// more of the region, else (flight recorder) the oldest full one.
    pub(super) fn take(&self, grow: &impl Grow, into: ChunkState) -> Option<(usize, u64)> {
        let limit = self.limit();
        // Bounded: each round somebody else won a chunk; then this event is lost instead of this thread.
        for _ in 0..8 {
            let populated = grow.populated().min(limit);
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
            } else if populated < limit && grow.grow() {
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

    /// Writes the header of a chunk that was just taken: `FILL` is stored when the rest is there.
    /// `RESERVED` begins closed: `push_shared` of a thread that still has this chunk in mind from an
    /// earlier fill must find no room in it.
    pub(super) fn begin(&self, index: usize, fill: u64, moment: Moment, owner: u64, end: usize) {
        let Some(chunk) = self.chunk(index) else { return };
        // By exchange, since it races with theirs.
        chunk[word::RESERVED].swap(SHARED_WORDS as u64, Ordering::Relaxed);
        chunk[word::COMPLETED].store(0, Ordering::Relaxed);
        chunk[word::BASE_TSC].store(moment.tsc, Ordering::Relaxed);
        chunk[word::BASE_MONOTONIC].store((moment.monotonic_ns)(), Ordering::Relaxed);
        chunk[word::OWNER].store(owner, Ordering::Relaxed);
        chunk[word::CONTENTS].store(0, Ordering::Relaxed);
        chunk[word::COMMITTED].store(end as u64, Ordering::Relaxed);
        chunk[word::FILL].store(fill, Ordering::Release);
    }
}

impl Cursor {
    /// The quick half of [`Cursor::push`]: an event without strings that fits behind what this thread has
    /// written. `words` are the ring's. False: nothing was written.
    #[inline(always)]
    pub fn push_quick(&mut self, words: &[AtomicU64], tsc: u64, event: &Event) -> bool {
        let dt = tsc.saturating_sub(self.base) >> TIME_SHIFT;
        let size = 1 + event.words.len();
        if !event.texts.is_empty() || dt >= DT_LIMIT || size > MAX_WORDS {
            return false;
        }
        let index = (self.chunk as usize).wrapping_sub(1);
        let Some(chunk) = chunk_of(words, index) else { return false };
        let start = self.position as usize;
        // As in `push`: there is room for a `Time` record, needed or not.
        let room = chunk.get(start..start + size + TIME_WORDS);
        let Some([head, rest @ ..]) = room else { return false };
        head.store(HeaderWord::new(event.op, size, event.stack, dt).pack(), Ordering::Relaxed);
        for (to, from) in rest.iter().zip(event.words) {
            to.store(*from, Ordering::Relaxed);
        }
        self.commit(chunk, event.op, start + size);
        true
    }

    /// As [`Cursor::push_quick`], for an event with one short string: the record and its text in one go.
    #[inline(always)]
    pub fn push_named(&mut self, words: &[AtomicU64], tsc: u64, event: &Event) -> bool {
        let dt = tsc.saturating_sub(self.base) >> TIME_SHIFT;
        let &[text] = event.texts else { return false };
        let size = 1 + event.words.len();
        if dt >= DT_LIMIT || size > MAX_WORDS || text.len() > TEXT_BYTES {
            return false;
        }
        let all = size + text_words(text.len());
        let index = (self.chunk as usize).wrapping_sub(1);
        let Some(chunk) = chunk_of(words, index) else { return false };
        let start = self.position as usize;
        let Some(room) = chunk.get(start..start + all + TIME_WORDS) else { return false };
        let mut out = Out::new(room);
        out.record(event.op, event.stack, dt, event.words);
        out.text(text, false, 0, dt);
        self.commit(chunk, event.op, start + all);
        true
    }

    /// Makes everything before `end` the reader's.
    #[inline(always)]
    fn commit(&mut self, chunk: &[AtomicU64; CHUNK_WORDS], op: Op, end: usize) {
        self.position = end as u32;
        let grown = contents_of(op);
        if grown != 0 {
            self.contents = self.contents.wrapping_add(grown);
            chunk[word::CONTENTS].store(self.contents, Ordering::Relaxed);
        }
        chunk[word::COMMITTED].store(end as u64, Ordering::Release);
    }

    /// Writes `event` behind what this thread has written; takes a new chunk where needed.
    ///
    /// # Errors
    /// [`NoRoom`] when no chunk can be had, or the event is longer than a chunk; nothing was written.
    pub fn push(
        &mut self,
        ring: &Ring,
        grow: &impl Grow,
        moment: Moment,
        tid: u32,
        event: Event,
    ) -> Result<(), NoRoom> {
        if self.push_quick(ring.words, moment.tsc, &event) {
            return Ok(());
        }
        let words = event.cut();
        let mut size = 1 + words.len();
        for text in event.texts {
            size += text_words(text.len());
        }
        // A `Time` record may be needed first.
        if self.chunk == 0 || self.position as usize + size + TIME_WORDS > CHUNK_WORDS {
            self.next_chunk(ring, grow, moment, tid, size + TIME_WORDS)?;
        }
        let index = (self.chunk as usize).wrapping_sub(1);
        let chunk = ring.chunk(index).ok_or(NoRoom)?;
        let mut end = self.position as usize;
        let mut out = Out::new(chunk.get(end..).ok_or(NoRoom)?);
        // Not below the base: counters of two processors may differ by a few ticks.
        let mut dt = moment.tsc.saturating_sub(self.base) >> TIME_SHIFT;
        if dt >= DT_LIMIT {
            out.record(Op::Time, 0, 0, &[moment.tsc]);
            self.base = moment.tsc;
            dt = 0;
            end += TIME_WORDS;
        }
        out.record(event.op, event.stack, dt, words);
        if !event.texts.is_empty() {
            push_texts(&mut out, event.texts, dt);
        }
        self.commit(chunk, event.op, end + size);
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn next_chunk(
        &mut self,
        ring: &Ring,
        grow: &impl Grow,
        moment: Moment,
        tid: u32,
        room: usize,
    ) -> Result<(), NoRoom> {
        if room > CHUNK_WORDS - CHUNK_HEADER {
            return Err(NoRoom);
        }
        // A parked chunk is taken only for a thread's first: it has few records, they fit what is left.
        if self.chunk == 0 && self.take_parked(ring, grow, moment, tid, room + CONTEXT_WORDS) {
            return Ok(());
        }
        // Sealed before the next is taken: where there is no other chunk, the drainer or the flight
        // recorder can have this one. Held back, it would stop the ring for good.
        self.seal(ring, ChunkState::Full);
        let (index, fill) = ring.take(grow, ChunkState::Owned).ok_or(NoRoom)?;
        ring.begin(index, fill, moment, tid as u64, CHUNK_HEADER);
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
        let populated = grow.populated().min(ring.limit());
        for (index, state) in ring.states.iter().take(populated).enumerate() {
            let bits = state.load(Ordering::Relaxed);
            let StateWord { state: ChunkState::Parked, fill } = StateWord::unpack(bits) else {
                continue;
            };
            let Some(chunk) = ring.chunk(index) else { return false };
            // `committed` is a word that others could have scribbled on.
            let last = (CHUNK_WORDS - room.min(CHUNK_WORDS)) as u64;
            let place = || {
                let at = chunk[word::COMMITTED].load(Ordering::Relaxed);
                (CHUNK_HEADER as u64 <= at && at <= last).then_some(at)
            };
            if place().is_none() {
                // Looked at once, not by each thread to come. It has no owner on the way, so that
                // the flight recorder can have it at any moment.
                let full = StateWord { state: ChunkState::Full, fill }.pack();
                let _ = state.compare_exchange(bits, full, Ordering::AcqRel, Ordering::Relaxed);
                continue;
            }
            let owned = StateWord { state: ChunkState::Owned, fill }.pack();
            if state.compare_exchange(bits, owned, Ordering::Acquire, Ordering::Relaxed).is_err() {
                continue;
            }
            let mut cursor = Cursor { chunk: index as u32 + 1, fill, ..Cursor::default() };
            // Another thread could have parked it again since.
            let Some(at) = place() else {
                cursor.seal(ring, ChunkState::Full);
                continue;
            };
            let at = at as usize;
            let mut out = Out::new(chunk.get(at..).unwrap_or(&[]));
            out.record(Op::Context, 0, 0, &[moment.tsc, tid as u64]);
            cursor.position = (at + CONTEXT_WORDS) as u32;
            cursor.base = moment.tsc;
            cursor.contents = chunk[word::CONTENTS].load(Ordering::Relaxed);
            *self = cursor;
            return true;
        }
        false
    }

    /// Gives the chunk away.
    fn seal(&mut self, ring: &Ring, into: ChunkState) {
        let owned = StateWord { state: ChunkState::Owned, fill: self.fill }.pack();
        let sealed = StateWord { state: into, fill: self.fill }.pack();
        if let Some(state) = ring.states.get((self.chunk as usize).wrapping_sub(1)) {
            // Fails only where somebody scribbled on the states: then the chunk is lost, not this thread.
            let _ = state.compare_exchange(owned, sealed, Ordering::Release, Ordering::Relaxed);
        }
        *self = Cursor::default();
    }

    /// The thread ends: what is left of its chunk is for the next thread.
    pub fn park(&mut self, ring: &Ring) {
        self.seal(ring, ChunkState::Parked);
    }

    /// Whether this thread has a chunk.
    pub fn is_placed(&self) -> bool {
        self.chunk != 0
    }
}

/// Apart from `push`, so that a record without strings pays nothing for them.
#[inline(never)]
fn push_texts(out: &mut Out, texts: &[&[u8]], dt: u64) {
    for (field, text) in texts.iter().enumerate() {
        pieces(text, TEXT_BYTES, |bytes, more| out.text(bytes, more, field as u8, dt));
    }
}
