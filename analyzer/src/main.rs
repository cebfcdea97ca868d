//! The `resshim` command: parse, dispatch, say what went wrong, exit.

use std::process::ExitCode;

use clap::Parser;
use resshim_analyzer::cli::Cli;
use resshim_analyzer::cmd;

fn main() -> ExitCode {
    cmd::failure::quiet_panics();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(cmd::failure::usage(&error)),
    };
    ExitCode::from(match cmd::run(&cli.command) {
        Ok(code) => code,
        Err(error) => cmd::failure::tell(&error),
    })
}
