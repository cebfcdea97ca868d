//! Opening files that a trace names: binaries, debug files, stored names.
//!
//! A trace is hostile input: a module's path may be a link planted for whoever reads the report, a
//! pipe that never answers, a file that its owner truncates while it is mapped. So a path is walked
//! component by component; the file must be regular, not too large, and owned by root or by the
//! process's user. Links are followed only where root or the reader made them (`/lib`, the sonames
//! of the system's libraries): never one of somebody else's.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, MemfdFlags, Mode, OFlags};

/// Largest binary or debug file that is looked at.
pub const MAX_BYTES: u64 = 4 << 30;
/// Largest one that is copied because its owner could change it meanwhile.
const MAX_COPIED_BYTES: u64 = 1 << 30;
/// Links on one path, as the kernel has it.
const MAX_LINKS: usize = 40;

/// Why a file was not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such file.
    #[error("is not there any more")]
    Missing,
    /// Not to be read by this user, or another error.
    #[error("cannot be read ({0})")]
    Unreadable(rustix::io::Errno),
    /// A directory, pipe, device, …
    #[error("is no regular file")]
    NotRegular,
    /// A link on the path that neither root nor the reader made.
    #[error("is behind a link of user {0}")]
    Link(u32),
    /// Owned by neither root nor the process's user.
    #[error("belongs to user {0}, neither root nor the process's user")]
    Foreign(u32),
    /// Beyond the limit.
    #[error("is too large")]
    TooLarge,
}
impl From<rustix::io::Errno> for Refusal {
    fn from(errno: rustix::io::Errno) -> Refusal {
        match errno {
            rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR => Refusal::Missing,
            errno => Refusal::Unreadable(errno),
        }
    }
}

/// A file that may be read.
#[derive(Debug)]
pub struct Opened {
    /// For reading; possibly a private copy.
    pub file: File,
    /// Where it was found, links resolved.
    pub path: PathBuf,
    /// Inode of the original.
    pub inode: u64,
    /// Whether it belongs to neither root nor the reader.
    pub is_foreign: bool,
    /// Last change of the original's content or attributes, nanoseconds since 1970.
    pub changed_ns: u64,
}
impl Opened {
    /// A path that opens exactly this file.
    pub fn handle(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }
}

/// Opens an absolute path for reading; `user` is the process's.
pub fn open(path: &Path, user: u32, max_bytes: u64) -> Result<Opened, Refusal> {
    let (directory, name, path) = walk(path)?;
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(&directory, &name, flags, Mode::empty())?);
    let stat = file.metadata().map_err(|_| Refusal::Unreadable(rustix::io::Errno::IO))?;
    if !stat.is_file() {
        return Err(Refusal::NotRegular);
    }
    if stat.uid() != 0 && stat.uid() != user {
        return Err(Refusal::Foreign(stat.uid()));
    }
    if stat.len() > max_bytes {
        return Err(Refusal::TooLarge);
    }
    let changed_ns = (stat.ctime().max(0) as u64)
        .saturating_mul(1_000_000_000)
        .saturating_add(stat.ctime_nsec().max(0) as u64);
    let reader = rustix::process::geteuid().as_raw();
    let is_foreign = stat.uid() != 0 && stat.uid() != reader;
    let file = match is_foreign {
        // It will be mapped: its owner could cut it short, which would kill us with SIGBUS.
        true => copy(&file, stat.len())?,
        false => file,
    };
    Ok(Opened { file, path, inode: stat.ino(), is_foreign, changed_ns })
}

