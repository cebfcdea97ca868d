//! Opens files that a traced process could have put there: regular ones, never through a link, of
//! our own user or root. No other module of the analyzer opens a file of a trace.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use crate::error::{Error, Result};

/// What the file will be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading, and freeing what was read.
    Drain,
}

/// Opens a regular file of ours or root's.
///
/// # Errors
/// [`Error::Input`] where it is something else, [`Error::Io`] where the system refuses.
pub fn regular(path: &Path, access: Access) -> Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = flags
        | match access {
            Access::Read => OFlags::RDONLY,
            Access::Drain => OFlags::RDWR,
        };
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(rustix::io::Errno::LOOP) => return Err(refused(path, "is a symbolic link")),
        Err(errno) => return Err(Error::io(path, errno.into())),
    };
    check_owner(path, &file, FileType::RegularFile)?;
    Ok(File::from(file))
}

/// Opens a directory of ours or root's, itself no link.
///
/// # Errors
/// As [`regular`].
pub fn directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::DIRECTORY | OFlags::RDONLY;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(rustix::io::Errno::LOOP) => return Err(refused(path, "is a symbolic link")),
        Err(errno) => return Err(Error::io(path, errno.into())),
    };
    check_owner(path, &file, FileType::Directory)?;
    Ok(file)
}

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// As [`regular`]; also where it is longer.
pub fn read_whole(path: &Path, limit: u64) -> Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = regular(path, Access::Read)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|source| Error::io(path, source))?;
    if bytes.len() as u64 > limit {
        return Err(refused(path, "is longer than such a file can be"));
    }
    Ok(bytes)
}

fn check_owner(path: &Path, file: &OwnedFd, wanted: FileType) -> Result<()> {
    let stat = rustix::fs::fstat(file).map_err(|errno| Error::io(path, errno.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != wanted {
        return Err(refused(path, "is no regular file"));
    }
    let euid = rustix::process::geteuid().as_raw();
    if stat.st_uid != euid && stat.st_uid != 0 {
        return Err(refused(path, "belongs to another user"));
    }
    Ok(())
}

fn refused(path: &Path, why: &str) -> Error {
    Error::input(path, why, "resshim reads only regular files of your own or root's")
}

/// Whether this is the error of a file that is not there.
pub fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_devices_are_refused() {
        let directory = std::env::temp_dir().join(format!("resshim-open-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let link = directory.join("link");
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        let error = regular(&link, Access::Read).unwrap_err();
        assert!(error.to_string().contains("symbolic link"), "{error}");
        let error = regular(Path::new("/dev/null"), Access::Read).unwrap_err();
        assert!(error.to_string().contains("no regular file"), "{error}");
        assert!(is_missing(&regular(&directory.join("none"), Access::Read).unwrap_err()));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
