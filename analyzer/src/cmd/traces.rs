//! Where traces are: the default places of `run` and `record`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// `${XDG_STATE_HOME:-~/.local/state}/resshim`; without a home, a directory of ours in `/var/tmp`.
pub fn directory() -> PathBuf {
    let absolute = |name: &str| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    state.map_or_else(
        || {
            let user = rustix::process::geteuid().as_raw();
            PathBuf::from(format!("/var/tmp/resshim-{user}"))
        },
        |state| state.join("resshim"),
    )
}

/// The default trace of `command`: its file name and our pid.
pub fn default_trace(command: &OsStr) -> PathBuf {
    let name = Path::new(command).file_name().unwrap_or(OsStr::new("run"));
    let mut file = name.to_owned();
    file.push(format!(".{}", std::process::id()));
    directory().join(file)
}
