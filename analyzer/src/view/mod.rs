//! A [`Report`] as a terminal's screen, JSON, markdown.
//!
//! Views never read records and decide nothing but order and words. Every string of a report is
//! data of the traced program: it passes [`crate::escape`] on its way, and no line of a view begins
//! with a string of a trace.

pub mod audit;
pub mod json;
pub mod markdown;
pub mod progress;
pub mod quantity;
pub mod screen;
pub mod snapshot;
pub mod table;
#[cfg(test)]
mod tests;
mod text;

use std::io::IsTerminal;
use std::os::fd::AsFd;

use crate::cli::Format;
use crate::escape;
use crate::report::Report;
use crate::symbols::source_line::SourceLines;

/// How a view looks.
#[derive(Debug)]
pub struct Look {
    /// Columns of a line.
    pub columns: usize,
    /// Whether severities are coloured.
    pub colour: bool,
    /// Everything, not the first screen alone.
    pub all: bool,
    /// Where source lines come from.
    pub sources: SourceLines,
}

impl Look {
    /// For a file or a pipe: 80 columns, no colour.
    pub fn plain(all: bool, sources: SourceLines) -> Look {
        Look { columns: 80, colour: false, all, sources }
    }

    /// For this stream: a terminal's own width and colour, unless `NO_COLOR` or a dumb terminal forbid it.
    pub fn of(stream: impl AsFd + IsTerminal, all: bool, sources: SourceLines) -> Look {
        if !stream.is_terminal() {
            return Look::plain(all, sources);
        }
        let columns = match rustix::termios::tcgetwinsize(&stream) {
            Ok(size) if size.ws_col > 0 => usize::from(size.ws_col).clamp(40, 200),
            _ => 80,
        };
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Look { columns, colour: !forbidden, all, sources }
    }
}

/// The report in this format.
pub fn render(report: &Report, format: Format, look: &Look) -> anyhow::Result<String> {
    Ok(match format {
        Format::Json => json::render(report)?,
        // Its own lines begin with `##`; no string of a trace begins one.
        Format::Markdown => markdown::render(report, look),
        Format::Table if look.all => escape::guard_lines(&table::render(report, look)).into_owned(),
        Format::Table => escape::guard_lines(&screen::render(report, look)).into_owned(),
    })
}

/// Verdict and trace in two lines, for where nobody looks at a screen.
pub fn two_lines(report: &Report) -> String {
    let trace = text::shell_word(&report.trace.path);
    let lines = format!("resshim: {}\nresshim: trace {trace}\n", text::verdict(report, 200));
    escape::guard_lines(&lines).into_owned()
}