/// The directory and name that the path leads to.
fn walk(path: &Path) -> Result<(OwnedFd, OsString, PathBuf), Refusal> {
    if !path.is_absolute() {
        return Err(Refusal::Missing);
    }
    let reader = rustix::process::geteuid().as_raw();
    let directory_flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = || rustix::fs::openat(CWD, c"/", directory_flags, Mode::empty());
    let mut pending: Vec<OsString> = split(path.as_os_str());
    let mut directory = root()?;
    let mut walked = PathBuf::from("/");
    let mut links = 0;
    while let Some(name) = pending.pop() {
        if name == "." {
            continue;
        }
        if name == ".." {
            directory = rustix::fs::openat(&directory, c"..", directory_flags, Mode::empty())?;
            walked.pop();
            continue;
        }
        let stat = rustix::fs::statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Refusal::Unreadable(rustix::io::Errno::LOOP));
                }
                if stat.st_uid != 0 && stat.st_uid != reader {
                    return Err(Refusal::Link(stat.st_uid));
                }
                let target = rustix::fs::readlinkat(&directory, &name, Vec::new())?;
                let target = OsString::from_vec(target.into_bytes());
                if target.as_bytes().first() == Some(&b'/') {
                    directory = root()?;
                    walked = PathBuf::from("/");
                }
                pending.extend(split(&target));
            }
            FileType::Directory if !pending.is_empty() => {
                directory = rustix::fs::openat(&directory, &name, directory_flags, Mode::empty())?;
                walked.push(&name);
            }
            FileType::RegularFile if pending.is_empty() => {
                walked.push(&name);
                return Ok((directory, name, walked));
            }
            _ if pending.is_empty() => return Err(Refusal::NotRegular),
            _ => return Err(Refusal::Missing),
        }
    }
    Err(Refusal::NotRegular)
}

/// Components, last first.
fn split(path: &OsStr) -> Vec<OsString> {
    path.as_bytes()
        .rsplit(|b| *b == b'/')
        .filter(|part| !part.is_empty())
        .map(|part| OsStr::from_bytes(part).to_owned())
        .collect()
}

/// A private copy in memory.
fn copy(file: &File, bytes: u64) -> Result<File, Refusal> {
    if bytes > MAX_COPIED_BYTES {
        return Err(Refusal::TooLarge);
    }
    let copy = File::from(rustix::fs::memfd_create(c"resshim-module", MemfdFlags::CLOEXEC)?);
    let mut buffer = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < bytes {
        let failed = |_| Refusal::Unreadable(rustix::io::Errno::IO);
        let got = file.read_at(&mut buffer, offset).map_err(failed)?;
        if got == 0 {
            break;
        }
        copy.write_all_at(&buffer[..got], offset).map_err(failed)?;
        offset += got as u64;
    }
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbols::scratch::Scratch;
    use std::os::unix::fs::symlink;

    fn me() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    #[test]
    fn regular_files_of_the_user_are_opened() {
        let dir = Scratch::new("open");
        let file = dir.write("a", b"x");
        symlink("a", dir.path().join("own-link")).unwrap();
        assert!(open(&file, me(), 1).is_ok());
        let linked = open(&dir.path().join("own-link"), me(), 1).unwrap();
        assert!(linked.path.ends_with("a"), "{:?}", linked.path);
        assert_eq!(open(&file, me(), 0).unwrap_err(), Refusal::TooLarge);
    }

    #[test]
    fn pipes_directories_devices_and_loops_are_refused() {
        let dir = Scratch::new("refuse");
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        symlink("loop", dir.path().join("loop")).unwrap();
        let refused = |path: &Path| open(path, me(), MAX_BYTES).unwrap_err();
        assert_eq!(refused(&fifo), Refusal::NotRegular);
        assert_eq!(refused(dir.path()), Refusal::NotRegular);
        assert_eq!(refused(Path::new("/dev/zero")), Refusal::NotRegular);
        assert_eq!(refused(&dir.path().join("none")), Refusal::Missing);
        assert_eq!(refused(Path::new("relative")), Refusal::Missing);
        assert_eq!(refused(&dir.path().join("loop")), Refusal::Unreadable(rustix::io::Errno::LOOP));
    }

    #[test]
    fn links_and_files_of_others_are_refused() {
        // Only root can make files of others.
        if me() != 0 {
            return;
        }
        let dir = Scratch::new("foreign");
        let file = dir.write("a", b"x");
        let link = dir.path().join("link");
        symlink("a", &link).unwrap();
        let give = |path: &Path| std::os::unix::fs::lchown(path, Some(12345), None).unwrap();
        give(&link);
        assert_eq!(open(&link, 12345, MAX_BYTES).unwrap_err(), Refusal::Link(12345));
        give(&file);
        assert_eq!(open(&file, 54321, MAX_BYTES).unwrap_err(), Refusal::Foreign(12345));
        let copied = open(&file, 12345, MAX_BYTES).unwrap();
        std::fs::write(&file, b"").unwrap();
        let mut content = [0; 1];
        copied.file.read_exact_at(&mut content, 0).unwrap();
        assert_eq!(&content, b"x", "its owner cut it, the copy stays");
    }
}
