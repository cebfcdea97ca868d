//! How a failure is told: `resshim: WHAT: WHY`, a hint, an exit code. Never a backtrace.
//!
//! A closed pipe is no failure: who reads the first ten lines of a report wanted ten lines.

use std::io::{self, Write};

use crate::error::{EXIT_BAD_INPUT, Error};
use crate::escape::visible;

/// Replaces the message and the backtrace of a panic by one line; the exit code is 2, not 101.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place =
            panic.location().map_or(String::new(), |at| format!("{}:{}", at.file(), at.line()));
        let text = panic
            .payload()
            .downcast_ref::<&str>()
            .map(|text| text.to_string())
            .or_else(|| panic.payload().downcast_ref::<String>().cloned())
            .unwrap_or_default();
        say(&format!("defect in resshim at {place}: {text}"), "please report it with the command");
        std::process::exit(i32::from(EXIT_BAD_INPUT));
    }));
}

/// Tells why a command failed, and gives its exit code.
pub fn tell(error: &anyhow::Error) -> u8 {
    if error.chain().any(is_closed_pipe) {
        return 0;
    }
    let own = error.chain().find_map(|cause| cause.downcast_ref::<Error>());
    say(&chain(error), own.map_or("", Error::hint));
    own.map_or(EXIT_BAD_INPUT, Error::exit_code)
}

/// The chain of causes in one line, without what a cause repeats of the one before.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

fn is_closed_pipe(cause: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(cause);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
        {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Prints what clap has to say: help and version are a success, the rest is one line and a hint.
pub fn usage(error: &clap::Error) -> u8 {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Nobody is left to be told if this fails.
            let _ = error.print();
            0
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            EXIT_BAD_INPUT
        }
        _ => {
            let text = error.render().to_string();
            let mut parts = text.split("\n\n");
            let what = parts.next().unwrap_or_default().trim_start_matches("error: ");
            let tip = parts.next().map(str::trim).and_then(|part| part.strip_prefix("tip: "));
            let usage = text.lines().find_map(|line| line.strip_prefix("Usage: "));
            let hint = match (tip, usage) {
                (Some(tip), _) => tip.to_string(),
                (None, Some(usage)) => usage.to_string(),
                (None, None) => "resshim --help".to_string(),
            };
            say(&format!("bad usage: {}", squeeze(what)), &squeeze(&hint));
            EXIT_BAD_INPUT
        }
    }
}

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// One line: what scripts and logs keep of it is all of it.
fn say(what: &str, hint: &str) {
    let hint = if hint.is_empty() { String::new() } else { format!(" (hint: {})", visible(hint)) };
    let _ = writeln!(io::stderr().lock(), "resshim: {}{hint}", visible(what));
}
