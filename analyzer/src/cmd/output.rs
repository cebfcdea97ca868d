//! Where a command's output goes: standard output or a file, in one write.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::error::Error;

/// Output that is made in portions: to standard output, or to a file that is there when it is whole.
pub struct Stream {
    to: io::BufWriter<Box<dyn Write>>,
    /// Written beside its place, moved there in the end.
    place: Option<(PathBuf, PathBuf)>,
}

impl Stream {
    /// To `file`, or to standard output.
    ///
    /// # Errors
    /// Where the file cannot be made.
    pub fn open(file: Option<&Path>) -> anyhow::Result<Stream> {
        let Some(path) = file else {
            return Ok(Stream { to: io::BufWriter::new(Box::new(io::stdout())), place: None });
        };
        if fs::metadata(path).is_ok_and(|data| !data.is_file()) {
            let file = fs::OpenOptions::new().write(true).open(path);
            let file = file.map_err(|error| Error::io(path, error))?;
            return Ok(Stream { to: io::BufWriter::new(Box::new(file)), place: None });
        }
        let (path, beside) = beside(path);
        let file = fs::File::create(&beside).map_err(|error| Error::io(&path, error))?;
        Ok(Stream { to: io::BufWriter::new(Box::new(file)), place: Some((beside, path)) })
    }

    /// Adds a portion.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&mut self, text: &str) -> anyhow::Result<()> {
        self.to.write_all(text.as_bytes()).context("the output")
    }

    /// Ends it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn finish(mut self) -> anyhow::Result<()> {
        self.to.flush().context("the output")?;
        if let Some((beside, path)) = self.place.take() {
            fs::rename(&beside, &path).map_err(|error| Error::io(&path, error))?;
        }
        Ok(())
    }
}

impl Drop for Stream {
    /// Half a file is none.
    fn drop(&mut self) {
        if let Some((beside, _)) = &self.place {
            let _ = fs::remove_file(beside);
        }
    }
}

/// The file itself (through a link, its target is what is replaced), and where it is written first.
fn beside(path: &Path) -> (PathBuf, PathBuf) {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut beside = path.clone();
    beside.as_mut_os_string().push(format!(".{}.new", std::process::id()));
    (path, beside)
}

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
            let (path, beside) = beside(path);
            fs::write(&beside, text).and_then(|()| fs::rename(&beside, &path)).map_err(|error| {
                let _ = fs::remove_file(&beside);
                Error::io(&path, error).into()
            })
        }
    }
}
