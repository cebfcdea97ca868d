//! The source line of a frame, from files below one directory and from nowhere else.
//!
//! Debug information is written by whoever built the binary: it may name `/etc/shadow`. So only
//! regular files below the source directory (`--source DIR`, by default the working directory) are
//! read, reached without a single link, of limited size; the kernel enforces it (`openat2` with
//! `RESOLVE_BENEATH`), and where it cannot (before Linux 5.6), a walk without links does.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

use crate::escape;
use crate::report::Frame;

/// Largest source file that is read.
const MAX_BYTES: u64 = 8 << 20;
/// Longest line that is shown; what is longer is generated.
const MAX_LINE: usize = 400;

/// Names of source files end like this; no key, password file or log does.
const ENDINGS: &[&str] = &[
    "ada", "adb", "asm", "c", "c++", "cc", "clj", "cpp", "cr", "cs", "cu", "cxx", "d", "erl", "ex",
    "f", "f90", "fs", "go", "h", "hh", "hpp", "hs", "hxx", "inc", "inl", "ipp", "java", "jl", "js",
    "kt", "l", "lua", "m", "mjs", "ml", "mm", "nim", "php", "pl", "pm", "py", "pyx", "r", "rb",
    "rs", "s", "scala", "sh", "swift", "tcc", "tcl", "ts", "tsx", "v", "vala", "y", "zig",
];

/// Reads source lines below one directory.
#[derive(Debug)]
pub struct SourceLines {
    /// `None` where the directory cannot be opened: then there are no lines.
    directory: Option<OwnedFd>,
    root: PathBuf,
    /// Files may have been built elsewhere: they are found by the end of their path too.
    built_elsewhere: bool,
    files: RefCell<HashMap<String, Option<Vec<u8>>>>,
}

impl SourceLines {
    /// Of files below the directory that the user named, or below the working directory; a
    /// working directory of `/` (a service's) has no lines.
    pub fn of(named: Option<&Path>) -> SourceLines {
        match named {
            Some(directory) => {
                SourceLines { built_elsewhere: true, ..SourceLines::below(directory) }
            }
            None => match std::env::current_dir() {
                Ok(directory) if directory != Path::new("/") => SourceLines::below(&directory),
                _ => SourceLines::below(Path::new("")),
            },
        }
    }

    /// Of files below the directory.
    pub fn below(directory: &Path) -> SourceLines {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = directory.canonicalize().unwrap_or_default();
        SourceLines {
            directory: rustix::fs::openat(CWD, &root, flags, Mode::empty()).ok(),
            root,
            built_elsewhere: false,
            files: RefCell::default(),
        }
    }

    /// The frame's line, escaped for a terminal, without the indentation; `None` where it may not
    /// be read, is not there or is blank.
    pub fn line(&self, frame: &Frame) -> Option<String> {
        if frame.line == 0 || frame.file.is_empty() {
            return None;
        }
        let mut files = self.files.borrow_mut();
        let content =
            files.entry(frame.file.clone()).or_insert_with(|| self.read(Path::new(&frame.file)));
        let line = content.as_ref()?.split(|b| *b == b'\n').nth(frame.line as usize - 1)?;
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        let line = &line[..line.floor_char_boundary(MAX_LINE)];
        (!line.is_empty()).then(|| escape::source(line))
    }

    /// The file's name as seen from the directory, where it is below it.
    pub fn short(&self, file: &str) -> String {
        match Path::new(file).strip_prefix(&self.root) {
            Ok(below) if !self.root.as_os_str().is_empty() => below.to_string_lossy().into_owned(),
            _ => file.to_owned(),
        }
    }

    fn read(&self, file: &Path) -> Option<Vec<u8>> {
        let directory = self.directory.as_ref()?;
        let ending = file.extension()?.to_str()?.to_ascii_lowercase();
        if !ENDINGS.contains(&ending.as_str()) {
            return None;
        }
        let opened = File::from(
            self.candidates(file).iter().find_map(|below| open_below(directory, below))?,
        );
        let metadata = opened.metadata().ok()?;
        if !metadata.is_file() || metadata.len() > MAX_BYTES {
            return None;
        }
        let mut content = Vec::new();
        // The size was a moment ago.
        opened.take(MAX_BYTES).read_to_end(&mut content).ok()?;
        Some(content)
    }
}

impl SourceLines {
    /// Where below the directory the file may be.
    fn candidates(&self, file: &Path) -> Vec<PathBuf> {
        let mut candidates: Vec<PathBuf> =
            plain(file.strip_prefix(&self.root).unwrap_or(file)).into_iter().collect();
        if self.built_elsewhere {
            let names: Vec<Component> =
                file.components().filter(|part| matches!(part, Component::Normal(_))).collect();
            candidates.extend((0..names.len()).map(|from| names[from..].iter().collect()));
        }
        candidates
    }
}

/// The path without `.` and with `..` taken back; `None` if it is absolute or leads out.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::CurDir => {}
            Component::ParentDir if plain.pop() => {}
            _ => return None,
        }
    }
    (!plain.as_os_str().is_empty()).then_some(plain)
}

