//! What `run` says when CMD has ended, and what it exits with.

use std::io::{IsTerminal, Write};
use std::path::Path;

use crate::analyze;
use crate::cli::{Format, ReportTo, Run};
use crate::cmd::{failure, report};
use crate::error::EXIT_RUN_FAILED;
use crate::escape::visible;
use crate::report::Report;
use crate::rules::Rules;
use crate::source::manifest::Manifest;
use crate::view;

/// Says what was found, and where the trace is; gives the exit code: CMD's own, or that of
/// `--fail-on` where CMD succeeded and a rule matched.
///
/// A report that cannot be made is told. It is a failure of `run` only where it was asked for: who
/// asked for CMD alone gets CMD's status.
///
/// # Errors
/// Where the report could be made but not written.
pub fn tell(
    options: &Run,
    rules: &Rules,
    trace: &Path,
    manifest: &Manifest,
    code: u8,
) -> anyhow::Result<u8> {
    let judging = &options.judging;
    if options.report == Some(ReportTo::None) && judging.fail_on.is_none() {
        // Nobody reads it now: whoever does finds the names of the program that ran, which may be
        // another one by then. A trace that cannot be read is told by the command that reads it.
        let _ = analyze::store_names(trace);
        return Ok(code);
    }
    if options.report != Some(ReportTo::None) {
        let collector = &manifest.collector;
        let stopped = collector.stopped.iter().map(|why| format!("collecting stopped: {why}"));
        for line in stopped.chain(collector.problems.iter().cloned()) {
            let _ = writeln!(std::io::stderr(), "resshim: {}", visible(&line));
        }
        // The trace may be gone; what the shim wrote is not.
        if let Some(rest) = collector.stopped.as_ref().and(manifest.live_dir.as_ref()) {
            let rest = visible(&rest.to_string_lossy()).into_owned();
            let _ = writeln!(std::io::stderr(), "resshim: what was not stored is in {rest}");
        }
    }
    let found = match report::of(trace, judging, rules, None) {
        Ok(found) => found,
        Err(error) => {
            failure::tell(&error);
            let is_asked = options.report.is_some() || judging.fail_on.is_some();
            return Ok(if is_asked { EXIT_RUN_FAILED } else { code });
        }
    };
    print(options, &found)?;
    let has_failed = report::fails(&found, judging);
    Ok(if code == 0 && has_failed { options.fail_code } else { code })
}

fn print(options: &Run, found: &Report) -> anyhow::Result<()> {
    let judging = &options.judging;
    let two_lines = || std::io::stderr().lock().write_all(view::two_lines(found).as_bytes());
    match &options.report {
        Some(ReportTo::None) => {}
        Some(ReportTo::Print(format, file)) => {
            report::print(found, judging, *format, file.as_ref())?;
            if file.is_some() {
                two_lines()?;
            }
        }
        None if std::io::stderr().is_terminal() => {
            report::print(found, judging, Format::Table, None)?;
        }
        None => two_lines()?,
    }
    Ok(())
}
