//! The event history: chunks of records that one thread fills at a time.
//!
//! ```text
//! states[i]   fill:61 | state:3                   one word a chunk, changed by compare-and-swap alone
//!
//! chunk i     word 0  fill number it was begun with
//!             word 1  base: time stamp counter     word 2  CLOCK_MONOTONIC at the base, ns
//!             word 3  tid:32 | shared:32            word 4  committed: words that may be read, header included
//!             word 5  reserved words (shared; else closed) word 6  completed words (shared)
//!             word 7  acquisitions:32 | releases:32 in it
//!             word 8… records
//! ```
//!
//! | state | who may write its words | who may change the state |
//! |---|---|---|
//! | `Free` | nobody | a writer → `Owned`, `Shared` |
//! | `Owned` | one thread | that thread → `Full`, `Parked` |
//! | `Shared` | whoever reserved words in it | who completes the last word → `Full` |
//! | `Parked` | nobody | a writer → `Owned` (same fill, goes on behind what is there); the drainer → `Full`; a writer that finds no free chunk, as `Full` |
//! | `Full` | nobody | the drainer → `Free`; a writer that finds no free chunk → `Owned`, `Shared` |
//!
//! Each time a chunk is begun it gets a new fill number; a copy whose state word is the same before
//! and after it is a true copy. Crash states, and what a reader makes of them:
//!
//! * killed while filling an owned chunk: `committed` is before the torn record; it is not seen.
//! * killed between taking a chunk and its first commit: `committed` is 8, or word 0 is another
//!   fill's: the chunk is empty.
//! * killed while filling the slots of an event of a shared chunk: word 0 of the first one is 0; they are
//!   skipped. The chunk stays `Shared`; it is read all the same.
//! * killed before sealing: the chunk stays `Owned`; it is read all the same.
//! * killed between giving back a chunk and making it `Free`: it stays `Shared` and empty.
//! * drainer killed between writing a frame and freeing the chunk: the next one writes the frame
//!   again; readers drop what they have seen of this (fill, word).

pub mod copy;
pub mod drain;
pub mod reader;
mod shared;
pub mod writer;

#[cfg(all(test, not(loom)))]
mod tests;

/// Words of a chunk (16 KiB).
#[cfg(not(loom))]
pub const CHUNK_WORDS: usize = 2048;
/// Words of a chunk, small enough for the model checker.
#[cfg(loom)]
pub const CHUNK_WORDS: usize = 8 + 2 * SLOT_WORDS;
/// Bytes of a chunk.
pub const CHUNK_BYTES: usize = CHUNK_WORDS * 8;
/// Words of a chunk's header.
pub const CHUNK_HEADER: usize = 8;
/// Words of a slot of a shared chunk: a `Context` record and one other.
#[cfg(not(loom))]
pub const SLOT_WORDS: usize = 18;
/// Words of a slot of a shared chunk in the model.
#[cfg(loom)]
pub const SLOT_WORDS: usize = 6;
/// Words that records of a shared chunk may take: whole slots.
pub const SHARED_WORDS: usize = (CHUNK_WORDS - CHUNK_HEADER) / SLOT_WORDS * SLOT_WORDS;

/// Index of a word of the chunk's header.
pub mod word {
    /// Fill number.
    pub const FILL: usize = 0;
    /// Counter at the base of the records' times.
    pub const BASE_TSC: usize = 1;
    /// Monotonic nanoseconds at the base.
    pub const BASE_MONOTONIC: usize = 2;
    /// Thread, and whether the chunk is shared.
    pub const OWNER: usize = 3;
    /// Words that may be read.
    pub const COMMITTED: usize = 4;
    /// Words reserved (shared).
    pub const RESERVED: usize = 5;
    /// Words completed (shared).
    pub const COMPLETED: usize = 6;
    /// Acquisitions and releases in it.
    pub const CONTENTS: usize = 7;
}

/// State of a chunk: the low three bits of its state word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum ChunkState {
    /// Nothing in it that is not drained.
    Free = 0,
    /// One thread writes it.
    Owned = 1,
    /// Many threads write it.
    Shared = 2,
    /// Its thread ended; there is room left.
    Parked = 3,
    /// To be drained, or overwritten.
    Full = 4,
}

/// A state word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateWord {
    /// The state; unknown bits read as `Owned`, which nobody frees.
    pub state: ChunkState,
    /// Fill number, below 2^61.
    pub fill: u64,
}
impl StateWord {
    /// Its 64 bits.
    pub const fn pack(self) -> u64 {
        self.fill << 3 | self.state as u64
    }
    /// From 64 bits.
    pub const fn unpack(bits: u64) -> StateWord {
        let state = match bits & 7 {
            0 => ChunkState::Free,
            2 => ChunkState::Shared,
            3 => ChunkState::Parked,
            4 => ChunkState::Full,
            _ => ChunkState::Owned,
        };
        StateWord { state, fill: bits >> 3 }
    }
}
