//! What the dynamic section says of how a program starts: its loader, what it needs, what it defines.

use std::collections::BTreeSet;

use super::{ElfFile, Segment, name_at, u16_at, u32_at, u64_at};

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_STRSZ: u64 = 10;
/// Longest name of a loader.
const LONGEST_PATH: u64 = 4096;
/// Bytes of an `Elf64_Sym`.
const SYMBOL: usize = 24;

/// A program or library, as ld.so sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dynamic {
    /// The loader that it asks for; `None` = static, or a library.
    pub interpreter: Option<String>,
    /// Libraries that it needs, in order.
    pub needed: Vec<String>,
    symbols: Option<Symbols>,
}

/// Where the dynamic symbols are in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Symbols {
    at: u64,
    strings_at: u64,
    strings_bytes: u64,
}

impl Dynamic {
    /// Reads it; `None` where the headers are damaged.
    pub fn read(elf: &ElfFile) -> Option<Dynamic> {
        let segments = elf.segments()?;
        let mut dynamic = Dynamic::default();
        let find = |kind| segments.iter().find(|segment| segment.kind == kind);
        if let Some(path) = find(PT_INTERP) {
            let path = elf.some_bytes(path.offset, path.bytes.min(LONGEST_PATH));
            dynamic.interpreter = text(&path, 0);
        }
        let Some(section) = find(PT_DYNAMIC) else { return Some(dynamic) };
        let mut names = Vec::new();
        let (mut strings, mut strings_bytes, mut symbols) = (0, 0, 0);
        for entry in elf.some_bytes(section.offset, section.bytes).chunks_exact(16) {
            match (u64_at(entry, 0)?, u64_at(entry, 8)?) {
                (0, _) => break,
                (DT_NEEDED, name) => names.push(name),
                (DT_STRTAB, address) => strings = address,
                (DT_SYMTAB, address) => symbols = address,
                (DT_STRSZ, bytes) => strings_bytes = bytes,
                _ => {}
            }
        }
        let strings_at = place(&segments, strings)?;
        let table = elf.some_bytes(strings_at, strings_bytes);
        dynamic.needed = names.into_iter().filter_map(|name| text(&table, name)).collect();
        dynamic.symbols =
            place(&segments, symbols).map(|at| Symbols { at, strings_at, strings_bytes });
        Some(dynamic)
    }

    /// Whether a name is one of its dynamic strings: it defines or asks for such a symbol. Cheaper than all
    /// names where there are many.
    pub fn names(&self, elf: &ElfFile, name: &str) -> bool {
        let Some(Symbols { strings_at, strings_bytes, .. }) = self.symbols else { return false };
        let wanted = [b"\0", name.as_bytes(), b"\0"].concat();
        let strings = elf.some_bytes(strings_at, strings_bytes);
        strings.windows(wanted.len()).any(|window| window == wanted)
    }

    /// Names of the dynamic symbols that it defines.
    pub fn defines(&self, elf: &ElfFile) -> BTreeSet<String> {
        let Some(Symbols { at, strings_at, strings_bytes }) = self.symbols else {
            return BTreeSet::new();
        };
        let names = elf.some_bytes(strings_at, strings_bytes);
        // The number of symbols stands nowhere; by custom the strings follow them.
        let table = elf.some_bytes(at, strings_at.saturating_sub(at));
        let name = |symbol: &[u8]| {
            let (name, section) = (u32_at(symbol, 0)?, u16_at(symbol, 6)?);
            text(&names, name.into()).filter(|name| section != 0 && !name.is_empty())
        };
        table.chunks_exact(SYMBOL).filter_map(name).collect()
    }
}

/// Where an address of the loaded file is in the file.
fn place(segments: &[Segment], address: u64) -> Option<u64> {
    segments.iter().filter(|segment| segment.kind == PT_LOAD).find_map(|segment| {
        let inside = address.checked_sub(segment.address)?;
        (inside < segment.bytes).then(|| segment.offset.saturating_add(inside))
    })
}

fn text(bytes: &[u8], at: u64) -> Option<String> {
    name_at(bytes, at).map(|name| String::from_utf8_lossy(name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn this_test_is_dynamic_and_needs_the_c_library() {
        let file = File::open(std::env::current_exe().unwrap()).unwrap();
        let dynamic = Dynamic::read(&ElfFile::open(&file).unwrap()).unwrap();
        assert!(dynamic.needed.iter().any(|name| name == "libc.so.6"), "{dynamic:?}");
        assert!(dynamic.interpreter.unwrap().contains("ld-linux"));
        let text = File::open("/etc/passwd").unwrap();
        assert!(ElfFile::open(&text).is_none());
    }

    #[test]
    fn a_dynamic_name_is_found_as_a_whole() {
        let file = File::open(std::env::current_exe().unwrap()).unwrap();
        let elf = ElfFile::open(&file).unwrap();
        let dynamic = Dynamic::read(&elf).unwrap();
        assert!(dynamic.names(&elf, "memcpy") && dynamic.names(&elf, "libc.so.6"));
        assert!(!dynamic.names(&elf, "emcpy") && !dynamic.names(&elf, "memcp"));
    }

    #[test]
    fn damage_anywhere_in_the_headers_is_no_panic() {
        let whole = std::fs::read("/bin/sh").unwrap();
        let path = std::env::temp_dir().join(format!("resshim-elf-{}", std::process::id()));
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let file = File::open(&path).unwrap();
            let elf = ElfFile::open(&file)?;
            let sections = elf.sections().unwrap_or_default();
            elf.section_names(&sections);
            elf.note_segments().count();
            let dynamic = Dynamic::read(&elf)?;
            dynamic.names(&elf, "nobody has this name");
            Some((dynamic.defines(&elf), dynamic))
        };
        assert!(read(&whole).is_some_and(|(_, dynamic)| dynamic.interpreter.is_some()));
        for at in (0..2048.min(whole.len())).step_by(3) {
            let mut broken = whole.clone();
            broken[at] ^= 0xff;
            read(&broken);
        }
        for length in [0, 1, 4, 63, 64, 100, 5000] {
            read(&whole[..length.min(whole.len())]);
        }
        std::fs::remove_file(&path).unwrap();
    }
}
