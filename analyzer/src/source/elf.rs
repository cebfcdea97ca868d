//! What a program's ELF file says about how it starts: machine, interpreter, needed libraries.
//! Little-endian 64-bit files only, which is all that the shim is built for.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// `e_machine` of x86-64.
pub const MACHINE_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;
/// More program headers, entries or bytes than this are damage.
const MOST_HEADERS: u16 = 256;
const MOST_BYTES: u64 = 1 << 20;

/// A program or library.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elf {
    /// `e_machine`.
    pub machine: u16,
    /// Program interpreter (`ld.so`); `None` = static, or a library.
    pub interpreter: Option<String>,
    /// It has a dynamic section.
    pub dynamic: bool,
    /// `DT_NEEDED`, in order.
    pub needed: Vec<String>,
}

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    bytes: u64,
}

impl Elf {
    /// Reads the file; `None` where it is no 64-bit little-endian ELF file.
    ///
    /// # Errors
    /// Where it cannot be opened or read.
    pub fn read(path: &Path) -> io::Result<Option<Elf>> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        Ok(parse(&file))
    }
}

fn bytes(file: &File, offset: u64, length: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length.min(MOST_BYTES)).ok()?];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}

fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let mut word = [0; 8];
    word[..size].copy_from_slice(bytes.get(at..at + size)?);
    Some(u64::from_le_bytes(word))
}

fn parse(file: &File) -> Option<Elf> {
    let head = bytes(file, 0, 64)?;
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let mut elf = Elf { machine: number(&head, 18, 2)? as u16, ..Elf::default() };
    let segments = segments(file, &head)?;
    if let Some(interpreter) = segments.iter().find(|segment| segment.kind == PT_INTERP) {
        elf.interpreter = text(&bytes(file, interpreter.offset, interpreter.bytes)?, 0);
    }
    let Some(dynamic) = segments.iter().find(|segment| segment.kind == PT_DYNAMIC) else {
        return Some(elf);
    };
    elf.dynamic = true;
    let entries = bytes(file, dynamic.offset, dynamic.bytes)?;
    let mut names = Vec::new();
    let (mut table, mut table_bytes) = (0, MOST_BYTES);
    for entry in entries.chunks_exact(16) {
        match (number(entry, 0, 8)?, number(entry, 8, 8)?) {
            (0, _) => break,
            (DT_NEEDED, name) => names.push(name),
            (DT_STRTAB, address) => table = address,
            (DT_STRSZ, length) => table_bytes = length,
            _ => {}
        }
    }
    let offset = segments.iter().find_map(|segment| {
        let inside = table.checked_sub(segment.address)?;
        (segment.kind == PT_LOAD && inside < segment.bytes).then(|| segment.offset + inside)
    });
    let strings = offset.and_then(|offset| bytes(file, offset, table_bytes)).unwrap_or_default();
    elf.needed = names.into_iter().filter_map(|name| text(&strings, name as usize)).collect();
    Some(elf)
}

fn segments(file: &File, head: &[u8]) -> Option<Vec<Segment>> {
    let (offset, size) = (number(head, 32, 8)?, number(head, 54, 2)?);
    let count = (number(head, 56, 2)? as u16).min(MOST_HEADERS) as u64;
    if size < 56 {
        return None;
    }
    let all = bytes(file, offset, size * count)?;
    let segment = |header: &[u8]| {
        Some(Segment {
            kind: number(header, 0, 4)? as u32,
            offset: number(header, 8, 8)?,
            address: number(header, 16, 8)?,
            bytes: number(header, 32, 8)?,
        })
    };
    all.chunks_exact(size as usize).map(segment).collect()
}

fn text(bytes: &[u8], at: usize) -> Option<String> {
    let rest = bytes.get(at..)?;
    let length = rest.iter().position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(&rest[..length]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_is_dynamic_and_needs_the_c_library() {
        let elf = Elf::read(&std::env::current_exe().unwrap()).unwrap().unwrap();
        assert!(elf.dynamic && elf.needed.iter().any(|name| name == "libc.so.6"), "{elf:?}");
        assert!(elf.interpreter.unwrap().contains("ld-linux"));
        assert_eq!(Elf::read(Path::new("/etc/passwd")).unwrap(), None);
    }

    #[test]
    fn a_damaged_file_is_read_as_far_as_it_goes() {
        let whole = std::fs::read("/bin/sh").unwrap();
        let path = std::env::temp_dir().join(format!("resshim-elf-{}", std::process::id()));
        for at in 0..256 {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            std::fs::write(&path, &bytes).unwrap();
            let _ = Elf::read(&path).unwrap();
        }
        std::fs::write(&path, &whole[..100]).unwrap();
        assert_eq!(Elf::read(&path).unwrap(), None);
        std::fs::remove_file(path).unwrap();
    }
}