fn open_below(directory: &OwnedFd, path: &Path) -> Option<OwnedFd> {
    // A pipe must not hold us up, a terminal not become ours.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(directory, path, flags, Mode::empty(), resolve) {
        Ok(file) => Some(file),
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {
            open_by_component(directory, path)
        }
        Err(_) => None,
    }
}

/// For kernels before 5.6, and sandboxes that know no `openat2`.
fn open_by_component(directory: &OwnedFd, path: &Path) -> Option<OwnedFd> {
    let mut walked: Option<OwnedFd> = None;
    let mut names = path.iter().peekable();
    while let Some(name) = names.next() {
        let flags = match names.peek() {
            Some(_) => OFlags::PATH | OFlags::DIRECTORY,
            None => OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
        };
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let from = walked.as_ref().unwrap_or(directory);
        walked = Some(rustix::fs::openat(from, name, flags, Mode::empty()).ok()?);
    }
    walked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbols::scratch::Scratch;
    use std::os::unix::fs::symlink;

    fn frame(file: &str, line: u32) -> Frame {
        Frame { file: file.into(), line, ..Frame::default() }
    }

    #[test]
    fn lines_below_the_directory_are_read() {
        let dir = Scratch::new("source");
        std::fs::create_dir(dir.path().join("src")).unwrap();
        let file = dir.write("src/a.c", b"int a;\n\topen(\"\x1b[2J\");\n\n");
        let lines = SourceLines::below(dir.path());
        let shown = Some("open(\"\\x1b[2J\");".to_owned());
        assert_eq!(lines.line(&frame(file.to_str().unwrap(), 2)), shown);
        assert_eq!(lines.line(&frame("src/a.c", 2)), shown);
        assert_eq!(lines.line(&frame("./src/../src/a.c", 2)), shown);
        assert_eq!(lines.line(&frame("src/a.c", 0)), None);
        assert_eq!(lines.line(&frame("src/a.c", 3)), None, "blank");
        assert_eq!(lines.line(&frame("src/a.c", 99)), None);
        assert_eq!(lines.line(&frame("src", 1)), None);
    }

    #[test]
    fn nothing_outside_is_read() {
        let dir = Scratch::new("outside");
        let outside = Scratch::new("secret");
        let secret = outside.write("secret.c", b"secret\n");
        symlink(&secret, dir.path().join("link.c")).unwrap();
        symlink(outside.path(), dir.path().join("dir")).unwrap();
        let below = outside.path().file_name().unwrap().to_str().unwrap();
        let lines = SourceLines::below(dir.path());
        for file in [
            "/etc/passwd",
            "/etc/hostname.c",
            "../../etc/passwd",
            "link.c",
            "dir/secret.c",
            secret.to_str().unwrap(),
            &format!("../{below}/secret.c"),
            &format!("{}/../{below}/secret.c", dir.path().display()),
        ] {
            assert_eq!(lines.line(&frame(file, 1)), None, "{file}");
        }
    }

    #[test]
    fn the_walk_without_openat2_follows_no_link_either() {
        let dir = Scratch::new("walk");
        let outside = Scratch::new("walk-secret");
        outside.write("secret.c", b"secret\n");
        std::fs::create_dir(dir.path().join("src")).unwrap();
        dir.write("src/a.c", b"x\n");
        symlink(outside.path(), dir.path().join("dir")).unwrap();
        symlink("a.c", dir.path().join("src/link.c")).unwrap();
        let directory = SourceLines::below(dir.path()).directory.unwrap();
        assert!(open_by_component(&directory, Path::new("src/a.c")).is_some());
        assert!(open_by_component(&directory, Path::new("dir/secret.c")).is_none());
        assert!(open_by_component(&directory, Path::new("src/link.c")).is_none());
    }

    #[test]
    fn pipes_and_large_files_are_not_read() {
        let dir = Scratch::new("pipe");
        let fifo = dir.path().join("fifo.c");
        rustix::fs::mknodat(CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        let large = File::create(dir.path().join("large.c")).unwrap();
        large.set_len(MAX_BYTES + 1).unwrap();
        let lines = SourceLines::below(dir.path());
        assert_eq!(lines.line(&frame("fifo.c", 1)), None);
        assert_eq!(lines.line(&frame("large.c", 1)), None);
    }

    #[test]
    fn a_file_that_was_built_elsewhere_is_found_by_the_end_of_its_path() {
        let dir = Scratch::new("elsewhere");
        std::fs::create_dir(dir.path().join("src")).unwrap();
        dir.write("src/a.c", b"int a;\n");
        dir.write("shadow", b"root:x\n");
        let lines = SourceLines::of(Some(dir.path()));
        assert_eq!(lines.line(&frame("/build/x/src/a.c", 1)).as_deref(), Some("int a;"));
        assert_eq!(SourceLines::below(dir.path()).line(&frame("/build/x/src/a.c", 1)), None);
        assert_eq!(lines.line(&frame("/etc/shadow", 1)), None, "not a source file's name");
        assert_eq!(lines.line(&frame("shadow", 1)), None);
    }

    #[test]
    fn a_directory_that_is_not_there_has_no_lines() {
        assert_eq!(
            SourceLines::below(Path::new("/none/such")).line(&frame("/etc/hostname.c", 1)),
            None
        );
    }
}
