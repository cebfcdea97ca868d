//! The history of a trace in the order of time, over all its regions.
//!
//! A piece of history (a chunk or a part of one) is opened only when its time has come, and given
//! back when it is read: memory is bounded by the pieces that overlap. Words that are there twice
//! (a frame written again, a chunk that is still live) are seen once: by (region, fill, word).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use resshim_format::op::Op;
use resshim_format::ring::CHUNK_HEADER;
use resshim_format::ring::reader::{Anomalies, Records};

use super::trace::{Piece, Place, Trace};

/// A label is cut at this length.
const LABEL: usize = 1024;
/// Times beyond this are damage: ten years.
const LATEST_NS: u64 = 10 * 366 * 86_400 * 1_000_000_000;

/// One event.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Index of its region in the trace.
    pub image: usize,
    /// Nanoseconds since the trace began.
    pub at_ns: u64,
    /// Thread.
    pub tid: u32,
    /// Operation.
    pub op: Op,
    /// Stack id.
    pub stack: u32,
    /// Words behind the header word.
    pub words: &'a [u64],
    /// Its first string, not escaped.
    pub label: &'a [u8],
}

impl Event<'_> {
    /// Word `index` (1 = the first behind the header), 0 where there is none.
    #[inline]
    pub fn word(&self, index: usize) -> u64 {
        self.words.get(index.wrapping_sub(1)).copied().unwrap_or(0)
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    tsc: u64,
    tid: u32,
    stack: u32,
    op: Op,
    words: (u32, u16),
    label: (u32, u16),
}

/// A piece that is being read.
#[derive(Debug, Default)]
struct Cursor {
    region: usize,
    next: usize,
    entries: Vec<Entry>,
    words: Vec<u64>,
    labels: Vec<u8>,
}

impl Cursor {
    fn time(&self) -> Option<u64> {
        self.entries.get(self.next).map(|entry| entry.tsc)
    }
}

/// The events of a trace. See the module's documentation.
#[derive(Debug)]
pub struct Events<'t> {
    trace: &'t Trace,
    /// Pieces that are not open yet, last first.
    pieces: Vec<Piece>,
    open: BinaryHeap<Reverse<(u64, usize)>>,
    cursors: Vec<Cursor>,
    idle: Vec<usize>,
    current: Option<usize>,
    /// The current cursor may go on up to this time.
    limit: u64,
    /// First word of each (region, fill) that was not read yet.
    seen: HashMap<(usize, u64), usize>,
    /// What was wrong with the words.
    pub anomalies: Anomalies,
    /// Pieces that could not be read.
    pub unreadable: u64,
}

impl Trace {
    /// Its events.
    pub fn events(&self) -> Events<'_> {
        Events {
            trace: self,
            pieces: self.pieces.clone(),
            open: BinaryHeap::new(),
            cursors: Vec::new(),
            idle: Vec::new(),
            current: None,
            limit: 0,
            seen: HashMap::new(),
            anomalies: Anomalies::default(),
            unreadable: 0,
        }
    }
}

