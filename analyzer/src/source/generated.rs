//! `regions/ID.code` of a trace: names of code that a compiler made at run time, as its maps told them.
//!
//! ```text
//! part    magic "RSCODE01"                      u64, little-endian as all of it
//!         payload_bytes  checksum (CRC-32 of the payload)   u32 each
//!         payload: zstd of a batch, MessagePack with named fields
//! ```
//!
//! Parts are appended while the process runs, one for each time that its maps were read and had grown.
//! A kill leaves at most one torn part, at the end: it is ignored, and cut off by the next one. Readers
//! trust nothing: what does not fit is dropped, and every length is bounded.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::frame::crc32;
use super::manifest::REGIONS_DIRECTORY;
use super::open::{self, Access};
use crate::error::Result;

/// First eight bytes of a part.
const MAGIC: u64 = u64::from_le_bytes(*b"RSCODE01");
/// Bytes of a part's head.
const HEAD_BYTES: usize = 16;
/// Largest payload of a part, compressed and not.
const LARGEST_PAYLOAD: u64 = 64 << 20;
/// Codes of one region that are read, at most.
const MOST_CODES: usize = 4 << 20;
/// Fast: it is done while the program runs.
const LEVEL: i32 = 3;

/// What was read at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Batch {
    /// It was written after this, `CLOCK_MONOTONIC` nanoseconds; 0 = not known.
    pub since_ns: u64,
    /// Every string once.
    pub strings: Vec<String>,
    /// Address of each code, in the order of the map: a later one takes the place of an earlier one.
    pub starts: Vec<u64>,
    /// Bytes of each.
    pub sizes: Vec<u64>,
    /// Name of each, index of a string.
    pub names: Vec<u32>,
    /// When each was made, where the map tells: empty, or as long as `starts`.
    pub made_ns: Vec<u64>,
    /// Lines, where the map tells them: index of the code, ascending.
    pub line_codes: Vec<u32>,
    /// Address from which each line is.
    pub line_addresses: Vec<u64>,
    /// The lines.
    pub lines: Vec<u32>,
    /// File of each, index of a string.
    pub line_files: Vec<u32>,
}

impl Batch {
    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Whether its columns fit together.
    pub fn is_whole(&self) -> bool {
        let (codes, lines) = (self.starts.len(), self.lines.len());
        let strings = self.strings.len();
        self.sizes.len() == codes
            && self.names.len() == codes
            && (self.made_ns.is_empty() || self.made_ns.len() == codes)
            && self.line_codes.len() == lines
            && self.line_addresses.len() == lines
            && self.line_files.len() == lines
            && self.line_codes.is_sorted()
            && self.names.iter().chain(&self.line_files).all(|index| (*index as usize) < strings)
            && self.line_codes.last().is_none_or(|last| (*last as usize) < codes)
    }
}

/// Where the names of a region's generated code are stored.
pub fn code_path(trace: &Path, region: u64) -> PathBuf {
    trace.join(REGIONS_DIRECTORY).join(format!("{region:016x}.code"))
}

/// Appends a batch; gives the bytes that it took.
///
/// # Errors
/// Where it cannot be written; what stood there stays.
pub fn append(trace: &Path, region: u64, batch: &Batch) -> std::io::Result<u64> {
    let payload = rmp_serde::to_vec_named(batch).map_err(std::io::Error::other)?;
    let payload = zstd::bulk::compress(&payload, LEVEL)?;
    if payload.len() as u64 > LARGEST_PAYLOAD {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    let mut part = MAGIC.to_le_bytes().to_vec();
    part.extend((payload.len() as u32).to_le_bytes());
    part.extend(crc32(&payload).to_le_bytes());
    part.extend(payload);
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32);
    let mut file = options.open(code_path(trace, region))?;
    let before = file.metadata()?.len();
    let written = file.write_all(&part);
    if written.is_err() {
        let _ = file.set_len(before);
    }
    written.map(|()| part.len() as u64)
}

