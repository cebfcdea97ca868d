//! From offsets in one binary to functions, files and lines, inlined calls included.
//!
//! Finds the binary and its separate debug file (by build id, then by debuglink), makes sure that
//! they are the ones that ran, and asks blazesym. blazesym follows links and opens what a binary
//! names, so it only ever gets descriptors of files that [`super::file`] opened, and no debug
//! directories of its own.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use blazesym::symbolize::source::{Elf as ElfSource, Source};
use blazesym::symbolize::{CodeInfo, Input, Symbolized, Symbolizer};

use super::demangle::{MAX_NAME, demangle};
use super::depth;
use super::elf::{self, Elf};
use super::file::{self, MAX_BYTES, Opened, Refusal};
use super::parts::Parts;
use crate::source::frame::crc32_continued;

/// Most bytes that compressed sections of a file may expand to.
const MAX_EXPANDED_BYTES: u64 = 4 << 30;
/// Offsets that one question to blazesym holds.
const BATCH: usize = 4096;

/// Where debug files are looked for.
pub const DEBUG_DIRECTORIES: [&str; 1] = ["/usr/lib/debug"];

/// One function at an offset; several where calls were inlined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Name {
    /// Demangled.
    pub function: Arc<str>,
    /// As the debug information has it; empty if not known.
    pub file: Arc<str>,
    /// 0 if not known.
    pub line: u32,
}

/// What is known of the binary that ran.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Absolute path.
    pub path: &'a Path,
    /// Empty if it has none.
    pub build_id: &'a [u8],
    /// 0 if not known.
    pub inode: u64,
    /// Nanoseconds since 1970 when the process began.
    pub started_ns: u64,
    /// The process's user.
    pub user: u32,
}

/// Why a binary gives no names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not to be opened.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// No ELF file, or a damaged one.
    #[error("is no 64-bit ELF file")]
    NotElf,
    /// Rebuilt, or another file.
    #[error("is another build: build id {found} in place of {wanted}")]
    OtherBuild {
        /// Of the module that ran.
        wanted: String,
        /// Of the file.
        found: String,
    },
    /// Without build ids: not the inode that ran, or changed since.
    #[error(
        "was replaced or changed since the process began, and no build id tells whether it is the same"
    )]
    Changed,
}

/// A binary and its debug file.
pub struct Binary {
    /// Held open: the sources are paths of their descriptors. The last is the binary.
    files: Vec<Opened>,
    /// In the order in which they are asked.
    sources: Vec<ElfSource>,
    symbolizer: Symbolizer,
}

impl Binary {
    /// Opens what belongs to a module.
    pub fn open(wanted: &Wanted, debug_directories: &[PathBuf]) -> Result<Binary, Problem> {
        let opened = file::open(wanted.path, wanted.user, MAX_BYTES)?;
        let elf = elf::read(&opened.file).ok_or(Problem::NotElf)?;
        check_identity(wanted, &opened, &elf)?;
        let mut sources = Vec::new();
        let mut files = Vec::new();
        let debug = match elf.has_dwarf {
            true => None,
            false => debug_file(wanted, &opened, &elf, debug_directories),
        };
        if let Some((debug_opened, debug_elf)) = debug {
            sources.extend(ask_in_order(&debug_opened, &debug_elf, wanted.user));
            files.push(debug_opened);
        }
        sources.extend(ask_in_order(&opened, &elf, wanted.user));
        files.push(opened);
        let symbolizer = Symbolizer::builder()
            .enable_auto_reload(false)
            .enable_demangling(false)
            .set_debug_dirs(Some::<[&Path; 0]>([]))
            .build();
        Ok(Binary { files, sources, symbolizer })
    }

    /// Names of each offset (an address as the file has it), innermost first; empty where there is none.
    pub fn names(&self, offsets: &[u64]) -> Vec<Vec<Name>> {
        let mut found = vec![Vec::new(); offsets.len()];
        for source in &self.sources {
            self.ask(
                source,
                offsets,
                &mut found,
                |names| names.is_empty(),
                |found, names| {
                    *found = names;
                },
            );
        }
        // GCC's DWARF has `each` and `operator()` for what is local to a C++ file: the symbol table
        // has its whole name.
        for source in self.sources.iter().filter(|source| !source.debug_syms) {
            let short = |names: &[Name]| names.last().is_some_and(is_short_cpp);
            self.ask(source, offsets, &mut found, short, |found, mut names| {
                let (Some(short), Some(whole)) = (found.last_mut(), names.pop()) else {
                    return;
                };
                if whole.function.contains(&*short.function) && whole.function.contains('(') {
                    short.function = whole.function;
                }
            });
        }
        self.name_parts(offsets, &mut found);
        found
    }

