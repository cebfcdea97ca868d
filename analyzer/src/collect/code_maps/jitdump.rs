//! jitdump: records of code that was made, with its lines (Linux,
//! `tools/perf/Documentation/jitdump-specification.txt`).
//!
//! ```text
//! header   magic "DTiJ" (as a little-endian word)  version  total_size  machine  pad  pid   u32 each
//!          timestamp  flags                                                                 u64 each
//! record   id  total_size (u32 each)  timestamp (u64)  payload
//! ```
//!
//! The file may hold anything: sizes are checked, what does not fit ends the reading, since nothing says
//! where the next record would be. Code itself is not read.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use super::batch::Filling;

const MAGIC: u32 = u32::from_le_bytes(*b"DTiJ");
const HEADER_BYTES: u64 = 40;
const RECORD_BYTES: u64 = 16;
/// Flag of the header: time stamps are the processor's counter.
const COUNTER_TIMES: u64 = 1;
const LOAD: u32 = 0;
const MOVE: u32 = 1;
const DEBUG_INFO: u32 = 2;
const CLOSE: u32 = 3;
/// Bytes of a `LOAD` before its name.
const LOAD_HEAD: usize = 40;
/// Most of a record that is read.
const MOST_BYTES: u64 = 4 << 20;
/// Names that are kept for code that may move.
const MOST_NAMES: usize = 1 << 20;

/// A jitdump file that is read as it grows.
#[derive(Debug, Default)]
pub struct JitDump {
    offset: u64,
    counter_times: bool,
    /// It is no jitdump, or is damaged from here on.
    pub is_damaged: bool,
    /// It said that nothing follows.
    pub is_closed: bool,
    /// Name by index of the code.
    names: HashMap<u64, Vec<u8>>,
    /// Lines that were told before their code.
    lines: Option<Lines>,
}

#[derive(Debug)]
struct Lines {
    /// Address of the code.
    code: u64,
    /// Address, line, index of the file of each.
    entries: Vec<(u64, u32, usize)>,
    files: Vec<Vec<u8>>,
}

/// Little-endian fields, one after the other.
struct Fields<'a>(&'a [u8]);
impl<'a> Fields<'a> {
    fn word(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*bytes))
    }
    fn long(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*bytes))
    }
    fn string(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = &self.0[..end];
        self.0 = &self.0[end + 1..];
        Some(text)
    }
}

impl JitDump {
    /// Bytes that were looked at.
    pub fn bytes(&self) -> u64 {
        self.offset
    }

    /// Reads the records that have come since, until `into` holds `most_bytes`; true: there may be more.
    pub fn read(&mut self, file: &File, into: &mut Filling, most_bytes: usize) -> bool {
        let length = file.metadata().map_or(0, |data| data.len());
        if self.offset == 0 && !self.header(file, length) {
            return false;
        }
        while !self.is_damaged && !self.is_closed && into.bytes() < most_bytes {
            let mut head = [0; RECORD_BYTES as usize];
            let whole = self.offset + RECORD_BYTES <= length;
            if !whole || file.read_exact_at(&mut head, self.offset).is_err() {
                return false;
            }
            let mut fields = Fields(&head);
            let (Some(id), Some(bytes), Some(time)) = (fields.word(), fields.word(), fields.long())
            else {
                return false;
            };
            let bytes = u64::from(bytes);
            if bytes < RECORD_BYTES {
                self.is_damaged = true;
                return false;
            }
            if self.offset + bytes > length {
                return false;
            }
            let mut payload = vec![0; (bytes - RECORD_BYTES).min(MOST_BYTES) as usize];
            if id == LOAD {
                // What follows the name is the code.
                payload.truncate(LOAD_HEAD + 8192);
            }
            if file.read_exact_at(&mut payload, self.offset + RECORD_BYTES).is_err() {
                return false;
            }
            self.offset += bytes;
            let made_ns = if self.counter_times { 0 } else { time };
            // A record whose payload does not fit costs itself.
            let _ = self.record(id, &payload, made_ns, into);
        }
        !self.is_damaged && !self.is_closed
    }

    fn header(&mut self, file: &File, length: u64) -> bool {
        let mut header = [0; HEADER_BYTES as usize];
        if length < HEADER_BYTES || file.read_exact_at(&mut header, 0).is_err() {
            return false;
        }
        let mut fields = Fields(&header);
        let (magic, _version, bytes) = (fields.word(), fields.word(), fields.word());
        let flags = header.last_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let bytes = u64::from(bytes.unwrap_or(0));
        if magic != Some(MAGIC) || !(HEADER_BYTES..=4096).contains(&bytes) {
            self.is_damaged = true;
            return false;
        }
        self.counter_times = flags & COUNTER_TIMES != 0;
        self.offset = bytes;
        true
    }

