//! `resshim snapshot`: what a live process holds and waits for now.

use std::time::{Duration, Instant};

use crate::analyze::snapshot::{Seen, add_scan, snapshot};
use crate::cli::{Format, Snapshot as Options};
use crate::cmd::output;
use crate::escape;
use crate::live::identity::{self, Identity};
use crate::live::{self, scan, traced};
use crate::snapshot::Snapshot;
use crate::symbols::source_line::SourceLines;
use crate::view::progress::Progress;
use crate::view::{Look, snapshot as view};

/// Looks in the time of `--for`, at most one a second.
const LOOKS: u32 = 6;

/// Looks at the process and prints what it holds.
pub fn run(options: &Options) -> anyhow::Result<u8> {
    let process = identity::of(options.pid)?;
    let _progress = Progress::start("looking at the process");
    let mut ended = None;
    let looks = looks(&process, options.duration, &mut ended)?;
    let mut shown = snapshot(&process, &looks);
    if options.scan && ended.is_none() {
        scan(&process, &mut shown);
    }
    if let Some(after) = ended {
        let after = crate::view::quantity::seconds(after.as_secs_f64());
        shown.unseen.push(format!("its end: it ended {after} after the first look"));
    }
    let sources = SourceLines::of(None);
    let look = match options.out.output {
        Some(_) => Look::plain(options.all, sources),
        None => Look::of(std::io::stdout(), options.all, sources),
    };
    let text = match options.out.format {
        Format::Table => view::table(&shown, &look),
        Format::Markdown => view::as_markdown(&shown, &look),
        Format::Json => {
            let json = serde_json::to_string_pretty(&shown)? + "\n";
            escape::json(&json).into_owned()
        }
    };
    output::write(&text, options.out.output.as_deref())?;
    Ok(0)
}

/// Looks for what nothing points to any more. Where that cannot be, it is said, and the rest is shown.
fn scan(process: &Identity, shown: &mut Snapshot) {
    let pid = process.id.pid;
    let why = match scan::scan(pid) {
        Ok(Some(found)) => match traced::of(pid) {
            Some(traced) => {
                let held = traced::by_site(&traced.region, &found.unreachable);
                return add_scan(shown, &found, &held);
            }
            None => "it has ended".to_owned(),
        },
        Ok(None) if process.id.is_alive() => "it is not traced: no block is known".to_owned(),
        Ok(None) => "it has ended".to_owned(),
        Err(error) => format!("its memory may not be read: {error} (that takes ptrace rights)"),
    };
    shown.unseen.push(format!("what is out of reach (--scan): {why}"));
}

/// The first look, and those that follow while the time runs.
fn looks(
    process: &Identity,
    time: Option<Duration>,
    ended: &mut Option<Duration>,
) -> anyhow::Result<Vec<Seen>> {
    let start = Instant::now();
    let look = || -> anyhow::Result<Option<Seen>> {
        Ok(live::Look::at(process)?.map(|look| (look, traced::of(process.id.pid))))
    };
    let gone = || {
        let what = format!("process {}", process.id.pid);
        let hint = "it was there a moment ago";
        crate::error::Error::input(std::path::Path::new(&what), "has ended", hint)
    };
    let mut all = vec![look()?.ok_or_else(gone)?];
    let Some(time) = time.filter(|time| !time.is_zero()) else { return Ok(all) };
    let count = (time.as_secs() as u32).clamp(2, LOOKS);
    for number in 1..=count {
        let due = start + time * number / count;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        match look()? {
            Some(seen) => all.push(seen),
            None => {
                *ended = Some(start.elapsed());
                break;
            }
        }
    }
    Ok(all)
}
