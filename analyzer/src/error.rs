//! What can go wrong for a user, and what the command exits with.
//!
//! A message is `WHAT: WHY`, printed as `resshim: WHAT: WHY` by `main`; the hint says what to do.
//! Text that comes from a file is escaped where it is printed, not here.

use std::io;
use std::path::{Path, PathBuf};

/// Result of what can end a command.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Exit code of bad usage and of input that cannot be read.
pub const EXIT_BAD_INPUT: u8 = 2;
/// Exit code of `run` where resshim itself failed.
pub const EXIT_RUN_FAILED: u8 = 125;

/// An error that ends a command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A trace (or another input) that cannot be used.
    #[error("{}: {why}", path.display())]
    Input {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// What to do.
        hint: String,
    },
    /// Something could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The arguments make no sense together.
    #[error("{what}: {why}")]
    Usage {
        /// The argument.
        what: String,
        /// What is wrong with it.
        why: String,
        /// What to do.
        hint: String,
    },
    /// `run` could not do its work (exit code 125).
    #[error("{what}: {why}")]
    Run {
        /// What failed.
        what: String,
        /// Why.
        why: String,
        /// What to do.
        hint: String,
    },
    /// CMD of `run` could not be started: exit code 127 or 126, as a shell's.
    #[error("{command}: {}", start_failure(source))]
    Start {
        /// CMD as it was given.
        command: String,
        /// The system's answer.
        source: io::Error,
    },
}

/// As a shell words it.
fn start_failure(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::NotFound => "command not found".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => source.to_string(),
    }
}

impl Error {
    /// An input that cannot be used.
    pub fn input(path: &Path, why: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::Input { path: path.to_owned(), why: why.into(), hint: hint.into() }
    }

    /// A failed read or write of `path`.
    pub fn io(path: &Path, source: io::Error) -> Error {
        Error::Io { path: path.to_owned(), source }
    }

    /// What the command exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Run { .. } => EXIT_RUN_FAILED,
            Error::Start { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Error::Start { .. } => 126,
            Error::Input { .. } | Error::Io { .. } | Error::Usage { .. } => EXIT_BAD_INPUT,
        }
    }

    /// What the user can do.
    pub fn hint(&self) -> &str {
        match self {
            Error::Input { hint, .. } | Error::Usage { hint, .. } | Error::Run { hint, .. } => hint,
            Error::Start { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => "is the name right? it is looked for in PATH",
                _ => "it must be an executable file",
            },
            Error::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => "is the name right?",
                io::ErrorKind::PermissionDenied => "run it as the user that owns it",
                io::ErrorKind::StorageFull => "make room, or choose another place with -o",
                _ => "try another place",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_does_not_start_gives_the_exit_code_of_a_shell() {
        let start = |kind: io::ErrorKind| Error::Start { command: "x".into(), source: kind.into() };
        assert_eq!(start(io::ErrorKind::NotFound).exit_code(), 127);
        assert_eq!(start(io::ErrorKind::PermissionDenied).exit_code(), 126);
    }
}