    /// Names what no symbol holds after the function that it is a part of.
    fn name_parts(&self, offsets: &[u64], found: &mut [Vec<Name>]) {
        let Some(file) = self.files.last().map(|opened| &opened.file) else { return };
        let mut read = None;
        let nameless = found.iter_mut().zip(offsets).filter(|(names, _)| names.is_empty());
        for (names, offset) in nameless {
            let Some(parts) = read.get_or_insert_with(|| Parts::read(file)) else { return };
            if let Some(name) = parts.name(file, *offset) {
                names.push(name_of(name, None));
            }
        }
    }

    /// Asks one source for those offsets whose names so far are `wanted`, and takes what it knows.
    fn ask(
        &self,
        source: &ElfSource,
        offsets: &[u64],
        found: &mut [Vec<Name>],
        wanted: impl Fn(&[Name]) -> bool,
        take: impl Fn(&mut Vec<Name>, Vec<Name>),
    ) {
        let open: Vec<usize> = (0..offsets.len()).filter(|i| wanted(&found[*i])).collect();
        for batch in open.chunks(BATCH) {
            let asked: Vec<u64> = batch.iter().map(|i| offsets[*i]).collect();
            for (i, names) in batch.iter().zip(self.symbolize(source, &asked)) {
                if !names.is_empty() {
                    take(&mut found[*i], names);
                }
            }
        }
    }

    fn symbolize(&self, source: &ElfSource, offsets: &[u64]) -> Vec<Vec<Name>> {
        let source_of = Source::Elf(source.clone());
        // Debug information is hostile input too, and a panic in its parser is no reason for the
        // report to end.
        let answer = quietly(|| self.symbolizer.symbolize(&source_of, Input::VirtOffset(offsets)));
        match answer {
            Some(Ok(symbols)) => symbols.iter().map(names_of).collect(),
            // One damaged unit must not take the names of all others with it.
            Some(Err(_)) if offsets.len() > 1 => {
                offsets.iter().flat_map(|offset| self.symbolize(source, &[*offset])).collect()
            }
            _ => vec![Vec::new(); offsets.len()],
        }
    }
}

/// What `work` returns; `None` if it panicked, of which nothing is printed.
fn quietly<T>(work: impl FnOnce() -> T) -> Option<T> {
    thread_local! {
        static QUIET: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                others(info);
            }
        }));
    });
    QUIET.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(false);
    result.ok()
}

/// Whether a name is C++'s, from debug information that left out what it belongs to.
fn is_short_cpp(name: &Name) -> bool {
    let extension = Path::new(&*name.file).extension().unwrap_or_default();
    let is_other = ["c", "rs", "s", "S", "f90", "go"].iter().any(|e| extension == *e);
    let bare = name.function.strip_prefix("operator()").unwrap_or(&name.function);
    !name.file.is_empty() && !is_other && !bare.contains(['(', ':'])
}

/// A file's debug information, if it may be asked, then its symbol tables.
fn ask_in_order(opened: &Opened, elf: &Elf, user: u32) -> Vec<ElfSource> {
    let mut tables = ElfSource::new(opened.handle());
    tables.debug_syms = false;
    // What blazesym would open by itself was looked at before, or it may not look.
    let links = elf.debuglink.is_some() || !altlink_is_safe(opened, elf, user);
    let is_shallow = || match (elf.info, elf.abbreviations) {
        (Some(info), Some(abbreviations)) => depth::is_shallow(&opened.file, info, abbreviations),
        _ => false,
    };
    let fits = elf.expanded_bytes <= MAX_EXPANDED_BYTES;
    match elf.has_dwarf && !links && fits && (!opened.is_foreign || is_shallow()) {
        true => vec![ElfSource::new(opened.handle()), tables],
        false => vec![tables],
    }
}

/// Whether the file that dwz shared parts into may be opened. It lies where the debug file says.
fn altlink_is_safe(opened: &Opened, elf: &Elf, user: u32) -> bool {
    let Some(link) = &elf.altlink else {
        return true;
    };
    let directory = opened.path.parent().unwrap_or(Path::new("/"));
    !link.is_empty() && file::open(&directory.join(link), user, MAX_BYTES).is_ok()
}

