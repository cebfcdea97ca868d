//! What a program's file says about whether a preload reaches it and what it will see.
//!
//! Little-endian ELF files, read by `pread`; every offset is checked, and a file that does not fit
//! is [`Kind::Other`], never a panic.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_STRSZ: u64 = 10;
/// More bytes than this of one table are not read.
const MOST: u64 = 16 << 20;
/// Bytes of an `Elf64_Sym`.
const SYMBOL: usize = 24;

/// What kind of file it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A 64-bit x86 program.
    Elf(Elf),
    /// An ELF file of another machine: what it is for.
    Foreign(&'static str),
    /// A script: its interpreter's words.
    Script(Vec<String>),
    /// Neither.
    Other,
}

/// What an ELF file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elf {
    /// The loader that it asks for; none = static.
    pub interpreter: Option<String>,
    /// Libraries that it needs, in order.
    pub needed: Vec<String>,
    /// Names of its dynamic symbols that it defines.
    pub defines: BTreeSet<String>,
    /// It was built by Go.
    pub is_go: bool,
}

/// A program's file.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its path, links resolved.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// It gets another user's or group's rights, or capabilities: ld.so ignores a preload.
    pub privileged: Option<&'static str>,
}

impl Program {
    /// Looks at the file.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn read(path: &Path) -> io::Result<Program> {
        let path = path.canonicalize()?;
        let data = std::fs::metadata(&path)?;
        if !data.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no regular file"));
        }
        let file = File::open(&path)?;
        let own = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let privileged = if data.mode() & 0o4000 != 0 && data.uid() != own.0 {
            Some("set-user-id")
        } else if data.mode() & 0o2010 == 0o2010 && data.gid() != own.1 {
            Some("set-group-id")
        } else if rustix::fs::getxattr(&path, "security.capability", &mut [0; 64]).is_ok() {
            Some("file capabilities")
        } else {
            None
        };
        Ok(Program { kind: kind(&file), path, privileged })
    }
}

fn kind(file: &File) -> Kind {
    let mut head = [0; 256];
    let length = file.read_at(&mut head, 0).unwrap_or(0);
    let head = &head[..length];
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        return Kind::Script(line.split_whitespace().map(str::to_string).collect());
    }
    if !head.starts_with(b"\x7fELF") || head.len() < 64 {
        return Kind::Other;
    }
    match (head[4], head[5], u16::from_le_bytes([head[18], head[19]])) {
        (1, _, _) => Kind::Foreign("32 bit"),
        (2, 2, _) => Kind::Foreign("a big-endian machine"),
        (2, 1, 62) => elf(file, head).map_or(Kind::Other, Kind::Elf),
        (2, 1, 183) => Kind::Foreign("ARM"),
        _ => Kind::Foreign("another machine"),
    }
}

fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let mut word = [0; 8];
    word[..size].copy_from_slice(bytes.get(at..at.checked_add(size)?)?);
    Some(u64::from_le_bytes(word))
}

/// As many of the bytes as the file has.
fn bytes(file: &File, offset: u64, length: u64) -> Vec<u8> {
    let length = length.min(MOST);
    let there = file.metadata().map_or(0, |data| data.len().saturating_sub(offset));
    let mut bytes = vec![0; length.min(there) as usize];
    if file.read_exact_at(&mut bytes, offset).is_err() {
        bytes.clear();
    }
    bytes
}

fn text(bytes: &[u8], at: u64) -> Option<String> {
    let rest = bytes.get(usize::try_from(at).ok()?..)?;
    let name = rest.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(name).into_owned())
}

