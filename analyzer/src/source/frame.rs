//! `events` of a trace: what was drained, one frame a copy of (a part of) a chunk.
//!
//! ```text
//! frame   magic "RSFRAME1"  region  fill            3 × u64, little-endian as all of it
//!         from  to          u32 each: words of the chunk that it holds
//!         payload_bytes  checksum (CRC-32 of the payload)   u32 each
//!         first_tsc  last_tsc                       u64 each: times of its first and last record
//!         chunk_index  flags                        u32 each
//!         payload: zstd of the 8 header words of the chunk and words[from..to]
//! ```
//!
//! Frames are appended, never changed. A kill leaves at most one torn frame, at the end: it is
//! ignored, and cut off by the collector that goes on with the trace. Where `from` is beyond the
//! header the eight words are made up so that base and thread are those at `from`. The same words
//! can come twice (region, fill, overlapping word ranges): readers drop what they have seen.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use resshim_format::ring::{CHUNK_HEADER, CHUNK_WORDS};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::open::{self, Access};
use crate::error::{Error, Result};

/// Name of the file in its trace.
pub const EVENTS_FILE: &str = "events";
/// First eight bytes of a frame.
pub const FRAME_MAGIC: u64 = u64::from_le_bytes(*b"RSFRAME1");
/// Bytes of a frame's head.
pub const HEAD_BYTES: usize = 64;
/// More than a chunk can take when it is compressed.
const LARGEST_PAYLOAD: u32 = 2 * 8 * CHUNK_WORDS as u32;
/// Fast: a chunk is compressed while its writer may wait for room.
const LEVEL: i32 = 1;

/// Head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FrameHead {
    /// [`FRAME_MAGIC`].
    pub magic: u64,
    /// Region of the chunk.
    pub region: u64,
    /// Fill number of the chunk.
    pub fill: u64,
    /// First word of the chunk that it holds, header not counted: at least 8.
    pub from: u32,
    /// One past the last.
    pub to: u32,
    /// Bytes of the payload.
    pub payload_bytes: u32,
    /// CRC-32 of the payload.
    pub checksum: u32,
    /// Time of its first record.
    pub first_tsc: u64,
    /// Time of its last record.
    pub last_tsc: u64,
    /// Which chunk of the region it was.
    pub chunk_index: u32,
    /// Not used yet.
    pub flags: u32,
}

const _: () = assert!(size_of::<FrameHead>() == HEAD_BYTES);

impl FrameHead {
    fn fits(&self) -> bool {
        self.magic == FRAME_MAGIC
            && self.from as usize >= CHUNK_HEADER
            && self.from < self.to
            && self.to as usize <= CHUNK_WORDS
            && self.payload_bytes <= LARGEST_PAYLOAD
    }
}

/// Makes frames, with one compressor for all.
pub struct FrameWriter {
    compressor: zstd::bulk::Compressor<'static>,
}

impl FrameWriter {
    /// A writer of frames.
    ///
    /// # Errors
    /// Where the compressor gets no memory.
    pub fn new() -> std::io::Result<FrameWriter> {
        Ok(FrameWriter { compressor: zstd::bulk::Compressor::new(LEVEL)? })
    }

    /// The bytes of the frame with this head (whose magic, length and checksum are set here);
    /// `words` are the eight header words and those from `head.from` to `head.to`.
    ///
    /// # Errors
    /// Where the compressor gets no memory.
    pub fn frame(&mut self, head: FrameHead, words: &[u64]) -> std::io::Result<Vec<u8>> {
        let payload = self.compressor.compress(words.as_bytes())?;
        let head = FrameHead {
            magic: FRAME_MAGIC,
            payload_bytes: payload.len() as u32,
            checksum: crc32(&payload),
            ..head
        };
        let mut bytes = head.as_bytes().to_vec();
        bytes.extend(payload);
        Ok(bytes)
    }
}

/// Where a frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameAt {
    /// Offset of its head.
    pub offset: u64,
    /// Its head.
    pub head: FrameHead,
}

/// The frames of a trace.
#[derive(Debug)]
pub struct Frames {
    path: PathBuf,
    file: File,
}

/// What a look at all heads found.
#[derive(Debug, Default)]
pub struct FrameList {
    /// Frames in the order in which they were written.
    pub frames: Vec<FrameAt>,
    /// One past the last whole frame.
    pub end: u64,
    /// Bytes that belong to no frame, before `end`.
    pub damaged_bytes: u64,
    /// Bytes of a torn frame behind `end`.
    pub torn_bytes: u64,
}

