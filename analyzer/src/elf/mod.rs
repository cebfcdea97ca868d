//! The headers of an ELF file: its segments and sections, for whoever asks what a file is.
//!
//! Read with `pread`, never through a mapping: files change, and what is read here decides whether a
//! file is mapped at all. Every offset and size is checked; what does not fit is `None`, never a
//! panic. Little-endian 64-bit files only, which is all that the shim is built for.

mod dynamic;

use std::fs::File;
use std::os::unix::fs::FileExt;

pub use self::dynamic::Dynamic;

/// `e_machine` of x86-64.
pub const MACHINE_X86_64: u16 = 62;
/// Most bytes of one table or section that are read.
const MOST_BYTES: u64 = 16 << 20;
/// Most sections that are looked at.
const MOST_SECTIONS: u64 = 100_000;

const PT_NOTE: u32 = 4;

/// An open ELF file.
pub struct ElfFile<'f> {
    file: &'f File,
    head: [u8; 64],
    length: u64,
}

/// A program header.
pub struct Segment {
    /// `p_type`.
    pub kind: u32,
    /// Where it is in the file.
    pub offset: u64,
    /// Where it is in memory.
    pub address: u64,
    /// How much of the file it is.
    pub bytes: u64,
}

/// A section header.
pub struct Section {
    /// Where its name is in the section of names.
    pub name: u32,
    /// `sh_type`.
    pub kind: u32,
    /// `sh_flags`.
    pub flags: u64,
    /// Where it is in memory.
    pub address: u64,
    /// Where it is in the file.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
}

impl<'f> ElfFile<'f> {
    /// The file, if it is one.
    pub fn open(file: &'f File) -> Option<ElfFile<'f>> {
        let mut head = [0; 64];
        file.read_exact_at(&mut head, 0).ok()?;
        let length = file.metadata().ok()?.len();
        head.starts_with(b"\x7fELF\x02\x01").then_some(ElfFile { file, head, length })
    }

    /// `e_machine`.
    pub fn machine(&self) -> u16 {
        u16_at(&self.head, 18).unwrap_or(0)
    }

    /// Its program headers.
    pub fn segments(&self) -> Option<Vec<Segment>> {
        let segment = |header: &[u8]| {
            Some(Segment {
                kind: u32_at(header, 0)?,
                offset: u64_at(header, 8)?,
                address: u64_at(header, 16)?,
                bytes: u64_at(header, 32)?,
            })
        };
        let count = u16_at(&self.head, 56)?.into();
        self.table(u64_at(&self.head, 32)?, u16_at(&self.head, 54)?, 56, count, segment)
    }

    /// Its section headers.
    pub fn sections(&self) -> Option<Vec<Section>> {
        let offset = u64_at(&self.head, 40)?;
        if offset == 0 {
            return None;
        }
        let mut count = u64::from(u16_at(&self.head, 60)?);
        if count == 0 {
            // More than 65 279: the number stands in the first section's size.
            count = u64_at(&self.bytes(offset, 64)?, 32)?;
        }
        let section = |header: &[u8]| {
            Some(Section {
                name: u32_at(header, 0)?,
                kind: u32_at(header, 4)?,
                flags: u64_at(header, 8)?,
                address: u64_at(header, 16)?,
                offset: u64_at(header, 24)?,
                bytes: u64_at(header, 32)?,
            })
        };
        let size = u16_at(&self.head, 58)?;
        self.table(offset, size, 64, count.min(MOST_SECTIONS), section)
    }

    /// Calls `row` with each header of a table whose headers have at least `least` bytes.
    fn table<T>(
        &self,
        offset: u64,
        size: u16,
        least: u16,
        count: u64,
        row: impl FnMut(&[u8]) -> Option<T>,
    ) -> Option<Vec<T>> {
        if size < least {
            return None;
        }
        let all = self.bytes(offset, u64::from(size).checked_mul(count)?)?;
        all.chunks_exact(size.into()).map(row).collect()
    }

    /// The section that holds the names of `sections`; empty if there is none.
    pub fn section_names(&self, sections: &[Section]) -> Vec<u8> {
        let index = u16_at(&self.head, 62).unwrap_or(0);
        let names = sections.get(usize::from(index));
        names.and_then(|names| self.bytes(names.offset, names.bytes)).unwrap_or_default()
    }

    /// Contents of its note segments.
    pub fn note_segments(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        let segments = self.segments().unwrap_or_default().into_iter();
        let notes = segments.filter(|segment| segment.kind == PT_NOTE);
        notes.filter_map(|segment| self.bytes(segment.offset, segment.bytes))
    }

    /// These bytes of the file; `None` if it has fewer, or they are too many.
    pub fn bytes(&self, offset: u64, length: u64) -> Option<Vec<u8>> {
        // Hostile sizes must not make us allocate what is not there.
        if length > MOST_BYTES || offset.checked_add(length)? > self.length {
            return None;
        }
        let mut bytes = vec![0; length as usize];
        self.file.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    }

    /// As many of these bytes as the file has and as are read at a time.
    fn some_bytes(&self, offset: u64, length: u64) -> Vec<u8> {
        let there = self.length.saturating_sub(offset);
        self.bytes(offset, length.min(there).min(MOST_BYTES)).unwrap_or_default()
    }
}

/// The bytes at an offset up to the next NUL.
pub fn name_at(bytes: &[u8], at: u64) -> Option<&[u8]> {
    bytes.get(usize::try_from(at).ok()?..)?.split(|byte| *byte == 0).next()
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// Two bytes as a number.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

/// Four bytes as a number.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

/// Eight bytes as a number.
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_le_bytes)
}
