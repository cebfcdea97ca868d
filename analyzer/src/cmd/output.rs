//! Where a command's output goes: standard output or a file, in one write.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::error::Error;

/// Writes `text` to `file`, or to standard output.
///
/// A file is written beside its place and moved there: nobody reads half a report. What is no
/// regular file (`/dev/stdout`, a pipe) is written as it is.
pub fn write(text: &str, file: Option<&Path>) -> anyhow::Result<()> {
    match file {
        None => {
            let mut stdout = io::stdout().lock();
            stdout
                .write_all(text.as_bytes())
                .and_then(|()| stdout.flush())
                .context("standard output")
        }
        Some(path) => {
            if fs::metadata(path).is_ok_and(|data| !data.is_file()) {
                return fs::write(path, text).map_err(|error| Error::io(path, error).into());
            }
            // Through a link, its target is what is replaced.
            let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            let mut beside: PathBuf = path.clone();
            beside.as_mut_os_string().push(format!(".{}.new", std::process::id()));
            fs::write(&beside, text).and_then(|()| fs::rename(&beside, path)).map_err(|error| {
                let _ = fs::remove_file(&beside);
                Error::io(path, error).into()
            })
        }
    }
}
