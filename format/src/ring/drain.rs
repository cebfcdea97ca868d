//! The drainer's side: who may free chunks, and which. What it writes are the drainer's word of the control
//! page and state words, nothing else.
//!
//! ```text
//! drainer     start ticks:41 | pid:22            one word, so that no other drainer takes one half of it for
//!                                                a dead drainer's; 0 = nobody
//! ```

use super::copy::Copied;
use super::{ChunkState, StateWord};
use crate::sync::{AtomicU64, Ordering};

/// Bits of a pid (`PID_MAX_LIMIT` of Linux is 2^22).
const PID_BITS: u32 = 22;
/// Bits of start ticks: 697 years of a hundred a second.
const START_BITS: u32 = 41;

/// A process that drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drainer {
    /// Its pid.
    pub pid: u32,
    /// When it started, in ticks since the machine did.
    pub start: u64,
}

impl Drainer {
    /// The word that names it.
    pub const fn pack(self) -> u64 {
        let pid = self.pid as u64 & ((1 << PID_BITS) - 1);
        (self.start & ((1 << START_BITS) - 1)) << PID_BITS | pid
    }

    /// Whom a word names; `None`: nobody.
    pub const fn unpack(bits: u64) -> Option<Drainer> {
        let pid = bits as u32 & ((1 << PID_BITS) - 1);
        let start = bits >> PID_BITS & ((1 << START_BITS) - 1);
        if pid == 0 { None } else { Some(Drainer { pid, start }) }
    }
}

/// Claims the role: true if `me` is the one drainer now. `alive` tells whether another still lives.
pub fn claim(word: &AtomicU64, me: Drainer, alive: impl Fn(Drainer) -> bool) -> bool {
    let before = word.load(Ordering::Relaxed);
    if Drainer::unpack(before).is_some_and(|other| other != me && alive(other)) {
        return false;
    }
    // Relaxed: what the drainer before did is in the state words, and those are changed by exchange alone.
    word.compare_exchange(before, me.pack(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// Gives the role back, if `me` still has it.
pub fn release(word: &AtomicU64, me: Drainer) {
    let _ = word.compare_exchange(me.pack(), 0, Ordering::Relaxed, Ordering::Relaxed);
}

/// Frees a chunk that was copied and stored: only if it is still the same and nobody writes it.
///
/// A parked chunk is not freed but made full, and the answer is false: a thread may have taken it,
/// written and parked it again since it was copied, which its state word does not tell. Full is the
/// last state of a fill, so the next round copies what is new and frees it. A drainer that finds
/// nothing new in a full chunk must call this all the same.
pub fn free(state: &AtomicU64, copied: &Copied) -> bool {
    let fill = copied.state.fill;
    let (next, freed) = match copied.state.state {
        ChunkState::Full => (ChunkState::Free, true),
        ChunkState::Parked => (ChunkState::Full, false),
        _ => return false,
    };
    let next = StateWord { state: next, fill }.pack();
    // Relaxed: the drainer has written none of the chunk's words. What their writer released goes on to
    // the next one through the exchange.
    let done = state
        .compare_exchange(copied.state.pack(), next, Ordering::Relaxed, Ordering::Relaxed)
        .is_ok();
    done && freed
}
