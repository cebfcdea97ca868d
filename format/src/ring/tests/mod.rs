//! Tests of the ring on one thread: what is pushed is what is read. Threads that race or die are the
//! business of `tests/loom.rs`; a killed process that of the tests crate.

mod damage;
mod owned;
mod ring;
mod shared;

use super::copy::{Copied, InMemory, copy};
use super::reader::{Anomalies, Records};
use super::writer::{Cursor, Event, Grow, Moment, NoRoom, Ring, push_shared};
use super::{CHUNK_WORDS, StateWord};
use crate::op::Op;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use std::boxed::Box;
use std::cell::Cell;
use std::vec::Vec;

/// Memory for a ring of `limit` chunks, of which `populated` may be touched.
struct Memory {
    states: Vec<AtomicU64>,
    words: Vec<AtomicU64>,
    next_fill: AtomicU64,
    overwritten: AtomicU64,
    populated: Cell<usize>,
    limit: usize,
    frozen: (u64, u64),
}

impl Grow for Memory {
    fn populated(&self) -> usize {
        self.populated.get()
    }
    fn grow(&self) -> bool {
        let grows = self.populated.get() < self.limit;
        self.populated.set(self.populated.get() + grows as usize);
        grows
    }
}

/// What was read of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    tsc: u64,
    tid: u32,
    op: Op,
    stack: u32,
    words: Vec<u64>,
    texts: Vec<Vec<u8>>,
}

impl Memory {
    fn of(limit: usize) -> Memory {
        Memory {
            states: (0..limit).map(|_| AtomicU64::new(0)).collect(),
            words: (0..limit * CHUNK_WORDS).map(|_| AtomicU64::new(0)).collect(),
            next_fill: AtomicU64::new(1),
            overwritten: AtomicU64::new(0),
            populated: Cell::new(0),
            limit,
            frozen: (0, 0),
        }
    }

    fn ring(&self) -> Ring<'_> {
        Ring {
            states: &self.states,
            words: &self.words,
            next_fill: &self.next_fill,
            overwritten: &self.overwritten,
            frozen: self.frozen,
        }
    }

    fn chunk(&self, index: usize) -> &[AtomicU64] {
        &self.words[index * CHUNK_WORDS..(index + 1) * CHUNK_WORDS]
    }

    fn word(&self, index: usize, word: usize) -> u64 {
        self.chunk(index)[word].load(Ordering::Relaxed)
    }

    fn state(&self, index: usize) -> StateWord {
        StateWord::unpack(self.states[index].load(Ordering::Relaxed))
    }

    fn copy(&self, index: usize) -> Option<(Copied, Vec<u64>)> {
        let mut words = Box::new([0; CHUNK_WORDS]);
        let chunk = InMemory { state: &self.states[index], words: self.chunk(index) };
        let copied = copy(&chunk, &mut words)?;
        Some((copied, words[..copied.words].to_vec()))
    }

    /// Everything that can be read, chunk by chunk in the order of their fill numbers.
    fn read(&self) -> (Vec<Seen>, Anomalies) {
        let mut copies: Vec<_> = (0..self.limit).filter_map(|index| self.copy(index)).collect();
        copies.sort_by_key(|(copied, _)| copied.state.fill);
        let mut seen = Vec::new();
        let mut sum = Anomalies::default();
        for (_, words) in copies {
            let (more, anomalies) = walk(&words);
            seen.extend(more);
            sum.bad_lengths += anomalies.bad_lengths;
            sum.unknown_ops += anomalies.unknown_ops;
            sum.holes += anomalies.holes;
            sum.stray_texts += anomalies.stray_texts;
        }
        (seen, sum)
    }

    fn push(&self, cursor: &mut Cursor, at: u64, tid: u32, event: Event) -> Result<(), NoRoom> {
        cursor.push(&self.ring(), self, moment(at), tid, event)
    }

    fn push_shared(&self, place: &AtomicU32, at: u64, tid: u32, e: Event) -> Result<(), NoRoom> {
        push_shared(&self.ring(), self, place, moment(at), tid, e)
    }
}

fn moment(tsc: u64) -> Moment {
    Moment { tsc, monotonic_ns: || 77 }
}

fn walk(words: &[u64]) -> (Vec<Seen>, Anomalies) {
    let mut records = Records::new(words);
    let mut seen = Vec::new();
    for record in records.by_ref() {
        let texts = (0..=u8::MAX).map_while(|field| {
            let mut bytes = [0; 2048];
            record.text(field, &mut bytes).map(|text| text.to_vec())
        });
        seen.push(Seen {
            tsc: record.tsc,
            tid: record.tid,
            op: record.op,
            stack: record.stack,
            words: record.words.to_vec(),
            texts: texts.collect(),
        });
    }
    (seen, records.anomalies)
}

/// A three-word record, as most are.
fn plain(words: &[u64; 2]) -> Event<'_> {
    Event { op: Op::Open, stack: 5, words, texts: &[] }
}

/// An event that fills about a tenth of a chunk.
fn bulky() -> Event<'static> {
    const TEXT: &[u8] = &[b'x'; 1024];
    Event { op: Op::Exec, stack: 0, words: &[0], texts: &[TEXT] }
}
