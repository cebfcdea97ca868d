//! What a program's file says about whether a preload reaches it and what it will see.
//!
//! An ELF file that does not fit together is [`Kind::Other`], never a panic.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::elf::{self, Dynamic, ElfFile, MACHINE_X86_64};

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
    match (head[4], head[5], elf::u16_at(head, 18)) {
        (1, _, _) => Kind::Foreign("32 bit"),
        (2, 2, _) => Kind::Foreign("a big-endian machine"),
        (2, 1, Some(MACHINE_X86_64)) => read_elf(file).map_or(Kind::Other, Kind::Elf),
        (2, 1, Some(183)) => Kind::Foreign("ARM"),
        _ => Kind::Foreign("another machine"),
    }
}

fn read_elf(file: &File) -> Option<Elf> {
    let elf = ElfFile::open(file)?;
    let dynamic = Dynamic::read(&elf)?;
    Some(Elf {
        defines: dynamic.defines(&elf),
        interpreter: dynamic.interpreter,
        needed: dynamic.needed,
        is_go: is_go(&elf),
    })
}

/// Go leaves a section of its own in every program.
fn is_go(elf: &ElfFile) -> bool {
    let sections = elf.sections().unwrap_or_default();
    let names = elf.section_names(&sections);
    let mut names = sections.iter().filter_map(|section| elf::name_at(&names, section.name.into()));
    names.any(|name| name == b".go.buildinfo" || name == b".note.go.buildid")
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
