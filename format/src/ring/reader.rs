//! Walks the records of a copied chunk and believes none of them. Every bad word is counted in
//! [`Anomalies`], never a panic.

use super::{CHUNK_HEADER, SHARED_WORDS, SLOT_WORDS, word};
use crate::op::Op;
use crate::record::{HeaderWord, TIME_SHIFT, TextWord};

/// What was wrong with the words of a chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anomalies {
    /// Header words of length 0 or beyond what was committed: the rest of the chunk is not read.
    pub bad_lengths: u64,
    /// Operations that this version does not know; passed over.
    pub unknown_ops: u64,
    /// Slots of shared chunks that were not completed although later ones were.
    pub holes: u64,
    /// Strings without the record they belong to.
    pub stray_texts: u64,
}

/// One record of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Index in the chunk of its header word (in a shared chunk: of its slot); with the chunk's fill
    /// number it names the record.
    pub at: usize,
    /// Time stamp counter, to `1 << TIME_SHIFT` ticks.
    pub tsc: u64,
    /// Thread that wrote it.
    pub tid: u32,
    /// Operation.
    pub op: Op,
    /// Stack id, 0 = none.
    pub stack: u32,
    /// Words behind the header word.
    pub words: &'a [u64],
    /// `Text` records that belong to it: walk them with [`Texts`].
    texts: &'a [u64],
    shared: bool,
}

impl<'a> Record<'a> {
    /// Word `index` (1 = the first behind the header), 0 where the record has none.
    pub fn word(&self, index: usize) -> u64 {
        index.checked_sub(1).and_then(|i| self.words.get(i)).copied().unwrap_or(0)
    }

    /// Its string of this field: the bytes in `into`, cut at its length.
    pub fn text<'b>(&self, field: u8, into: &'b mut [u8]) -> Option<&'b [u8]> {
        let mut length = 0;
        let mut found = false;
        let mut open = true;
        for (head, bytes) in self.texts() {
            if head.field != field || !open {
                continue;
            }
            found = true;
            open = head.more;
            let bytes = bytes.iter().flat_map(|word| word.to_le_bytes());
            for byte in bytes.take(head.length as usize) {
                if let Some(to) = into.get_mut(length) {
                    *to = byte;
                    length += 1;
                }
            }
        }
        found.then(|| &into[..length])
    }

    fn texts(&self) -> Texts<'a> {
        Texts { words: self.texts, shared: self.shared }
    }
}

/// Walks the `Text` records behind a record.
struct Texts<'a> {
    words: &'a [u64],
    shared: bool,
}
impl<'a> Iterator for Texts<'a> {
    type Item = (TextWord, &'a [u64]);
    fn next(&mut self) -> Option<Self::Item> {
        let skip = if self.shared { 3 } else { 0 };
        let header = HeaderWord::unpack(*self.words.get(skip)?);
        if header.op != Op::Text.number() || header.words < 2 {
            return None;
        }
        let record = self.words.get(skip..skip + header.words as usize)?;
        let step = if self.shared { SLOT_WORDS } else { header.words as usize };
        self.words = self.words.get(step..).unwrap_or(&[]);
        let head = TextWord::unpack(record[1]);
        let body = &record[2..];
        let head = TextWord { length: head.length.min(body.len() as u16 * 8), ..head };
        Some((head, body))
    }
}

/// Walks the records of a copied chunk.
pub struct Records<'a> {
    words: &'a [u64],
    at: usize,
    tid: u32,
    base: u64,
    shared: bool,
    /// Slots without a first word since the last one that has one.
    empty: u64,
    /// The slots that follow belong to an event whose first slot is not there.
    headless: bool,
    /// What was wrong so far.
    pub anomalies: Anomalies,
}

