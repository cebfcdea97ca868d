//! `resshim report`: lifecycles and findings of traces.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::analyze::{self, analyze};
use crate::cli::{Format, Judging, Report as Options};
use crate::cmd::{newest, output};
use crate::escape::visible;
use crate::report::Report;
use crate::rules::Rules;
use crate::symbols::source_line::SourceLines;
use crate::view::progress::Progress;
use crate::view::{self, Look};

/// Exit code where `--fail-on` matched.
const EXIT_FOUND: u8 = 1;

/// Prints the reports that the options ask for.
pub fn run(options: &Options) -> anyhow::Result<u8> {
    let traces = match options.traces.as_slice() {
        [] => vec![newest::choose()?],
        given => given.to_vec(),
    };
    let rules = Rules::of(options.judging.config.as_deref())?;
    let reports: Vec<Report> = traces
        .iter()
        .map(|trace| of(trace, &options.judging, &rules, options.pid))
        .collect::<anyhow::Result<_>>()?;
    let text = texts(&reports, options)?;
    output::write(&text, options.out.output.as_deref())?;
    // Every trace's match is said, not the first one's alone.
    let failed = reports.iter().filter(|report| fails(report, &options.judging)).count();
    Ok(if failed > 0 { EXIT_FOUND } else { 0 })
}

/// Several reports stand one behind the other; JSON becomes a stream of documents.
fn texts(reports: &[Report], options: &Options) -> anyhow::Result<String> {
    let sources = || SourceLines::of(options.judging.source.as_deref());
    let look = match options.out.output {
        Some(_) => Look::plain(options.all, sources()),
        None => Look::of(std::io::stdout(), options.all, sources()),
    };
    let mut text = String::new();
    for report in reports {
        if !text.is_empty() && options.out.format != Format::Json {
            text.push('\n');
        }
        text.push_str(&view::render(report, options.out.format, &look)?);
    }
    Ok(text)
}

/// The report of a trace.
///
/// # Errors
/// Where it is no trace, or cannot be read.
pub fn of(
    trace: &Path,
    judging: &Judging,
    rules: &Rules,
    pid: Option<u32>,
) -> anyhow::Result<Report> {
    let _progress = Progress::start("reading the trace");
    let asked = analyze::Options { at_exit: judging.at_exit, pid, rules: rules.clone() };
    let mut report = analyze(trace, &asked)?;
    // The next command is to be copied into any shell.
    if let Ok(path) = std::path::absolute(trace) {
        report.trace.path = path.to_string_lossy().into_owned();
    }
    Ok(report)
}

/// Whether `--fail-on` matches the report; it is said on standard error.
pub fn fails(report: &Report, judging: &Judging) -> bool {
    let rules = judging.fail_on.as_ref();
    let Some((rule, count)) = rules.and_then(|rules| rules.first_match(report, judging.at_exit))
    else {
        return false;
    };
    let what = if count == 1 { "resource" } else { "resources" };
    let rule = visible(rule);
    let _ = writeln!(std::io::stderr(), "resshim: --fail-on {rule} matched: {count} {what}");
    true
}

/// Prints a report for `run`: on standard error, or to the file.
///
/// # Errors
/// Where it cannot be rendered or written.
pub fn print(
    report: &Report,
    judging: &Judging,
    format: Format,
    file: Option<&PathBuf>,
) -> anyhow::Result<()> {
    let sources = SourceLines::of(judging.source.as_deref());
    match file {
        Some(file) => {
            let text = view::render(report, format, &Look::plain(false, sources))?;
            output::write(&text, Some(file))
        }
        None => {
            let text = view::render(report, format, &Look::of(std::io::stderr(), false, sources))?;
            Ok(std::io::stderr().lock().write_all(text.as_bytes())?)
        }
    }
}
