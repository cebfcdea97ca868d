//! `resshim run`: starts CMD under the shim, collects its whole process tree, ends as CMD ended.
//!
//! CMD is a plain child in our own process group, so that a terminal serves it as if it had been
//! started by the shell. Nothing of resshim stands in its way: where collecting fails it runs on.

mod ending;
mod runtime_hooks;
pub mod signals;

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use self::signals::Signals;
use super::{failure, library, traces};
use crate::cli::{Profile, Run};
use crate::collect::store::Existing;
use crate::collect::{Collector, Options, live, proc};
use crate::error::{EXIT_RUN_FAILED, Error, Result};
use crate::rules::Rules;
use crate::source::manifest::{Manifest, TRACE_VERSION};
use resshim_format::arguments::{Arguments, Kept};

/// How long processes that end together with CMD are waited for.
const STRAGGLERS: Duration = Duration::from_millis(100);

/// How often descendants without a region are looked for.
const DESCENDANTS: Duration = Duration::from_millis(200);

/// Runs CMD; the exit code is CMD's.
///
/// # Errors
/// Where resshim itself failed (125), or CMD could not be started (126, 127).
pub fn run(options: &Run) -> anyhow::Result<u8> {
    let Some(name) = options.command.first() else { return Ok(0) };
    // Before CMD: what it would be judged by must make sense.
    let rules = Rules::of(options.judging.config.as_deref())?;
    let mut collector = prepare(options, name).map_err(own)?;
    let status = supervise(options, name, &mut collector);
    let trace = collector.trace().to_owned();
    let status = match status {
        Ok(status) => status,
        Err(error) => {
            // A trace of nothing helps nobody.
            collector.finish();
            let _ = std::fs::remove_dir_all(trace);
            return Err(error.into());
        }
    };
    let manifest = collector.finish();
    let code = exit_code(status);
    // A report that nobody could be shown does not hide how CMD ended.
    Ok(ending::tell(options, &rules, &trace, &manifest, code).unwrap_or_else(|error| {
        let own = failure::tell(&error);
        if code == 0 && own != 0 { EXIT_RUN_FAILED } else { code }
    }))
}

/// An error of resshim itself: 125, so that it is not taken for CMD's.
fn own(error: Error) -> Error {
    match error {
        Error::Run { .. } | Error::Start { .. } => error,
        _ => {
            let hint = error.hint().to_owned();
            let text = error.to_string();
            let (what, why) = text.rsplit_once(": ").unwrap_or((&text, "failed"));
            Error::Run { what: what.to_owned(), why: why.to_owned(), hint }
        }
    }
}

fn prepare(options: &Run, name: &OsStr) -> Result<Collector> {
    let trace = options.output.clone().unwrap_or_else(|| traces::default_trace(name));
    let live = live::make()?;
    let manifest = Manifest {
        command: named(&options.command),
        profile: options.profile.unwrap_or(Profile::Default).name().to_owned(),
        at_exit: options.judging.at_exit,
        ..new_manifest()
    };
    let opened = Collector::open(Options {
        live: live.clone(),
        trace,
        existing: Existing::Replace,
        manifest,
        max_bytes: None,
        only: HashSet::new(),
    });
    opened.inspect_err(|_| {
        live::remove(&live);
    })
}

/// What the trace says of the command: as little as the shim says of a process, its program and the
/// script that an interpreter was given.
fn named(command: &[OsString]) -> Vec<String> {
    let program = command.first().map(|name| Path::new(name).file_name().unwrap_or(name));
    let mut arguments = Arguments::of(program.unwrap_or_default().as_bytes(), false);
    let kept = command.iter().filter_map(|part| match arguments.next(part.as_bytes()) {
        Kept::Whole(name) => Some(String::from_utf8_lossy(name).into_owned()),
        Kept::Nothing | Kept::Beginning(_) | Kept::Hidden => None,
    });
    kept.collect()
}

/// What every new trace says.
pub fn new_manifest() -> Manifest {
    let realtime = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Manifest {
        format_version: TRACE_VERSION,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        host: host.trim().to_owned(),
        started_realtime_ns: realtime.map_or(0, |time| time.as_nanos() as u64),
        started_monotonic_ns: proc::monotonic_ns(),
        ..Manifest::default()
    }
}

/// CMD with the environment of the shim.
fn command(options: &Run, name: &OsStr, collector: &mut Collector) -> Result<Command> {
    let live = collector.manifest().live_dir.clone().unwrap_or_default();
    let library = library::find()?;
    let mut command = Command::new(name);
    command.args(&options.command[1..]);
    let program: Option<PathBuf> = library::resolve(name);
    if !options.no_runtime_hooks && options.profile != Some(Profile::Off) {
        let hooks = runtime_hooks::of(program.as_deref(), &library);
        command.envs(hooks.variables);
        collector.manifest().runtime_hooks = hooks.said;
    }
    let first = program.as_deref().and_then(library::sanitizer);
    let before: Option<OsString> = std::env::var_os("LD_PRELOAD");
    command.env("LD_PRELOAD", library::preload(first.as_deref(), &library, before.as_deref()));
    command.env("RESSHIM_OUT", live);
    if let Some(profile) = options.profile {
        command.env("RESSHIM_PROFILE", profile.name());
    }
    if options.judging.at_exit && std::env::var_os("RESSHIM_HEAP_SAMPLE").is_none() {
        command.env("RESSHIM_HEAP_SAMPLE", "1");
    }
    Ok(command)
}