impl Frames {
    /// Opens `events` of `trace`.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn open(trace: &Path) -> Result<Frames> {
        let path = trace.join(EVENTS_FILE);
        let file = open::regular(&path, Access::Read)?;
        Ok(Frames { path, file })
    }

    /// Every frame whose head and length fit; payloads are looked at by [`Frames::load`].
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn list(&self) -> Result<FrameList> {
        let io = |source| Error::io(&self.path, source);
        let length = self.file.metadata().map_err(io)?.len();
        let mut list = FrameList::default();
        let mut buffer = Buffer { file: &self.file, start: 0, bytes: Vec::new() };
        let mut offset = 0;
        let mut lost_from = None;
        while offset + HEAD_BYTES as u64 <= length {
            let bytes = buffer.at(offset).map_err(io)?;
            let Ok(head) = FrameHead::read_from_bytes(bytes) else { break };
            let end = offset + HEAD_BYTES as u64 + head.payload_bytes as u64;
            let whole = head.fits() && end <= length;
            if whole
                && (self.begins_frame(end, length)
                    || self.load(&FrameAt { offset, head }).is_some())
            {
                list.damaged_bytes += lost_from.take().map_or(0, |from| offset - from);
                list.frames.push(FrameAt { offset, head });
                offset = end;
                list.end = end;
            } else {
                lost_from.get_or_insert(offset);
                offset += 1;
            }
        }
        list.torn_bytes = length.saturating_sub(list.end);
        Ok(list)
    }

    /// Whether the file ends or a frame begins at `offset`: if not, the length before it is in doubt.
    fn begins_frame(&self, offset: u64, length: u64) -> bool {
        let mut bytes = FRAME_MAGIC.to_le_bytes();
        let rest = (length - offset).min(8) as usize;
        let read = self.file.read_exact_at(&mut bytes[..rest], offset);
        read.is_ok() && bytes == FRAME_MAGIC.to_le_bytes()
    }

    /// The words of a frame: eight header words and those of its range; `None` where the payload
    /// is damaged.
    pub fn load(&self, at: &FrameAt) -> Option<Vec<u64>> {
        let mut payload = vec![0; at.head.payload_bytes.min(LARGEST_PAYLOAD) as usize];
        self.file.read_exact_at(&mut payload, at.offset + HEAD_BYTES as u64).ok()?;
        if crc32(&payload) != at.head.checksum {
            return None;
        }
        let bytes = zstd::bulk::decompress(&payload, CHUNK_WORDS * 8).ok()?;
        let range = (at.head.to.checked_sub(at.head.from)?) as usize;
        if bytes.len() != (CHUNK_HEADER + range) * 8 {
            return None;
        }
        let words = bytes.chunks_exact(8).map(|bytes| {
            let mut word = [0; 8];
            word.copy_from_slice(bytes);
            u64::from_le_bytes(word)
        });
        Some(words.collect())
    }
}

/// Heads are small and far apart, or byte by byte where something is damaged: read in blocks.
struct Buffer<'a> {
    file: &'a File,
    start: u64,
    bytes: Vec<u8>,
}

impl Buffer<'_> {
    fn at(&mut self, offset: u64) -> std::io::Result<&[u8]> {
        let inside = |start: u64, length: usize| {
            offset >= start && offset + HEAD_BYTES as u64 <= start + length as u64
        };
        if !inside(self.start, self.bytes.len()) {
            self.bytes.resize(1 << 16, 0);
            let mut read = 0;
            while read < HEAD_BYTES {
                match self.file.read_at(&mut self.bytes[read..], offset + read as u64)? {
                    0 => break,
                    more => read += more,
                }
            }
            self.start = offset;
            self.bytes.truncate(read);
        }
        let from = (offset - self.start) as usize;
        Ok(self.bytes.get(from..from + HEAD_BYTES).unwrap_or(&[]))
    }
}

/// CRC-32 as in zip and Ethernet (polynomial 0x04C11DB7, reflected).
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32_continued(0, bytes)
}

/// Checksum of what `crc` is the checksum of, followed by `bytes`.
pub fn crc32_continued(crc: u32, bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut value = index as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    let step = |crc: u32, byte: &u8| crc >> 8 ^ TABLE[((crc ^ *byte as u32) & 0xff) as usize];
    !bytes.iter().fold(!crc, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fill: u64, from: u32, to: u32) -> FrameHead {
        FrameHead {
            magic: 0,
            region: 7,
            fill,
            from,
            to,
            payload_bytes: 0,
            checksum: 0,
            first_tsc: 1,
            last_tsc: 2,
            chunk_index: 0,
            flags: 0,
        }
    }

    fn trace(name: &str, bytes: &[u8]) -> PathBuf {
        let directory =
            std::env::temp_dir().join(format!("resshim-frame-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(EVENTS_FILE), bytes).unwrap();
        directory
    }

    fn three() -> (Vec<u8>, Vec<usize>) {
        let mut writer = FrameWriter::new().unwrap();
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        for fill in 1..=3 {
            let words: Vec<u64> = (0..18).map(|word| word * fill).collect();
            bytes.extend(writer.frame(head(fill, 8, 18), &words).unwrap());
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    #[test]
    fn the_checksum_is_the_well_known_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn frames_come_back_as_they_were_written() {
        let (bytes, _) = three();
        let directory = trace("whole", &bytes);
        let frames = Frames::open(&directory).unwrap();
        let list = frames.list().unwrap();
        assert_eq!((list.frames.len(), list.torn_bytes, list.damaged_bytes), (3, 0, 0));
        let words = frames.load(&list.frames[2]).unwrap();
        assert_eq!(words, (0..18).map(|word| word * 3).collect::<Vec<u64>>());
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_torn_frame_is_ignored_wherever_it_was_cut() {
        let (bytes, ends) = three();
        for length in ends[1]..ends[2] {
            let directory = trace("torn", &bytes[..length]);
            let list = Frames::open(&directory).unwrap().list().unwrap();
            assert_eq!((list.frames.len(), list.end), (2, ends[1] as u64));
            assert_eq!(list.torn_bytes, (length - ends[1]) as u64);
            std::fs::remove_dir_all(directory).unwrap();
        }
    }

    #[test]
    fn damage_in_the_middle_costs_that_frame_alone() {
        let (bytes, ends) = three();
        for at in ends[0]..ends[1] {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x55;
            let directory = trace("damage", &bytes);
            let frames = Frames::open(&directory).unwrap();
            let list = frames.list().unwrap();
            let fills: Vec<u64> = list
                .frames
                .iter()
                .filter(|frame| frames.load(frame).is_some())
                .map(|frame| frame.head.fill)
                .collect();
            assert!(fills.contains(&1) && fills.contains(&3), "byte {at}: {fills:?}");
            std::fs::remove_dir_all(directory).unwrap();
        }
    }
}
