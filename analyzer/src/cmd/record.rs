//! `resshim record`: the collector alone, for processes that were started with a bare `LD_PRELOAD`.
//!
//! It ends with a signal, or when the processes that it was given have ended. What it has not
//! stored stays in the directory of the shim, and a later `record` with the same trace goes on.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};

use resshim_format::index::REGION_SUFFIX;
use rustix::event::{PollFd, PollFlags};

use super::run::signals::Signals;
use super::run::{new_manifest, raise_own_limit, wait};
use super::traces;
use crate::analyze;
use crate::cli::Record;
use crate::collect::store::Existing;
use crate::collect::{Collector, Options, live, proc};
use crate::error::{Error, Result};
use crate::escape::visible;
use crate::source::open;

/// What is to be recorded.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sources {
    directory: Option<PathBuf>,
    pids: HashSet<u32>,
}

/// Collects until a signal comes, or the given processes have ended.
///
/// # Errors
/// Where there is nothing to record, or the trace cannot be made.
pub fn run(options: &Record) -> anyhow::Result<u8> {
    let sources = sources(&options.sources)?;
    let directory = sources.directory.clone().unwrap_or_else(live::default_directory);
    if directory.exists() {
        open::directory(&directory)?;
    } else if sources.directory.is_some() {
        return Err(Error::io(&directory, std::io::ErrorKind::NotFound.into()).into());
    }
    let trace = options.output.clone();
    let trace = trace.unwrap_or_else(|| traces::default_trace(OsStr::new("record")));
    let mut collector = Collector::open(Options {
        live: directory.clone(),
        trace,
        existing: Existing::Continue,
        manifest: new_manifest(),
        max_bytes: options.max_bytes,
        only: sources.pids.clone(),
    })?;
    raise_own_limit();
    let signals = Signals::take().map_err(|source| Error::io(&directory, source))?;
    say(&format!("recording {} (interrupt to end)", directory.display()));
    let mut stopped = false;
    loop {
        collector.round();
        let ended = !sources.pids.is_empty()
            && collector.living() == 0
            && sources.pids.iter().all(|pid| proc::stat(*pid).is_none());
        if ended || !signals.came().is_empty() {
            break;
        }
        if let (false, Some(why)) = (stopped, collector.manifest().collector.stopped.clone()) {
            stopped = true;
            say(&format!("collecting stopped: {why}"));
        }
        wait(vec![PollFd::from_borrowed_fd(signals.waker(), PollFlags::IN)], &collector);
    }
    let trace = collector.trace().to_owned();
    let manifest = collector.finish();
    for problem in &manifest.collector.problems {
        say(problem);
    }
    if let Err(error) = analyze::store_names(&trace) {
        say(&format!("no names were stored: {error}"));
    }
    say(&format!("trace {}", trace.display()));
    Ok(0)
}

fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "resshim: {}", visible(line));
}

fn sources(given: &[OsString]) -> Result<Sources> {
    let mut sources = Sources::default();
    for source in given {
        let pid = source.to_str().and_then(|text| text.parse::<u32>().ok());
        let directory = match pid {
            Some(pid) => {
                sources.pids.insert(pid);
                directory_of(pid)?
            }
            None => PathBuf::from(source),
        };
        if sources.directory.as_ref().is_some_and(|known| *known != directory) {
            return Err(Error::Usage {
                what: directory.display().to_string(),
                why: "one trace holds one directory of the shim".into(),
                hint: "start another `resshim record` for it".into(),
            });
        }
        sources.directory = Some(directory);
    }
    Ok(sources)
}

/// Where the region of a process lies: its mapping tells.
fn directory_of(pid: u32) -> Result<PathBuf> {
    let maps = PathBuf::from(format!("/proc/{pid}/maps"));
    let text = std::fs::read_to_string(&maps).map_err(|source| Error::io(&maps, source))?;
    if let Some(directory) = mapped_region(&text) {
        return Ok(directory);
    }
    if text.contains("/libresshim") {
        // It has not made a region yet; it will, in the place that its environment names.
        return Ok(named_directory(pid).unwrap_or_else(live::default_directory));
    }
    let hint = "start it with `resshim run`, or with the line that `resshim env` prints";
    Err(Error::input(Path::new(&format!("process {pid}")), "is not traced", hint))
}

fn mapped_region(maps: &str) -> Option<PathBuf> {
    let is_region = |path: &&str| path.ends_with(REGION_SUFFIX);
    let path = maps.lines().filter_map(|line| Some(&line[line.find('/')?..])).find(is_region)?;
    Path::new(path).parent().map(Path::to_owned)
}

fn named_directory(pid: u32) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = environment
        .split(|byte| *byte == 0)
        .find_map(|variable| variable.strip_prefix(b"RESSHIM_OUT="))?;
    (!value.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_a_process_is_that_of_its_mapping() {
        let maps = "7f00-7f10 r-xp 0 00:01 5   /usr/lib/libc.so.6\n\
                    7f20-7f30 rw-s 0 00:1b 9   /dev/shm/my shim/7-00000000000000aa.region\n";
        assert_eq!(mapped_region(maps), Some(PathBuf::from("/dev/shm/my shim")));
        assert_eq!(mapped_region("7f00-7f10 r-xp 0 00:01 5 /usr/lib/libc.so.6\n"), None);
    }

    #[test]
    fn an_untraced_process_and_two_directories_are_refused() {
        let own = [OsString::from(std::process::id().to_string())];
        let error = sources(&own).unwrap_err().to_string();
        assert!(error.contains("is not traced"), "{error}");
        let two = [OsString::from("/a"), OsString::from("/b")];
        assert!(sources(&two).unwrap_err().to_string().contains("one directory"));
        assert_eq!(sources(&[]).unwrap(), Sources::default());
    }
}
