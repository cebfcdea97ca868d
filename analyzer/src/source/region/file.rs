//! A region file that may be in use: its state and its chunks, copied with `pread`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use resshim_format::header::STATES_OFFSET;
use resshim_format::index::REGION_SUFFIX;
use resshim_format::ring::copy::{Chunk, Copied, SLOTS, Slots, copy};
use resshim_format::ring::reader::Records;
use resshim_format::ring::{CHUNK_BYTES, CHUNK_HEADER, CHUNK_WORDS, SLOT_WORDS, StateWord};
use zerocopy::IntoBytes;

use super::image::Image;
use super::{Anomalies, Region, RegionHeader, check_header, directory};
use crate::error::{Error, Result};
use crate::source::open::{self, Access};

/// Pid and region id of a region file's name.
pub fn parse_file_name(name: &str) -> Option<(u32, u64)> {
    let (pid, id) = name.strip_suffix(REGION_SUFFIX)?.split_once('-')?;
    if id.len() != 16 {
        return None;
    }
    Some((pid.parse().ok()?, u64::from_str_radix(id, 16).ok()?))
}

/// A true copy of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkCopy {
    /// Which chunk.
    pub index: u32,
    /// Its state word when it was copied.
    pub state: StateWord,
    /// Its words up to what was committed, header included.
    pub words: Vec<u64>,
}

impl ChunkCopy {
    /// What `resshim_format::ring::copy` says of it.
    pub fn copied(&self) -> Copied {
        Copied { state: self.state, words: self.words.len() }
    }

    /// Its records.
    pub fn records(&self) -> Records<'_> {
        Records::new(&self.words)
    }
}

/// An open region file.
#[derive(Debug)]
pub struct RegionFile {
    path: PathBuf,
    file: File,
    header: RegionHeader,
    bytes: u64,
}

impl RegionFile {
    /// Opens a region and checks its header.
    ///
    /// # Errors
    /// Where the file is not ours to read or no region.
    pub fn open(path: &Path, access: Access) -> Result<RegionFile> {
        let file = open::regular(path, access)?;
        let bytes = file.metadata().map_err(|source| Error::io(path, source))?.len();
        let mut image = Image::default();
        let page = read_up_to(&file, 0, STATES_OFFSET).map_err(|e| Error::io(path, e))?;
        image.push(0, page);
        let header = check_header(path, &image, bytes)?;
        Ok(RegionFile { path: path.to_owned(), file, header, bytes })
    }

    /// Header as it was when the file was opened.
    pub fn header(&self) -> &RegionHeader {
        &self.header
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Copies the state: header, strings, tables.
    ///
    /// # Errors
    /// Where it cannot be read, or is no region any more.
    pub fn read(&self) -> Result<Region> {
        let io = |source| Error::io(&self.path, source);
        let chunks = self.header.chunk_limit as usize;
        let head = STATES_OFFSET + chunks * 8;
        let head = read_up_to(&self.file, 0, head.min(self.clamp(head as u64))).map_err(io)?;
        let mut image = Image::default();
        let mut anomalies = Anomalies::default();
        image.push(0, head);
        for table in directory(&image, self.bytes, &mut Anomalies::default()) {
            let length = table.rows as u64 * table.row_bytes as u64;
            if length > image.room().min(self.bytes) {
                anomalies.bad_tables += 1;
                continue;
            }
            let bytes = read_up_to(&self.file, table.offset, length as usize).map_err(io)?;
            if !image.push(table.offset, bytes) {
                anomalies.bad_tables += 1;
            }
        }
        Region::parse(&self.path, image, self.bytes, anomalies)
    }

    /// No more than the file has.
    fn clamp(&self, length: u64) -> usize {
        length.min(self.bytes) as usize
    }

    /// Chunks that the kernel has promised, as the header says now, and that the file has room for.
    pub fn chunks(&self) -> u32 {
        let at = std::mem::offset_of!(resshim_format::header::Header, chunks_populated) as u64;
        let mut word = [0; 4];
        if self.file.read_exact_at(&mut word, at).is_err() {
            return 0;
        }
        let fit = self.bytes.saturating_sub(self.header.chunks_offset as u64) / CHUNK_BYTES as u64;
        u32::from_le_bytes(word).min(self.header.chunk_limit).min(fit.min(u32::MAX as u64) as u32)
    }

    /// State words of the chunks, as they are now.
    pub fn states(&self) -> Vec<StateWord> {
        let mut words = vec![0u64; self.chunks() as usize];
        if self.file.read_exact_at(words.as_mut_bytes(), STATES_OFFSET as u64).is_err() {
            return Vec::new();
        }
        words.into_iter().map(StateWord::unpack).collect()
    }

    fn words(&self, offset: u64, words: &mut [u64]) -> Option<()> {
        self.file.read_exact_at(words.as_mut_bytes(), offset).ok()
    }

    /// Copies a chunk that may be written meanwhile. `None`: nothing in it, or begun anew.
    pub fn copy_chunk(&self, index: u32) -> Option<ChunkCopy> {
        if index >= self.chunks() {
            return None;
        }
        let mut words = [0; CHUNK_WORDS];
        let copied = copy(&InFile { region: self, index }, &mut words)?;
        let words = words.get(..copied.words)?.to_vec();
        Some(ChunkCopy { index, state: copied.state, words })
    }
}

/// A chunk read with `pread`, since the memory may go away under a mapping. One call sees what there is
/// after what the call before it saw: loads of x86-64 are in order.
struct InFile<'a> {
    region: &'a RegionFile,
    index: u32,
}

impl Chunk for InFile<'_> {
    fn state(&self) -> Option<u64> {
        let mut word = [0];
        self.region.words(STATES_OFFSET as u64 + self.index as u64 * 8, &mut word)?;
        Some(word[0])
    }

    fn read(&self, at: usize, into: &mut [u64]) -> Option<()> {
        let start = self.region.header.chunks_offset as u64;
        let chunk = start + self.index as u64 * CHUNK_BYTES as u64;
        self.region.words(chunk + at as u64 * 8, into)
    }

    fn slots(&self) -> Option<Slots> {
        let mut slots = [[0u64; SLOT_WORDS]; SLOTS];
        self.read(CHUNK_HEADER, slots.as_flattened_mut())?;
        Some(Slots::of(slots.iter().map(|slot| slot[0])))
    }
}

/// Reads `length` bytes, or what the file has of them.
fn read_up_to(file: &File, offset: u64, length: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut at = 0;
    while at < length {
        match file.read_at(&mut bytes[at..], offset + at as u64) {
            Ok(0) => break,
            Ok(read) => at += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(at);
    Ok(bytes)
}
