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

/// Reads source lines below one directory.
#[derive(Debug)]
pub struct SourceLines {
    /// `None` where the directory cannot be opened: then there are no lines.
    directory: Option<OwnedFd>,
    root: PathBuf,
    files: RefCell<HashMap<String, Option<Vec<u8>>>>,
}

impl SourceLines {
    /// Of files below the directory.
    pub fn below(directory: &Path) -> SourceLines {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = directory.canonicalize().unwrap_or_default();
        SourceLines {
            directory: rustix::fs::openat(CWD, &root, flags, Mode::empty()).ok(),
            root,
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

    fn read(&self, file: &Path) -> Option<Vec<u8>> {
        let directory = self.directory.as_ref()?;
        let below = plain(file.strip_prefix(&self.root).unwrap_or(file))?;
        let opened = File::from(open_below(directory, &below)?);
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
        let secret = outside.write("secret", b"secret\n");
        symlink(&secret, dir.path().join("link.c")).unwrap();
        symlink(outside.path(), dir.path().join("dir")).unwrap();
        let below = outside.path().file_name().unwrap().to_str().unwrap();
        let lines = SourceLines::below(dir.path());
        for file in [
            "/etc/passwd",
            "../../etc/passwd",
            "link.c",
            "dir/secret",
            secret.to_str().unwrap(),
            &format!("../{below}/secret"),
            &format!("{}/../{below}/secret", dir.path().display()),
        ] {
            assert_eq!(lines.line(&frame(file, 1)), None, "{file}");
        }
    }

    #[test]
    fn the_walk_without_openat2_follows_no_link_either() {
        let dir = Scratch::new("walk");
        let outside = Scratch::new("walk-secret");
        outside.write("secret", b"secret\n");
        std::fs::create_dir(dir.path().join("src")).unwrap();
        dir.write("src/a.c", b"x\n");
        symlink(outside.path(), dir.path().join("dir")).unwrap();
        symlink("a.c", dir.path().join("src/link.c")).unwrap();
        let directory = SourceLines::below(dir.path()).directory.unwrap();
        assert!(open_by_component(&directory, Path::new("src/a.c")).is_some());
        assert!(open_by_component(&directory, Path::new("dir/secret")).is_none());
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
    fn a_directory_that_is_not_there_has_no_lines() {
        assert_eq!(
            SourceLines::below(Path::new("/none/such")).line(&frame("/etc/passwd", 1)),
            None
        );
    }
}
