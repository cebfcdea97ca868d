//! The program's own source lines.
//!
//! A trace names source files, and a hostile one names `/etc/shadow`. So a line is read only from a
//! regular file of moderate size below one directory, never through a link that leaves it, and only
//! if its name is that of source code. A working directory of `/` quotes nothing unless asked to.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};

/// Larger files are not read.
const LIMIT: i64 = 8 << 20;
/// Names of source files end like this.
const ENDINGS: &[&str] = &[
    "ada", "adb", "asm", "c", "c++", "cc", "clj", "cpp", "cr", "cs", "cu", "cxx", "d", "erl", "ex",
    "f", "f90", "fs", "go", "h", "hh", "hpp", "hs", "hxx", "i", "inc", "inl", "ipp", "java", "jl",
    "js", "kt", "l", "lua", "m", "mjs", "ml", "mm", "nim", "php", "pl", "pm", "py", "pyx", "r",
    "rb", "rs", "s", "scala", "sh", "swift", "tcc", "tcl", "ts", "tsx", "v", "vala", "y", "zig",
];

/// Where source lines come from.
#[derive(Debug, Default)]
pub struct Sources {
    root: Option<Root>,
    lines: RefCell<HashMap<String, Option<Vec<String>>>>,
}

#[derive(Debug)]
struct Root {
    directory: OwnedFd,
    path: PathBuf,
    /// Named by the user: files may have been built elsewhere and are found by the end of their path.
    named: bool,
}

impl Sources {
    /// The directory that the user named, or the working directory.
    pub fn below(directory: Option<&Path>) -> Sources {
        let path = directory.unwrap_or(Path::new("."));
        let root = path.canonicalize().ok().and_then(|path| {
            if directory.is_none() && path == Path::new("/") {
                return None;
            }
            let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
            let directory_fd = rustix::fs::open(&path, flags, Mode::empty()).ok()?;
            Some(Root { directory: directory_fd, path, named: directory.is_some() })
        });
        Sources { root, lines: RefCell::default() }
    }

    /// No source lines.
    pub fn none() -> Sources {
        Sources::default()
    }

    /// The text of a line, without its indentation; lines count from 1.
    pub fn line(&self, file: &str, line: u32) -> Option<String> {
        let root = self.root.as_ref()?;
        let mut files = self.lines.borrow_mut();
        let lines = files.entry(file.to_string()).or_insert_with(|| root.read(Path::new(file)));
        let text = lines.as_ref()?.get((line as usize).checked_sub(1)?)?;
        Some(text.trim().to_string()).filter(|text| !text.is_empty())
    }
}

impl Root {
    fn read(&self, file: &Path) -> Option<Vec<String>> {
        let ending = file.extension()?.to_str()?.to_ascii_lowercase();
        if !ENDINGS.contains(&ending.as_str()) {
            return None;
        }
        self.candidates(file).into_iter().find_map(|candidate| self.open(&candidate)).and_then(read)
    }

    /// Where below the root the file may be.
    fn candidates(&self, file: &Path) -> Vec<PathBuf> {
        let below = file.strip_prefix(&self.path).ok().map(Path::to_owned);
        let mut candidates: Vec<PathBuf> =
            below.or_else(|| file.is_relative().then(|| file.to_owned())).into_iter().collect();
        if self.named {
            let parts: Vec<Component> =
                file.components().filter(|part| matches!(part, Component::Normal(_))).collect();
            candidates.extend((0..parts.len()).map(|from| parts[from..].iter().collect()));
        }
        candidates
    }

    fn open(&self, below: &Path) -> Option<File> {
        // Non-blocking: a fifo of that name must not stop us.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.directory, below, flags, Mode::empty(), beneath) {
            Ok(file) => Some(File::from(file)),
            // Before Linux 5.6, and where a filter forbids it: resolve, look, open what was looked at.
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {
                let real = self.path.join(below).canonicalize().ok()?;
                real.starts_with(&self.path).then_some(())?;
                let file = rustix::fs::openat(CWD, &real, flags | OFlags::NOFOLLOW, Mode::empty());
                file.ok().map(File::from)
            }
            Err(_) => None,
        }
    }
}

fn read(file: File) -> Option<Vec<String>> {
    let data = rustix::fs::fstat(&file).ok()?;
    if FileType::from_raw_mode(data.st_mode) != FileType::RegularFile || data.st_size > LIMIT {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(LIMIT as u64).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).lines().map(str::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A directory of its own for a test, removed with it.
    struct Dir(PathBuf);
    impl Dir {
        fn new(name: &str) -> Dir {
            let path = std::env::temp_dir().join(format!("resshim-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(path.join("src")).expect("directory");
            Dir(path.canonicalize().expect("path"))
        }
    }
    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn lines_come_from_below_the_directory_by_any_name_of_theirs() {
        let dir = Dir::new("quote-below");
        fs::write(dir.0.join("src/a.c"), "one\n\ttwo();  \n\n").expect("file");
        let sources = Sources::below(Some(&dir.0));
        let absolute = dir.0.join("src/a.c");
        assert_eq!(sources.line(absolute.to_str().expect("path"), 2).as_deref(), Some("two();"));
        assert_eq!(sources.line("src/a.c", 1).as_deref(), Some("one"));
        assert_eq!(sources.line("/build/elsewhere/src/a.c", 1).as_deref(), Some("one"));
        assert_eq!(sources.line("src/a.c", 3), None);
        assert_eq!(sources.line("src/a.c", 0), None);
        assert_eq!(sources.line("src/a.c", u32::MAX), None);
    }

    #[test]
    fn nothing_outside_is_read_whatever_the_trace_names() {
        let (dir, outside) = (Dir::new("quote-inside"), Dir::new("quote-outside"));
        let secret = outside.0.join("src/secret.c");
        fs::write(&secret, "secret\n").expect("file");
        symlink(&secret, dir.0.join("link.c")).expect("link");
        symlink(outside.0.join("src"), dir.0.join("linked")).expect("link");
        fs::write(dir.0.join("shadow"), "root:x\n").expect("file");
        let name = outside.0.file_name().expect("name").to_str().expect("name");
        let sources = Sources::below(Some(&dir.0));
        for file in [
            secret.to_str().expect("path"),
            "link.c",
            "linked/secret.c",
            &format!("../{name}/src/secret.c"),
            "shadow",
            "/etc/shadow",
            "/etc/passwd",
            "src",
            "",
            "\0.c",
        ] {
            assert_eq!(sources.line(file, 1), None, "{file}");
        }
    }

    #[test]
    fn a_fifo_in_place_of_a_source_file_does_not_stop_the_report() {
        let dir = Dir::new("quote-fifo");
        rustix::fs::mknodat(CWD, dir.0.join("a.c"), FileType::Fifo, Mode::RWXU, 0).expect("fifo");
        assert_eq!(Sources::below(Some(&dir.0)).line("a.c", 1), None);
    }
}
