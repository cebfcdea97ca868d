//! The commands. Each takes its options and answers with the exit code, or with an error that
//! [`failure`] tells.

pub mod audit;
pub mod doctor;
pub mod env;
pub mod failure;
pub mod gc;
pub mod library;
pub mod newest;
pub mod output;
pub mod record;
pub mod report;
pub mod run;
pub mod schema;
pub mod snapshot;
pub mod traces;

use crate::cli::Command;

/// Does what the command line asks.
pub fn run(command: &Command) -> anyhow::Result<u8> {
    match command {
        Command::Run(options) => run::run(options),
        Command::Record(options) => record::run(options),
        Command::Env(_) => env::run(),
        Command::Gc(options) => gc::run(options),
        Command::Report(options) => report::run(options),
        Command::Audit(options) => audit::run(options),
        Command::Snapshot(options) => snapshot::run(options),
        Command::Doctor(options) => doctor::run(options),
        Command::Schema(options) => schema::run(options),
    }
}