impl Events<'_> {
    /// The next event.
    #[allow(clippy::should_implement_trait, reason = "it lends: an iterator's items cannot")]
    pub fn next(&mut self) -> Option<Event<'_>> {
        let at = self.advance()?;
        let cursor = &mut self.cursors[at];
        let entry = cursor.entries.get(cursor.next).copied()?;
        cursor.next += 1;
        let cut = |(start, length): (u32, u16)| start as usize..start as usize + length as usize;
        Some(Event {
            image: cursor.region,
            at_ns: self.trace.clock.ns(entry.tsc).min(LATEST_NS),
            tid: entry.tid,
            op: entry.op,
            stack: entry.stack,
            words: cursor.words.get(cut(entry.words)).unwrap_or(&[]),
            label: cursor.labels.get(cut(entry.label)).unwrap_or(&[]),
        })
    }

    /// The cursor whose event is the earliest.
    fn advance(&mut self) -> Option<usize> {
        if let Some(current) = self.current.take() {
            match self.cursors[current].time() {
                Some(time) if time <= self.limit => {
                    self.current = Some(current);
                    return Some(current);
                }
                Some(time) => self.open.push(Reverse((time, current))),
                None => self.idle.push(current),
            }
        }
        loop {
            let earliest = self.open.peek().map(|Reverse((time, _))| *time);
            let due = |piece: &Piece| earliest.is_none_or(|time| piece.first <= time);
            match self.pieces.last().copied().filter(due) {
                Some(piece) => {
                    self.pieces.pop();
                    self.open_piece(piece);
                }
                None => break,
            }
        }
        let Reverse((_, at)) = self.open.pop()?;
        let next_open = self.open.peek().map_or(u64::MAX, |Reverse((time, _))| *time);
        let next_piece = self.pieces.last().map_or(u64::MAX, |piece| piece.first);
        self.limit = next_open.min(next_piece);
        self.current = Some(at);
        Some(at)
    }

    fn open_piece(&mut self, piece: Piece) {
        let region = &self.trace.regions[piece.region];
        // `from`: where in the chunk the first word behind the header is.
        let (words, from) = match piece.place {
            Place::Frame(at) => {
                let words = self.trace.frames.as_ref().and_then(|frames| frames.load(&at));
                (words, at.head.from as usize)
            }
            Place::Chunk(index) => {
                let copy = region.file.as_ref().and_then(|file| file.copy_chunk(index));
                (copy.map(|copy| copy.words), CHUNK_HEADER)
            }
        };
        let Some(words) = words else {
            // A live chunk that went away meanwhile was drained or overwritten: no damage.
            self.unreadable += matches!(piece.place, Place::Frame(_)) as u64;
            return;
        };
        let fill = match piece.place {
            Place::Frame(at) => at.head.fill,
            Place::Chunk(_) => words.first().copied().unwrap_or(0),
        };
        let seen = self.seen.entry((piece.region, fill)).or_insert(0);
        let start = *seen;
        *seen = start.max(words.len() - CHUNK_HEADER.min(words.len()) + from);
        let at = self.idle.pop().unwrap_or_else(|| {
            self.cursors.push(Cursor::default());
            self.cursors.len() - 1
        });
        let cursor = &mut self.cursors[at];
        cursor.fill(
            piece.region,
            words,
            |at| at - CHUNK_HEADER + from >= start,
            &mut self.anomalies,
        );
        match cursor.time() {
            Some(time) => self.open.push(Reverse((time, at))),
            None => self.idle.push(at),
        }
    }
}

impl Cursor {
    fn fill(
        &mut self,
        region: usize,
        words: Vec<u64>,
        is_new: impl Fn(usize) -> bool,
        anomalies: &mut Anomalies,
    ) {
        self.region = region;
        self.next = 0;
        self.entries.clear();
        self.labels.clear();
        self.words = words;
        let base = self.words.as_ptr() as usize;
        let mut records = Records::new(&self.words);
        let mut text = [0; LABEL];
        let mut is_sorted = true;
        let mut latest = 0;
        for record in &mut records {
            if !is_new(record.at) {
                continue;
            }
            let label = record.text(0, &mut text).unwrap_or(&[]);
            let start = self.labels.len() as u32;
            self.labels.extend_from_slice(label);
            is_sorted &= record.tsc >= latest;
            latest = latest.max(record.tsc);
            self.entries.push(Entry {
                tsc: record.tsc,
                tid: record.tid,
                stack: record.stack,
                op: record.op,
                // Where in `self.words` the record's words stand.
                words: (
                    ((record.words.as_ptr() as usize - base) / 8) as u32,
                    record.words.len() as u16,
                ),
                label: (start, label.len() as u16),
            });
        }
        let found = records.anomalies;
        anomalies.bad_lengths += found.bad_lengths;
        anomalies.unknown_ops += found.unknown_ops;
        anomalies.holes += found.holes;
        anomalies.stray_texts += found.stray_texts;
        if !is_sorted {
            // Threads of a shared or a parked chunk; equal times keep their order.
            self.entries.sort_by_key(|entry| entry.tsc);
        }
    }
}
