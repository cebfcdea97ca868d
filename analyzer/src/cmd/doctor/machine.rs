//! What this machine offers: the shim's library, a place for its regions.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Answer;
use crate::cmd::library;
use crate::collect::live;
use crate::view::quantity::bytes;

/// Less than this in the file system of the regions, and events are lost early.
const LITTLE: u64 = 32 << 20;

/// Looks at it.
pub fn look() -> Vec<Answer> {
    let library = match library::find() {
        Ok(path) => Answer::fine(format!("the shim is {}", path.display())),
        Err(error) => Answer::no(error.to_string(), error.hint()),
    };
    vec![library, place()]
}

/// The directory for regions, or what would be its parent.
fn place() -> Answer {
    let chosen = std::env::var_os("RESSHIM_OUT").filter(|value| !value.is_empty());
    let directory = chosen.map_or_else(live::default_directory, PathBuf::from);
    let shown = directory.display();
    let elsewhere = "set RESSHIM_OUT to a directory that is yours alone, best on tmpfs";
    let room = match std::fs::symlink_metadata(&directory) {
        Ok(data) if !data.is_dir() => {
            return Answer::note(
                format!("{shown} is no directory: nothing is recorded"),
                elsewhere,
            );
        }
        Ok(data) if data.uid() != rustix::process::geteuid().as_raw() => {
            return Answer::note(
                format!("{shown} belongs to user {}: it is not used", data.uid()),
                elsewhere,
            );
        }
        Ok(data) if data.mode() & 0o022 != 0 => {
            return Answer::note(
                format!("others can write {shown}: it is not used"),
                format!("chmod go-w {shown}"),
            );
        }
        Ok(_) => directory.clone(),
        Err(_) => match directory.parent().filter(|parent| parent.is_dir()) {
            Some(parent) if is_writable(parent) => parent.to_owned(),
            _ => {
                let text = format!("{shown} cannot be made: nothing is recorded");
                return Answer::note(text, elsewhere);
            }
        },
    };
    let Ok(data) = rustix::fs::statvfs(&room) else {
        return Answer::note(format!("{} cannot be looked at", room.display()), elsewhere);
    };
    let free = data.f_bavail.saturating_mul(data.f_frsize);
    match free < LITTLE {
        true => Answer::note(
            format!("only {} are free for {shown}: events may be lost", bytes(free)),
            "make it larger (docker run --shm-size=256m), or set RESSHIM_OUT to another tmpfs",
        ),
        false => Answer::fine(format!("regions go to {shown} ({} free)", bytes(free))),
    }
}

fn is_writable(directory: &Path) -> bool {
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    CString::new(directory.as_os_str().as_bytes())
        .is_ok_and(|path| rustix::fs::access(path.as_c_str(), access).is_ok())
}