    fn record(&mut self, id: u32, payload: &[u8], made_ns: u64, into: &mut Filling) -> Option<()> {
        let mut fields = Fields(payload);
        match id {
            LOAD => {
                let _ids = fields.long()?;
                let (_vma, start, size) = (fields.long()?, fields.long()?, fields.long()?);
                let index = fields.long()?;
                let name = fields.string()?;
                start.checked_add(size)?;
                into.code(start, size, name, made_ns);
                if let Some(lines) = self.lines.take_if(|lines| lines.code == start) {
                    for (address, line, file) in lines.entries {
                        into.line(address, line, lines.files.get(file).map_or(b"", Vec::as_slice));
                    }
                }
                if self.names.len() < MOST_NAMES {
                    self.names.insert(index, name.to_vec());
                }
            }
            MOVE => {
                let _ids = fields.long()?;
                let (_vma, _from, to) = (fields.long()?, fields.long()?, fields.long()?);
                let (size, index) = (fields.long()?, fields.long()?);
                to.checked_add(size)?;
                let name = self.names.get(&index)?;
                into.code(to, size, name, made_ns);
            }
            DEBUG_INFO => {
                let (code, count) = (fields.long()?, fields.long()?);
                let mut lines = Lines { code, entries: Vec::new(), files: Vec::new() };
                for _ in 0..count {
                    // As many as there are, whatever the count says.
                    let (Some(address), Some(line), Some(_column), Some(file)) =
                        (fields.long(), fields.word(), fields.word(), fields.string())
                    else {
                        break;
                    };
                    // This name stands for that of the entry before.
                    if file != [0xff] || lines.files.is_empty() {
                        lines.files.push(file.to_vec());
                    }
                    lines.entries.push((address, line, lines.files.len() - 1));
                }
                self.lines = Some(lines);
            }
            CLOSE => self.is_closed = true,
            _ => {}
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::generated::Batch;
    use crate::symbols::scratch::Scratch;

    fn header(flags: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [MAGIC, 1, HEADER_BYTES as u32, 62, 0, 7] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(5_u64.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes
    }

    fn record(id: u32, time: u64, longs: &[u64], text: &[u8]) -> Vec<u8> {
        let bytes = RECORD_BYTES as usize + longs.len() * 8 + text.len();
        let mut record = id.to_le_bytes().to_vec();
        record.extend((bytes as u32).to_le_bytes());
        record.extend(time.to_le_bytes());
        longs.iter().for_each(|long| record.extend(long.to_le_bytes()));
        record.extend(text);
        record
    }

    fn lines(code: u64, entries: &[(u64, u32, &[u8])]) -> Vec<u8> {
        let mut text = Vec::new();
        for (address, line, file) in entries {
            text.extend(address.to_le_bytes());
            text.extend(line.to_le_bytes());
            text.extend(0_u32.to_le_bytes());
            text.extend(*file);
            text.push(0);
        }
        record(DEBUG_INFO, 1, &[code, entries.len() as u64], &text)
    }

    fn dump() -> Vec<u8> {
        let mut bytes = header(0);
        bytes.extend(lines(0x1000, &[(0x1000, 3, b"/a.js"), (0x1008, 4, b"\xff")]));
        bytes.extend(record(LOAD, 100, &[7, 0x1000, 0x1000, 16, 1], b"leaky\0codecodecodecode"));
        bytes.extend(record(9, 1, &[1, 2], b"unknown"));
        bytes.extend(record(MOVE, 200, &[7, 0x2000, 0x1000, 0x2000, 16, 1], b""));
        bytes
    }

    fn read(bytes: &[u8]) -> (Batch, JitDump) {
        let dir = Scratch::new("jitdump");
        let file = File::open(dir.write("jit.dump", bytes)).unwrap();
        let (mut dump, mut into) = (JitDump::default(), Filling::default());
        dump.read(&file, &mut into, usize::MAX);
        (into.finish(0), dump)
    }

    #[test]
    fn codes_have_names_lines_and_the_time_of_each_place() {
        let (batch, dump) = read(&dump());
        assert!(!dump.is_damaged && batch.is_whole());
        assert_eq!(
            (batch.starts.as_slice(), batch.names.as_slice()),
            (&[0x1000, 0x2000][..], &[0, 0][..])
        );
        assert_eq!(
            (batch.made_ns, batch.strings),
            (vec![100, 200], vec!["leaky".into(), "/a.js".into()])
        );
        assert_eq!((batch.line_addresses, batch.lines), (vec![0x1000, 0x1008], vec![3, 4]));
        assert_eq!((batch.line_codes, batch.line_files), (vec![0, 0], vec![1, 1]));
    }

    #[test]
    fn what_is_half_written_is_read_when_it_is_whole() {
        let whole = dump();
        let dir = Scratch::new("growing");
        let (mut dump, mut into) = (JitDump::default(), Filling::default());
        for end in 0..=whole.len() {
            let file = File::open(dir.write("jit.dump", &whole[..end])).unwrap();
            dump.read(&file, &mut into, usize::MAX);
        }
        assert_eq!(into.finish(0), read(&whole).0);
    }

    #[test]
    fn times_of_the_counter_are_no_nanoseconds() {
        let mut bytes = header(COUNTER_TIMES);
        bytes.extend(record(LOAD, 100, &[7, 0x1000, 0x1000, 16, 1], b"f\0"));
        assert!(read(&bytes).0.made_ns.is_empty());
    }

    #[test]
    fn other_files_and_sizes_that_cannot_be_end_the_reading() {
        assert!(read(&[b'x'; 100]).1.is_damaged);
        let mut bytes = header(0);
        bytes.extend([0; 16]);
        assert!(read(&bytes).1.is_damaged);
        let mut bytes = dump();
        bytes.extend(record(CLOSE, 1, &[], b""));
        bytes.extend(record(LOAD, 1, &[7, 1, 1, 1, 1], b"late\0"));
        let (batch, dump) = read(&bytes);
        assert!(dump.is_closed && batch.starts.len() == 2);
    }

    #[test]
    fn every_byte_may_be_another_one() {
        let whole = dump();
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                assert!(read(&bytes).0.is_whole(), "byte {at}");
            }
        }
    }
}