/// Starts CMD, as often as was asked, and collects until the last one has ended.
fn supervise(options: &Run, name: &OsStr, collector: &mut Collector) -> Result<ExitStatus> {
    let live = collector.manifest().live_dir.clone().unwrap_or_default();
    let mut command = command(options, name, collector).map_err(own)?;
    let failed = |source: std::io::Error| own(Error::io(&live, source));
    let signals = Signals::take().map_err(failed)?;
    let mut first_failure: Option<ExitStatus> = None;
    for _ in 0..options.repeat.max(1) {
        let spawned = command.spawn();
        let mut child = spawned.map_err(|source| start_error(name, source))?;
        raise_own_limit();
        collector.manifest().command_pid = child.id();
        collector.write_manifest();
        let status = follow(&mut child, &signals, collector).map_err(failed)?;
        collector.manifest().command_end = Some(end_word(status));
        if !status.success() {
            first_failure.get_or_insert(status);
            if status.signal().is_some() {
                break;
            }
        }
    }
    wait_for_tree(options.wait_tree, &signals, collector);
    Ok(first_failure.unwrap_or_else(|| ExitStatus::from_raw(0)))
}

fn start_error(name: &OsStr, source: std::io::Error) -> Error {
    Error::Start { command: name.to_string_lossy().into_owned(), source }
}

/// A collector holds a file and a pidfd for each process. Raised after CMD has started: the limit is
/// inherited, and CMD is to find its own.
pub fn raise_own_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    let _ = setrlimit(Resource::Nofile, raised);
}

/// Collects until `child` has ended.
fn follow(
    child: &mut Child,
    signals: &Signals,
    collector: &mut Collector,
) -> std::io::Result<ExitStatus> {
    let pid = Pid::from_raw(child.id() as i32);
    let pidfd = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        for (signal, sent) in signals.came() {
            // Not waited for yet: the number is still that of our child.
            if let (true, Some(pid), Some(signal)) = (sent, pid, Signal::from_named_raw(signal)) {
                let _ = rustix::process::kill_process(pid, signal);
            }
        }
        collector.round();
        let mut fds = vec![PollFd::from_borrowed_fd(signals.waker(), PollFlags::IN)];
        fds.extend(pidfd.as_ref().map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)));
        wait(fds, collector);
    }
}

/// Until the next round, or until something has happened.
pub fn wait<'a>(mut fds: Vec<PollFd<'a>>, collector: &'a Collector) {
    fds.extend(collector.wakers().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
    let interval = collector.interval();
    let timeout = Timespec { tv_sec: 0, tv_nsec: interval.as_nanos() as i64 };
    // An interruption is a signal: the loop looks.
    let _ = poll(&mut fds, Some(&timeout));
}

/// Descendants that are still there: all of them with `--wait-tree`, else those that are just ending.
fn wait_for_tree(wait_tree: bool, signals: &Signals, collector: &mut Collector) {
    let start = Instant::now();
    let mut looked: Option<Instant> = None;
    loop {
        collector.round();
        if collector.living() == 0 {
            // Looking through `/proc` is not for every round.
            let due = looked.is_none_or(|at| at.elapsed() >= DESCENDANTS);
            if !wait_tree || (due && !collector.has_descendants()) {
                return;
            }
            if due {
                looked = Some(Instant::now());
            }
        }
        let interrupted = wait_tree && !signals.came().is_empty();
        if interrupted || (!wait_tree && start.elapsed() >= STRAGGLERS) {
            return;
        }
        wait(vec![PollFd::from_borrowed_fd(signals.waker(), PollFlags::IN)], collector);
    }
}

fn end_word(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit:{code}"),
        (None, Some(signal)) => format!("signal:{signal}"),
        (None, None) => "unknown".to_owned(),
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code as u8,
        (None, signal) => 128u8.wrapping_add(signal.unwrap_or(0) as u8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        assert_eq!(exit_code(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(exit_code(ExitStatus::from_raw(9)), 137);
        assert_eq!(end_word(ExitStatus::from_raw(9)), "signal:9");
        assert_eq!(end_word(ExitStatus::from_raw(3 << 8)), "exit:3");
    }

    #[test]
    fn what_resshim_could_not_do_is_125() {
        let error = own(Error::input(Path::new("/x"), "is no trace", "choose"));
        assert_eq!((error.exit_code(), error.to_string().as_str()), (125, "/x: is no trace"));
        let start = start_error(OsStr::new("nosuch"), std::io::ErrorKind::NotFound.into());
        assert_eq!(own(start).exit_code(), 127);
    }
}