fn elf(file: &File, head: &[u8]) -> Option<Elf> {
    let mut elf = Elf { is_go: is_go(file, head).unwrap_or(false), ..Elf::default() };
    let (offset, size, count) = (number(head, 32, 8)?, number(head, 54, 2)?, number(head, 56, 2)?);
    if size < 56 {
        return None;
    }
    let headers = bytes(file, offset, size * count);
    let segments: Vec<[u64; 4]> = headers
        .chunks_exact(size as usize)
        .filter_map(|h| {
            Some([number(h, 0, 4)?, number(h, 8, 8)?, number(h, 16, 8)?, number(h, 32, 8)?])
        })
        .collect();
    let segment = |kind: u64| segments.iter().find(|segment| segment[0] == kind);
    if let Some([_, offset, _, length]) = segment(PT_INTERP) {
        elf.interpreter = text(&bytes(file, *offset, (*length).min(4096)), 0);
    }
    let Some([_, offset, _, length]) = segment(PT_DYNAMIC) else { return Some(elf) };
    let mut names = Vec::new();
    let (mut strings, mut strings_bytes, mut symbols) = (0, 0, 0);
    for entry in bytes(file, *offset, *length).chunks_exact(16) {
        match (number(entry, 0, 8)?, number(entry, 8, 8)?) {
            (0, _) => break,
            (DT_NEEDED, name) => names.push(name),
            (DT_STRTAB, address) => strings = address,
            (DT_SYMTAB, address) => symbols = address,
            (DT_STRSZ, length) => strings_bytes = length,
            _ => {}
        }
    }
    let place = |address: u64| {
        segments.iter().find_map(|[kind, offset, start, length]| {
            let inside = address.checked_sub(*start)?;
            (*kind == PT_LOAD && inside < *length).then(|| offset.saturating_add(inside))
        })
    };
    let strings_at = place(strings)?;
    let table = bytes(file, strings_at, strings_bytes);
    elf.needed = names.into_iter().filter_map(|name| text(&table, name)).collect();
    // The number of symbols stands nowhere; by custom the strings follow them.
    let symbols_at = place(symbols)?;
    let length = strings_at.saturating_sub(symbols_at);
    for symbol in bytes(file, symbols_at, length).chunks_exact(SYMBOL) {
        let (name, section) = (number(symbol, 0, 4)?, number(symbol, 6, 2)?);
        if section != 0
            && let Some(name) = text(&table, name).filter(|name| !name.is_empty())
        {
            elf.defines.insert(name);
        }
    }
    Some(elf)
}

/// Go leaves a section of its own in every program.
fn is_go(file: &File, head: &[u8]) -> Option<bool> {
    let (offset, size, count) = (number(head, 40, 8)?, number(head, 58, 2)?, number(head, 60, 2)?);
    if size < 64 {
        return None;
    }
    let headers = bytes(file, offset, size * count);
    let sections: Vec<&[u8]> = headers.chunks_exact(size as usize).collect();
    let names = sections.get(number(head, 62, 2)? as usize)?;
    let names = bytes(file, number(names, 24, 8)?, number(names, 32, 8)?);
    let mut sections = sections.iter().filter_map(|section| text(&names, number(section, 0, 4)?));
    Some(sections.any(|name| name == ".go.buildinfo" || name == ".note.go.buildid"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    use crate::cmd::library::resolve;

    #[test]
    fn a_shell_is_a_dynamic_program_of_glibc() {
        let path = resolve(OsStr::new("sh")).expect("a shell");
        let program = Program::read(&path).expect("a program");
        let Kind::Elf(elf) = program.kind else { panic!("{program:?}") };
        assert!(elf.interpreter.is_some_and(|name| name.contains("ld-linux")));
        assert!(elf.needed.iter().any(|name| name == "libc.so.6"));
        assert!(!elf.defines.contains("malloc") && !elf.is_go);
        assert_eq!(program.privileged, None);
    }

    #[test]
    fn the_symbols_that_a_library_defines_are_read() {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
        let libc = maps
            .lines()
            .find_map(|line| line.split_whitespace().nth(5).filter(|p| p.contains("libc.so.6")));
        let program = Program::read(Path::new(libc.expect("libc"))).expect("a library");
        let Kind::Elf(elf) = program.kind else { panic!("{program:?}") };
        assert!(elf.defines.contains("malloc") && elf.defines.contains("open64"));
    }

    #[test]
    fn damage_anywhere_in_a_file_is_no_panic() {
        let whole = std::fs::read("/bin/sh").expect("a shell");
        let path = std::env::temp_dir().join(format!("resshim-doctor-{}", std::process::id()));
        for at in (0..2048.min(whole.len())).step_by(3) {
            let mut broken = whole.clone();
            broken[at] ^= 0xff;
            std::fs::write(&path, &broken).expect("file");
            Program::read(&path).expect("an answer");
        }
        for length in [0, 1, 4, 63, 64, 100, 5000] {
            std::fs::write(&path, &whole[..length.min(whole.len())]).expect("file");
            Program::read(&path).expect("an answer");
        }
        std::fs::remove_file(&path).expect("removed");
    }
}
