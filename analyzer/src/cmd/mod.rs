//! The commands. Each takes its options and answers with the exit code, or with an error that
//! [`failure`] tells.

pub mod failure;
pub mod output;
pub mod schema;

use crate::cli::Command;

/// Does what the command line asks.
pub fn run(command: &Command) -> anyhow::Result<u8> {
    match command {
        Command::Schema(options) => schema::run(options),
    }
}
