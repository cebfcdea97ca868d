//! What `run` says when CMD has ended.

use std::io::{IsTerminal, Write};
use std::path::Path;

use crate::cli::{ReportTo, Run};
use crate::escape::visible;
use crate::source::manifest::Manifest;

/// Says what was collected, and where it is; gives the exit code.
///
/// # Errors
/// Where a report was asked for and cannot be made.
pub fn tell(options: &Run, trace: &Path, manifest: &Manifest, code: u8) -> anyhow::Result<u8> {
    if options.report == Some(ReportTo::None) {
        return Ok(code);
    }
    let mut stderr = std::io::stderr().lock();
    if let Some(why) = &manifest.collector.stopped {
        let _ = writeln!(stderr, "resshim: collecting stopped: {}", visible(why));
    }
    for problem in &manifest.collector.problems {
        let _ = writeln!(stderr, "resshim: {}", visible(problem));
    }
    let _ = stderr.is_terminal();
    let regions = manifest.collector.regions;
    let _ = writeln!(stderr, "resshim: {regions} process images recorded");
    let _ = writeln!(stderr, "resshim: trace {}", visible(&trace.display().to_string()));
    Ok(code)
}
