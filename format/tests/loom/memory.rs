//! A small ring, a drainer, and what both have seen.

use loom::sync::Arc;
use resshim_format::op::Op;
use resshim_format::ring::copy::{InMemory, copy, settled};
use resshim_format::ring::drain::free;
use resshim_format::ring::reader::Records;
use resshim_format::ring::writer::{Cursor, Event, Grow, Moment, NoRoom, Ring, push_shared};
use resshim_format::ring::{CHUNK_WORDS, StateWord};
use resshim_format::sync::{AtomicU32, AtomicU64, Ordering, is_dead};
use std::collections::BTreeMap;

/// The ring of a model.
pub struct Memory {
    pub states: Vec<AtomicU64>,
    words: Vec<AtomicU64>,
    next_fill: AtomicU64,
    pub overwritten: AtomicU64,
    pub place: AtomicU32,
    frozen: (u64, u64),
}

struct Fixed(usize);
impl Grow for Fixed {
    fn populated(&self) -> usize {
        self.0
    }
    fn grow(&self) -> bool {
        false
    }
}

/// Records by (fill, word): what a reader of frames ends up with.
pub type Seen = BTreeMap<(u64, usize), u64>;

impl Memory {
    pub fn of(chunks: usize) -> Memory {
        Memory {
            states: (0..chunks).map(|_| AtomicU64::new(0)).collect(),
            words: (0..chunks * CHUNK_WORDS).map(|_| AtomicU64::new(0)).collect(),
            next_fill: AtomicU64::new(1),
            overwritten: AtomicU64::new(0),
            place: AtomicU32::new(0),
            frozen: (0, 0),
        }
    }

    /// Nothing that is full is overwritten.
    pub fn frozen(chunks: usize) -> Memory {
        Memory { frozen: (0, u64::MAX), ..Memory::of(chunks) }
    }

    pub fn ring(&self) -> Ring<'_> {
        Ring {
            states: &self.states,
            words: &self.words,
            next_fill: &self.next_fill,
            overwritten: &self.overwritten,
            frozen: self.frozen,
        }
    }

    fn grow(&self) -> Fixed {
        Fixed(self.states.len())
    }

    /// Pushes the record of this number, whose high bits name its thread; true if it is committed for certain.
    pub fn push(&self, cursor: &mut Cursor, id: u64) -> bool {
        let words = [id, !id];
        let event = Event { op: Op::Open, stack: 0, words: &words, texts: &[] };
        let pushed = cursor.push(&self.ring(), &self.grow(), moment(id), tid(id), event);
        pushed.is_ok() && !is_dead()
    }

    /// The same into the shared chunk, with a string of so many slots.
    pub fn push_shared(&self, id: u64, text: &[u8]) -> Option<NoRoom> {
        let words = [id, !id];
        let event = Event { op: Op::Bind, stack: 0, words: &words, texts: &[text] };
        let event =
            if text.is_empty() { Event { op: Op::Open, texts: &[], ..event } } else { event };
        push_shared(&self.ring(), &self.grow(), &self.place, moment(id), tid(id), event).err()
    }

    /// Adds what stands in this chunk; `Bind` records must have their string.
    pub fn read(&self, index: usize, seen: &mut Seen) {
        self.visit(index, seen, false);
    }

    /// The same, then frees the chunk if nobody writes it.
    pub fn drain(&self, index: usize, seen: &mut Seen) {
        self.visit(index, seen, true);
    }

    fn visit(&self, index: usize, seen: &mut Seen, frees: bool) {
        let mut into = [0; CHUNK_WORDS];
        let chunk = &self.words[index * CHUNK_WORDS..(index + 1) * CHUNK_WORDS];
        let chunk = InMemory { state: &self.states[index], words: chunk };
        let Some(copied) = copy(&chunk, &mut into) else { return };
        if is_dead() {
            return;
        }
        assert_eq!(into[0], copied.state.fill, "a copy of another fill");
        // A drainer stores no more than what is settled; whoever reads in place reads all.
        let end = if frees { settled(&copied, &into) } else { copied.words };
        let mut records = Records::new(&into[..end]);
        for record in records.by_ref() {
            let id = record.word(1);
            assert_eq!(record.word(2), !id, "torn record");
            assert_eq!(record.tid, tid(id), "another thread's record");
            assert_eq!(record.tsc, id << 6, "another record's time");
            if record.op == Op::Bind {
                let mut bytes = [0; 16];
                assert_eq!(record.text(0, &mut bytes), Some(&b"text"[..]), "torn string");
            }
            let known = seen.insert((copied.state.fill, record.at), id);
            assert!(known.is_none_or(|known| known == id), "a committed word changed");
        }
        assert_eq!(records.anomalies.bad_lengths, 0);
        assert_eq!(records.anomalies.unknown_ops, 0);
        if frees {
            free(&self.states[index], &copied);
        }
    }

    pub fn read_all(&self, seen: &mut Seen) {
        for index in 0..self.states.len() {
            self.read(index, seen);
        }
    }

    pub fn state(&self, index: usize) -> StateWord {
        StateWord::unpack(self.states[index].load(Ordering::Relaxed))
    }

    pub fn overwritten(&self) -> u64 {
        self.overwritten.load(Ordering::Relaxed)
    }
}

fn tid(id: u64) -> u32 {
    (id >> 4) as u32
}

fn moment(id: u64) -> Moment {
    Moment { tsc: id << 6, monotonic_ns: || 0 }
}

/// Every record of `wanted` was seen exactly once, and nothing that was not pushed.
pub fn check(seen: &Seen, wanted: &[u64], pushed: &[u64]) {
    let mut ids: Vec<u64> = seen.values().copied().collect();
    ids.sort();
    let count = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), count, "a record stands in two places: {seen:?}");
    assert!(ids.iter().all(|id| pushed.contains(id)), "{seen:?}");
    assert!(wanted.iter().all(|id| ids.contains(id)), "lost: of {wanted:?} only {seen:?}");
}

/// Explores a model, in which whoever reads what others write should let them go first
/// (`yield_now`): loom finds out that a load races with a store that was before it, but not always
/// the other way round, and then explores nothing.
/// `preemptions` = 0: without bound.
pub fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 20_000;
    builder.preemption_bound = Some(preemptions).filter(|bound| *bound > 0);
    let executions = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = executions.clone();
    builder.check(move || {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        model();
    });
    eprintln!("{} executions", executions.load(std::sync::atomic::Ordering::Relaxed));
}

pub fn shared(memory: Memory) -> Arc<Memory> {
    Arc::new(memory)
}