impl<'a> Records<'a> {
    /// `words` is a copied chunk with its header; anything may stand in it.
    pub fn new(words: &'a [u64]) -> Records<'a> {
        let get = |index: usize| words.get(index).copied().unwrap_or(0);
        let owner = get(word::OWNER);
        let shared = owner >> 32 == 1;
        let end = if shared { words.len().min(CHUNK_HEADER + SHARED_WORDS) } else { words.len() };
        Records {
            words: &words[..end],
            at: CHUNK_HEADER,
            tid: owner as u32,
            base: get(word::BASE_TSC),
            shared,
            empty: 0,
            headless: false,
            anomalies: Anomalies::default(),
        }
    }

    /// Fill number of the chunk.
    pub fn fill(&self) -> u64 {
        self.words.first().copied().unwrap_or(0)
    }

    /// Counter and monotonic nanoseconds at the chunk's base.
    pub fn clock_pair(&self) -> (u64, u64) {
        let get = |index: usize| self.words.get(index).copied().unwrap_or(0);
        (get(word::BASE_TSC), get(word::BASE_MONOTONIC))
    }

    /// Index of the next word that will be read.
    pub fn position(&self) -> usize {
        self.at
    }

    fn record_at(&mut self, at: usize) -> Option<(HeaderWord, &'a [u64])> {
        let header = HeaderWord::unpack(*self.words.get(at)?);
        let words = header.words as usize;
        match self.words.get(at + 1..at + words) {
            Some(body) if words > 0 => Some((header, body)),
            _ => {
                self.anomalies.bad_lengths += 1;
                self.at = self.words.len();
                None
            }
        }
    }

    /// Passes over the `Text` records at `at`.
    fn skip_texts(&mut self) {
        while let Some(bits) = self.words.get(self.at) {
            let text = HeaderWord::unpack(*bits);
            if text.op != Op::Text.number() || text.words < 2 {
                return;
            }
            self.at += text.words as usize;
        }
        if self.at > self.words.len() {
            self.anomalies.bad_lengths += 1;
            self.at = self.words.len();
        }
    }

    fn next_owned(&mut self) -> Option<Record<'a>> {
        loop {
            let at = self.at;
            let (header, body) = self.record_at(at)?;
            self.at += header.words as usize;
            let Some(op) = Op::from_number(header.op) else {
                self.anomalies.unknown_ops += 1;
                self.skip_texts();
                continue;
            };
            match op {
                Op::Time => self.base = body.first().copied().unwrap_or(self.base),
                Op::Context => {
                    self.base = body.first().copied().unwrap_or(self.base);
                    self.tid = body.get(1).copied().unwrap_or(0) as u32;
                }
                Op::Text => self.anomalies.stray_texts += 1,
                _ => {
                    let start = self.at;
                    self.skip_texts();
                    return Some(Record {
                        at,
                        tsc: self.base.wrapping_add((header.dt as u64) << TIME_SHIFT),
                        tid: self.tid,
                        op,
                        stack: header.stack,
                        words: body,
                        texts: &self.words[start..self.at],
                        shared: false,
                    });
                }
            }
        }
    }

    fn next_shared(&mut self) -> Option<Record<'a>> {
        while let Some(slot) = self.words.get(self.at..self.at + SLOT_WORDS) {
            let at = self.at;
            self.at += SLOT_WORDS;
            if slot[0] == 0 {
                // Not a hole yet: the end of the chunk may be empty, or too short for an event.
                self.empty += 1;
                self.headless = true;
                continue;
            }
            self.anomalies.holes += core::mem::take(&mut self.empty);
            let context = HeaderWord::unpack(slot[0]);
            let header = HeaderWord::unpack(slot[3]);
            let body = slot.get(4..3 + header.words as usize);
            let (Some(body), true) = (body, context.op == Op::Context.number()) else {
                self.anomalies.bad_lengths += 1;
                continue;
            };
            if context.stack != 0 {
                self.anomalies.stray_texts += !self.headless as u64;
                continue;
            }
            self.headless = false;
            let start = self.at;
            let mut part = 0;
            while let Some(next) = self.words.get(self.at..self.at + SLOT_WORDS) {
                let follows = HeaderWord::unpack(next[0]);
                if follows.op != Op::Context.number() || follows.stack != part + 1 {
                    break;
                }
                part += 1;
                self.at += SLOT_WORDS;
            }
            match Op::from_number(header.op) {
                None => self.anomalies.unknown_ops += 1,
                Some(Op::Text) => self.anomalies.stray_texts += 1,
                Some(op) => {
                    return Some(Record {
                        at,
                        tsc: slot[1],
                        tid: slot[2] as u32,
                        op,
                        stack: header.stack,
                        words: body,
                        texts: &self.words[start..self.at],
                        shared: true,
                    });
                }
            }
        }
        None
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;
    fn next(&mut self) -> Option<Record<'a>> {
        if self.shared { self.next_shared() } else { self.next_owned() }
    }
}
