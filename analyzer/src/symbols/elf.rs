//! The little of an ELF file that says which file it is and where its debug information may be.
//!
//! It is the gate before a file is handed to the symbolizer, which maps it.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;

use crate::elf::{ElfFile, Section, name_at, u32_at, u64_at};

const SHT_NOTE: u32 = 7;
const SHT_NOBITS: u32 = 8;
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

fn plain(section: &Section) -> Option<Range> {
    let range = Range { offset: section.offset, bytes: section.bytes };
    (section.flags & SHF_COMPRESSED == 0).then_some(range)
}

/// Reads a 64-bit little-endian ELF file; `None` for everything else.
pub fn read(file: &File) -> Option<Elf> {
    let headers = ElfFile::open(file)?;
    let mut elf = Elf::default();
    let sections = headers.sections().unwrap_or_default();
    let names = headers.section_names(&sections);
    for section in &sections {
        let content = || headers.bytes(section.offset, section.bytes);
        if section.kind == SHT_NOBITS {
            continue;
        }
        if section.flags & SHF_COMPRESSED != 0 {
            // Elf64_Chdr: type, reserved, size, alignment.
            let expanded = headers.bytes(section.offset, 24).and_then(|h| u64_at(&h, 8));
            elf.expanded_bytes = elf.expanded_bytes.saturating_add(expanded.unwrap_or(u64::MAX));
        }
        match name_at(&names, section.name.into()).unwrap_or_default() {
            b".debug_info" => {
                elf.has_dwarf = section.bytes > 0;
                elf.info = plain(section);
            }
            b".debug_abbrev" => elf.abbreviations = plain(section),
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
        elf.build_id =
            headers.note_segments().find_map(|notes| build_id(&notes)).unwrap_or_default();
    }
    Some(elf)
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