fn check_identity(wanted: &Wanted, opened: &Opened, elf: &Elf) -> Result<(), Problem> {
    if !wanted.build_id.is_empty() {
        // The shim keeps at most 20 bytes.
        let found = &elf.build_id[..elf.build_id.len().min(20)];
        return match found == wanted.build_id {
            true => Ok(()),
            false => Err(Problem::OtherBuild {
                wanted: hex(wanted.build_id),
                found: if found.is_empty() { "none".to_owned() } else { hex(&elf.build_id) },
            }),
        };
    }
    // It has none, or the shim could not read it: an executable that is mapped with gaps is known
    // by its code alone.
    let other_inode = wanted.inode != 0 && wanted.inode != opened.inode;
    if other_inode || opened.changed_ns > wanted.started_ns {
        return Err(Problem::Changed);
    }
    Ok(())
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The separate debug file: by build id, then by debuglink.
fn debug_file(
    wanted: &Wanted,
    opened: &Opened,
    elf: &Elf,
    directories: &[PathBuf],
) -> Option<(Opened, Elf)> {
    let try_open = |path: &Path, same: &dyn Fn(&Opened, &Elf) -> bool| {
        let debug = file::open(path, wanted.user, MAX_BYTES).ok()?;
        let debug_elf = elf::read(&debug.file)?;
        (debug.inode != opened.inode && same(&debug, &debug_elf)).then_some((debug, debug_elf))
    };
    let same_build = |_: &Opened, debug: &Elf| debug.build_id == elf.build_id;
    if elf.build_id.len() >= 2 {
        let digits = hex(&elf.build_id);
        let name = format!(".build-id/{}/{}.debug", &digits[..2], &digits[2..]);
        for directory in directories {
            if let Some(found) = try_open(&directory.join(&name), &same_build) {
                return Some(found);
            }
        }
    }
    let (name, crc) = elf.debuglink.as_ref()?;
    let beside = opened.path.parent().unwrap_or(Path::new("/"));
    let below_root = beside.strip_prefix("/").unwrap_or(beside);
    let mut candidates = vec![beside.join(name), beside.join(".debug").join(name)];
    candidates.extend(directories.iter().map(|d| d.join(below_root).join(name)));
    // A build id that both have is the stronger sign, and saves reading the whole file.
    let same_file = |debug: &Opened, debug_elf: &Elf| match elf.build_id.is_empty() {
        false if !debug_elf.build_id.is_empty() => debug_elf.build_id == elf.build_id,
        _ => crc32_of(&debug.file) == Some(*crc),
    };
    candidates.iter().find_map(|c| try_open(c, &same_file))
}

/// CRC-32 of a whole file, as `.gnu_debuglink` has it.
fn crc32_of(file: &File) -> Option<u32> {
    let mut buffer = vec![0; 1 << 20];
    let (mut crc, mut offset) = (0, 0);
    loop {
        let got = file.read_at(&mut buffer, offset).ok()?;
        if got == 0 {
            return Some(crc);
        }
        crc = crc32_continued(crc, &buffer[..got]);
        offset += got as u64;
    }
}

/// Innermost first; blazesym has the inlined calls outermost first.
fn names_of(symbol: &Symbolized) -> Vec<Name> {
    let Symbolized::Sym(symbol) = symbol else {
        return Vec::new();
    };
    let outer = name_of(&symbol.name, symbol.code_info.as_deref());
    if outer.function.is_empty() && symbol.inlined.is_empty() {
        return Vec::new();
    }
    let inlined = symbol.inlined.iter().rev();
    inlined
        .map(|inlined| name_of(&inlined.name, inlined.code_info.as_ref()))
        .chain([outer])
        .collect()
}

fn name_of(function: &str, code: Option<&CodeInfo>) -> Name {
    let file = code.map(|code| code.to_path());
    Name {
        function: Arc::from(demangle(function)),
        file: cut(&file.as_ref().map_or(OsStr::new("").to_string_lossy(), |f| f.to_string_lossy())),
        line: code.and_then(|code| code.line).unwrap_or(0),
    }
}

fn cut(text: &str) -> Arc<str> {
    Arc::from(&text[..text.floor_char_boundary(MAX_NAME)])
}

/// A path from a trace, made absolute; relative ones are from where the process began.
pub fn absolute(path: &Path, cwd: &Path) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    // The kernel's mark of an unlinked executable is no part of its name.
    let bytes = bytes.strip_suffix(b" (deleted)").unwrap_or(bytes);
    cwd.join(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_a_parser_is_no_answer() {
        assert_eq!(quietly(|| 1), Some(1));
        assert_eq!(quietly(|| -> u8 { panic!("as a parser would") }), None);
        assert_eq!(quietly(|| 2), Some(2));
    }

    #[test]
    fn paths_of_a_trace_are_from_where_the_process_began() {
        let made = |path| absolute(Path::new(path), Path::new("/srv/app"));
        assert_eq!(made("/bin/x"), Path::new("/bin/x"));
        assert_eq!(made("./lib/x.so"), Path::new("/srv/app/./lib/x.so"));
        assert_eq!(made("/bin/x (deleted)"), Path::new("/bin/x"));
    }

    #[test]
    fn names_that_need_the_symbol_table_are_told() {
        let name = |function: &str, file: &str| {
            is_short_cpp(&Name { function: function.into(), file: file.into(), line: 1 })
        };
        assert!(name("each", "/src/a.cc") && name("operator()", "/src/a.cc"));
        assert!(name("_M_invoke", "/usr/include/c++/12/bits/std_function.h"));
        assert!(!name("each(int)", "/src/a.cc") && !name("a::each", "/src/a.cc"));
        assert!(!name("each", "/src/a.c") && !name("each", ""));
    }
}
