//! Copies a chunk that somebody may be writing: copies first, then looks whether the copy is true.
//! Nothing that is read here is believed, and nothing is written.

use super::{CHUNK_HEADER, CHUNK_WORDS, ChunkState, SHARED_WORDS, SLOT_WORDS, StateWord, word};
use crate::record::HeaderWord;
use crate::sync::{AtomicU64, Ordering, fence};

/// Where a chunk and its state word are read. Each call sees what there is after whatever the calls before
/// it saw; of the words of one call any may be older than any other (the kernel copies them as it likes).
pub trait Chunk {
    /// The state word as it is now; `None` ends the copy.
    fn state(&self) -> Option<u64>;
    /// The chunk's words from `at` on; `None` ends the copy.
    fn read(&self, at: usize, into: &mut [u64]) -> Option<()>;
    /// Which of its slots are there; `None` ends the copy.
    fn slots(&self) -> Option<Slots>;
}

/// A chunk in memory that cannot go away.
#[derive(Clone, Copy, Debug)]
pub struct InMemory<'a> {
    /// Its state word.
    pub state: &'a AtomicU64,
    /// Its words.
    pub words: &'a [AtomicU64],
}

impl Chunk for InMemory<'_> {
    fn state(&self) -> Option<u64> {
        Some(self.state.load(Ordering::Acquire))
    }

    fn read(&self, at: usize, into: &mut [u64]) -> Option<()> {
        let words = self.words.get(at..at.checked_add(into.len())?)?;
        for (to, from) in into.iter_mut().zip(words) {
            *to = from.load(Ordering::Relaxed);
        }
        fence(Ordering::Acquire);
        Some(())
    }

    fn slots(&self) -> Option<Slots> {
        let slots = self.words.get(CHUNK_HEADER..)?.chunks_exact(SLOT_WORDS);
        let slots = Slots::of(slots.map(|slot| slot[0].load(Ordering::Relaxed)));
        fence(Ordering::Acquire);
        Some(slots)
    }
}

/// Slots of a shared chunk, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// The first word is there.
    there: u128,
    /// It says that an event begins here.
    begin: u128,
}

impl Slots {
    /// By the first word of each.
    pub fn of(first: impl Iterator<Item = u64>) -> Slots {
        let mut slots = Slots::default();
        for (slot, bits) in first.take(SLOTS).enumerate() {
            slots.there |= u128::from(bits != 0) << slot;
            slots.begin |= u128::from(bits != 0 && HeaderWord::unpack(bits).stack == 0) << slot;
        }
        slots
    }
}

/// A true copy of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// State word before it was copied: all that was written in this state is in the copy.
    pub state: StateWord,
    /// Words in the copy that may be read, header included.
    pub words: usize,
}

/// Slots of a shared chunk.
pub const SLOTS: usize = SHARED_WORDS / SLOT_WORDS;
const _: () = assert!(SLOTS <= u128::BITS as usize);

/// Copies a chunk that a writer may be writing. `None`: nothing in it, or it was begun anew meanwhile.
pub fn copy(chunk: &impl Chunk, into: &mut [u64; CHUNK_WORDS]) -> Option<Copied> {
    let before = StateWord::unpack(chunk.state()?);
    if before.state == ChunkState::Free {
        return None;
    }
    // `FILL` before `COMMITTED`: a chunk that is begun anew stores them in the other order.
    let mut fill = [0];
    chunk.read(word::FILL, &mut fill)?;
    if fill[0] != before.fill {
        return None;
    }
    let mut head = [0; CHUNK_HEADER];
    chunk.read(0, &mut head)?;
    let words = (head[word::COMMITTED] as usize).clamp(CHUNK_HEADER, CHUNK_WORDS);
    if words == CHUNK_HEADER {
        return None;
    }
    let body = into.get_mut(CHUNK_HEADER..words)?;
    if head[word::OWNER] >> 32 == 1 {
        read_slots(chunk, body)?;
    } else {
        chunk.read(CHUNK_HEADER, body)?;
    }
    into[..CHUNK_HEADER].copy_from_slice(&head);
    // Any state of this fill: its words are not taken back, and a new fill is in the state word first.
    let after = StateWord::unpack(chunk.state()?);
    (after.fill == before.fill).then_some(Copied { state: before, words })
}

/// Reads what is there of a shared chunk: an event is complete when the first word of its first slot is
/// seen, so those are looked at first, then the other slots, then their words. What is not there is 0.
fn read_slots(chunk: &impl Chunk, body: &mut [u64]) -> Option<()> {
    body.fill(0);
    let first = chunk.slots()?;
    let later = chunk.slots()?;
    let mut begun = first.there | later.there & !later.begin;
    let mut slot = 0;
    // Slots side by side are read in one go.
    while begun != 0 {
        slot += begun.trailing_zeros() as usize;
        begun >>= begun.trailing_zeros();
        let run = begun.trailing_ones();
        begun = begun.checked_shr(run).unwrap_or(0);
        let end = (slot + run as usize) * SLOT_WORDS;
        let Some(words) = body.get_mut(slot * SLOT_WORDS..end) else { break };
        chunk.read(CHUNK_HEADER + slot * SLOT_WORDS, words)?;
        slot += run as usize;
    }
    Some(())
}

/// Words of a copy, from the first on, that no later copy of this fill shows otherwise: a drainer of
/// a living process stores no more than these and comes back for the rest. In a shared chunk that is
/// not full they end before the first slot that is not complete.
pub fn settled(copied: &Copied, words: &[u64]) -> usize {
    let shared = words.get(word::OWNER).is_some_and(|owner| owner >> 32 == 1);
    if !shared || copied.state.state == ChunkState::Full {
        return copied.words;
    }
    let slots = words.get(CHUNK_HEADER..copied.words).unwrap_or(&[]).chunks_exact(SLOT_WORDS);
    CHUNK_HEADER + slots.take_while(|slot| slot[0] != 0).count() * SLOT_WORDS
}
