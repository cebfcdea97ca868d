//! The little of an ELF file that says which file it is and where its debug information may be.
//!
//! Read with `pread`, never through a mapping: it is the gate before a file is handed to the
//! symbolizer, which maps it. Every offset and size is checked; what does not fit makes the file
//! "no ELF file", never a panic.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;

/// Largest section that is read here: notes, links, section names.
const MAX_SECTION: u64 = 4 << 20;
/// Sections that are looked at.
const MAX_SECTIONS: u64 = 100_000;

const SHT_NOTE: u32 = 7;
const SHT_NOBITS: u32 = 8;
const PT_NOTE: u32 = 4;
const NT_GNU_BUILD_ID: u32 = 3;
const SHF_COMPRESSED: u64 = 0x800;

/// What a file says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elf {
    /// Empty if it has none.
    pub build_id: Vec<u8>,
    /// Name and CRC of a separate debug file.
    pub debuglink: Option<(OsString, u32)>,
    /// Path of what several debug files share (dwz).
    pub altlink: Option<OsString>,
    /// Has DWARF line and function information.
    pub has_dwarf: bool,
    /// Where its `.debug_info` and `.debug_abbrev` are, if they are not compressed.
    pub info: Option<Range>,
    /// See `info`.
    pub abbreviations: Option<Range>,
    /// Bytes that its compressed sections claim to have once expanded.
    pub expanded_bytes: u64,
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
}

struct Section {
    name: u32,
    kind: u32,
    flags: u64,
    offset: u64,
    size: u64,
}

impl Section {
    fn plain(&self) -> Option<Range> {
        let range = Range { offset: self.offset, bytes: self.size };
        (self.flags & SHF_COMPRESSED == 0).then_some(range)
    }
}

/// Reads a 64-bit little-endian ELF file; `None` for everything else.
pub fn read(file: &File) -> Option<Elf> {
    let header = bytes(file, 0, 64)?;
    if header[..6] != *b"\x7fELF\x02\x01" {
        return None;
    }
    let mut elf = Elf::default();
    let sections = sections(file, &header).unwrap_or_default();
    let names = sections
        .get(usize::from(u16_at(&header, 62)?))
        .and_then(|s| bytes(file, s.offset, s.size))
        .unwrap_or_default();
    for section in &sections {
        let content = || bytes(file, section.offset, section.size);
        if section.kind == SHT_NOBITS {
            continue;
        }
        if section.flags & SHF_COMPRESSED != 0 {
            // Elf64_Chdr: type, reserved, size, alignment.
            let expanded = bytes(file, section.offset, 24).and_then(|h| u64_at(&h, 8));
            elf.expanded_bytes = elf.expanded_bytes.saturating_add(expanded.unwrap_or(u64::MAX));
        }
        let name = names.get(section.name as usize..).unwrap_or_default();
        match name.split(|b| *b == 0).next().unwrap_or_default() {
            b".debug_info" => {
                elf.has_dwarf = section.size > 0;
                elf.info = section.plain();
            }
            b".debug_abbrev" => elf.abbreviations = section.plain(),
            b".gnu_debuglink" => elf.debuglink = content().and_then(|c| debuglink(&c)),
            b".gnu_debugaltlink" => {
                elf.altlink = content()
                    .and_then(|c| Some(c.split(|b| *b == 0).next()?.to_vec()))
                    .map(OsString::from_vec);
            }
            // DWARF 5's form of it is not followed: no distribution writes it.
            b".debug_sup" => elf.altlink = Some(OsString::new()),
            _ if section.kind == SHT_NOTE && elf.build_id.is_empty() => {
                elf.build_id = content().and_then(|c| build_id(&c)).unwrap_or_default();
            }
            _ => {}
        }
    }
    if elf.build_id.is_empty() {
        elf.build_id = note_segments(file, &header).unwrap_or_default();
    }
    Some(elf)
}

fn sections(file: &File, header: &[u8]) -> Option<Vec<Section>> {
    let offset = u64_at(header, 40)?;
    let entry = u64::from(u16_at(header, 58)?);
    let mut count = u64::from(u16_at(header, 60)?);
    if offset == 0 || entry < 64 {
        return None;
    }
    if count == 0 {
        // More than 65 279: the number stands in the first section's size.
        count = u64_at(&bytes(file, offset, 64)?, 32)?;
    }
    let table = bytes(file, offset, entry.checked_mul(count.min(MAX_SECTIONS))?)?;
    table
        .chunks_exact(entry as usize)
        .map(|s| {
            Some(Section {
                name: u32_at(s, 0)?,
                kind: u32_at(s, 4)?,
                flags: u64_at(s, 8)?,
                offset: u64_at(s, 24)?,
                size: u64_at(s, 32)?,
            })
        })
        .collect()
}