/// Cuts off what a killed collector left half written.
///
/// # Errors
/// Where the file is there and cannot be changed.
pub fn repair(trace: &Path, region: u64) -> Result<()> {
    let path = code_path(trace, region);
    let file = match open::regular(&path, Access::Drain) {
        Ok(file) => file,
        Err(error) if open::is_missing(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut end = 0;
    while let Some(payload) = part_at(&file, end) {
        end += (HEAD_BYTES + payload.len()) as u64;
    }
    file.set_len(end).map_err(|source| crate::error::Error::io(&path, source))
}

/// All batches of a region that are whole, in order; none where nothing was stored.
pub fn read(trace: &Path, region: u64) -> Vec<Batch> {
    let Ok(file) = open::regular(&code_path(trace, region), Access::Read) else {
        return Vec::new();
    };
    let (mut batches, mut end, mut codes) = (Vec::new(), 0, 0);
    while let Some(payload) = part_at(&file, end) {
        end += (HEAD_BYTES + payload.len()) as u64;
        let Some(batch) = unpack(&payload) else { continue };
        codes += batch.starts.len();
        if codes > MOST_CODES {
            break;
        }
        batches.push(batch);
    }
    batches
}

/// The payload of the part at `offset`; `None` at the end, or where it is damaged.
fn part_at(file: &File, offset: u64) -> Option<Vec<u8>> {
    let mut head = [0; HEAD_BYTES];
    file.read_exact_at(&mut head, offset).ok()?;
    let word = |at: usize| head.get(at..at + 4).and_then(|bytes| bytes.first_chunk().copied());
    let bytes = u32::from_le_bytes(word(8)?);
    if head.first_chunk() != Some(&MAGIC.to_le_bytes()) || u64::from(bytes) > LARGEST_PAYLOAD {
        return None;
    }
    let left = file.metadata().ok()?.len().checked_sub(offset + HEAD_BYTES as u64)?;
    if u64::from(bytes) > left {
        return None;
    }
    let mut payload = vec![0; bytes as usize];
    file.read_exact_at(&mut payload, offset + HEAD_BYTES as u64).ok()?;
    (crc32(&payload) == u32::from_le_bytes(word(12)?)).then_some(payload)
}

fn unpack(payload: &[u8]) -> Option<Batch> {
    let mut bytes = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(payload).ok()?;
    decoder.take(LARGEST_PAYLOAD + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 > LARGEST_PAYLOAD {
        return None;
    }
    let batch: Batch = rmp_serde::from_slice(&bytes).ok()?;
    batch.is_whole().then_some(batch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbols::scratch::Scratch;

    fn trace(name: &str) -> Scratch {
        let trace = Scratch::new(name);
        std::fs::create_dir(trace.path().join(REGIONS_DIRECTORY)).unwrap();
        trace
    }

    fn batch(since_ns: u64, name: &str) -> Batch {
        Batch {
            since_ns,
            strings: vec![name.into(), "a.js".into()],
            starts: vec![16, 32],
            sizes: vec![16, 8],
            names: vec![0, 0],
            line_codes: vec![1],
            line_addresses: vec![33],
            lines: vec![7],
            line_files: vec![1],
            ..Batch::default()
        }
    }

    #[test]
    fn what_was_appended_is_read_in_order() {
        let trace = trace("code");
        assert!(read(trace.path(), 5).is_empty());
        append(trace.path(), 5, &batch(1, "f")).unwrap();
        append(trace.path(), 5, &batch(2, "g")).unwrap();
        assert_eq!(read(trace.path(), 5), [batch(1, "f"), batch(2, "g")]);
        assert!(read(trace.path(), 6).is_empty());
    }

    #[test]
    fn a_torn_part_is_ignored_and_cut_off_before_the_next() {
        let trace = trace("torn");
        append(trace.path(), 5, &batch(1, "f")).unwrap();
        let whole = std::fs::metadata(code_path(trace.path(), 5)).unwrap().len();
        append(trace.path(), 5, &batch(2, "g")).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(code_path(trace.path(), 5));
        file.unwrap().set_len(whole + 20).unwrap();
        assert_eq!(read(trace.path(), 5), [batch(1, "f")]);
        repair(trace.path(), 5).unwrap();
        append(trace.path(), 5, &batch(3, "h")).unwrap();
        assert_eq!(read(trace.path(), 5), [batch(1, "f"), batch(3, "h")]);
        assert!(repair(trace.path(), 99).is_ok(), "one that is not there needs none");
    }

    #[test]
    fn damaged_bytes_give_no_codes_and_no_panic() {
        let trace = trace("damaged");
        append(trace.path(), 5, &batch(1, "f")).unwrap();
        let path = code_path(trace.path(), 5);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            std::fs::write(&path, &bytes).unwrap();
            assert!(read(trace.path(), 5).is_empty(), "byte {at}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(read(trace.path(), 5).is_empty(), "cut at {at}");
        }
    }

    #[test]
    fn columns_that_do_not_fit_are_dropped() {
        let mut bad = batch(1, "f");
        bad.names[0] = 9;
        assert!(!bad.is_whole());
        let mut bad = batch(1, "f");
        bad.line_codes[0] = 2;
        assert!(!bad.is_whole());
        let mut bad = batch(1, "f");
        bad.sizes.pop();
        assert!(!bad.is_whole() && batch(1, "f").is_whole());
    }
}