fn note_segments(file: &File, header: &[u8]) -> Option<Vec<u8>> {
    let entry = u64::from(u16_at(header, 54)?);
    let count = u64::from(u16_at(header, 56)?);
    let table = bytes(file, u64_at(header, 32)?, entry.checked_mul(count)?)?;
    table
        .chunks_exact(usize::try_from(entry).ok().filter(|e| *e >= 56)?)
        .filter(|p| u32_at(p, 0) == Some(PT_NOTE))
        .find_map(|p| build_id(&bytes(file, u64_at(p, 8)?, u64_at(p, 32)?)?))
}

/// The build id among the notes of a section.
fn build_id(mut notes: &[u8]) -> Option<Vec<u8>> {
    while notes.len() >= 12 {
        let name_bytes = u32_at(notes, 0)? as usize;
        let content_bytes = u32_at(notes, 4)? as usize;
        let kind = u32_at(notes, 8)?;
        let name_end = 12usize.checked_add(name_bytes)?;
        let start = name_end.checked_next_multiple_of(4)?;
        let end = start.checked_add(content_bytes)?;
        let content = notes.get(start..end)?;
        if kind == NT_GNU_BUILD_ID && notes.get(12..name_end)? == b"GNU\0" {
            return (!content.is_empty() && content.len() <= 64).then(|| content.to_vec());
        }
        notes = notes.get(end.checked_next_multiple_of(4)?..)?;
    }
    None
}

/// Name, padding, CRC. A name with a slash leads out of the directories it belongs in.
fn debuglink(content: &[u8]) -> Option<(OsString, u32)> {
    let name = content.split(|b| *b == 0).next()?;
    let crc = u32_at(content, (name.len() + 1).next_multiple_of(4))?;
    let plain = !name.is_empty() && !name.contains(&b'/') && name != b".." && name != b".";
    plain.then(|| (OsString::from_vec(name.to_vec()), crc))
}

fn bytes(file: &File, offset: u64, size: u64) -> Option<Vec<u8>> {
    if size > MAX_SECTION.max(MAX_SECTIONS * 64) {
        return None;
    }
    // Hostile sizes must not make us allocate what is not there.
    let length = file.metadata().ok()?.len();
    if offset.checked_add(size)? > length {
        return None;
    }
    let mut buffer = vec![0; size as usize];
    file.read_exact_at(&mut buffer, offset).ok()?;
    Some(buffer)
}

fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(data.get(at..at.checked_add(2)?)?.try_into().ok()?))
}
fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(data.get(at..at.checked_add(4)?)?.try_into().ok()?))
}
fn u64_at(data: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(data.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbols::scratch::Scratch;

    #[test]
    fn this_test_program_has_debug_information() {
        let elf = read(&File::open("/proc/self/exe").unwrap()).unwrap();
        assert!(elf.has_dwarf && elf.debuglink.is_none());
    }

    #[test]
    fn notes_are_bounded() {
        let mut note = b"\x04\0\0\0\x03\0\0\0\x03\0\0\0GNU\0abc\0".to_vec();
        assert_eq!(build_id(&note).unwrap(), b"abc");
        note[4] = 0xff;
        assert_eq!(build_id(&note), None);
        assert_eq!(build_id(&[0xff; 40]), None);
        assert_eq!(build_id(b""), None);
    }

    #[test]
    fn a_debuglink_names_a_file_not_a_path() {
        assert_eq!(debuglink(b"a.debug\0\x01\x02\0\0"), Some(("a.debug".into(), 0x201)));
        assert_eq!(debuglink(b"../a.de\0\x01\x02\0\0"), None);
        assert_eq!(debuglink(b"a.debug\0\x01"), None);
    }

    #[test]
    fn damaged_files_do_not_panic() {
        let dir = Scratch::new("elf");
        let mut whole = std::fs::read("/proc/self/exe").unwrap();
        let sections = u64_at(&whole, 40).unwrap() as usize;
        let tail = whole.split_off(sections);
        // Header, segments and the section table are what is parsed: mutate these.
        let mut seed = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed as usize
        };
        for _ in 0..200 {
            let mut small = whole[..4096].to_vec();
            small.extend_from_slice(&tail);
            small[40..48].copy_from_slice(&4096u64.to_le_bytes());
            for _ in 0..8 {
                let at = random() % small.len();
                small[at] = random() as u8;
            }
            small.truncate(64 + random() % small.len());
            read(&File::open(dir.write("m", &small)).unwrap());
        }
    }
}
