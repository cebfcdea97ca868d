//! Runs a command and tells all that can be seen of it from outside.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::artifacts;
use crate::program::Program;

/// How a command is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As it is.
    Untraced,
    /// `LD_PRELOAD=libresshim.so`, no collector.
    Preloaded,
    /// `resshim run --report none -o TRACE --`.
    UnderRun,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its exit status.
    Exit(i32),
    /// The signal that killed it.
    Signal(i32),
    /// It had to be killed; so was its process group.
    TimedOut,
}

/// What was seen of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Standard output, up to the end of its last holder.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// How it ended.
    pub ending: Ending,
}

impl Outcome {
    /// Standard output as text.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The same as a shell would see it: a signal as 128 + its number.
    pub fn as_shell_sees(mut self) -> Outcome {
        if let Ending::Signal(number) = self.ending {
            self.ending = Ending::Exit(128 + number);
        }
        self
    }

    /// What differs from `expected`, for people; `None` if nothing does.
    pub fn difference(&self, expected: &Outcome) -> Option<String> {
        if self == expected {
            return None;
        }
        let mut text = String::new();
        if self.ending != expected.ending {
            text += &format!("  ended {:?}, untraced {:?}\n", self.ending, expected.ending);
        }
        for (name, ours, theirs) in [
            ("stdout", self.stdout_text(), expected.stdout_text()),
            ("stderr", self.stderr_text(), expected.stderr_text()),
        ] {
            if ours != theirs {
                text += &crate::expect::line_difference(name, &theirs, &ours);
            }
        }
        Some(text)
    }
}

/// A command to be run; every setting has a default that fits small programs.
#[derive(Clone, Debug)]
pub struct Launch {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
    limit: Duration,
}

impl Launch {
    /// Runs `program`.
    pub fn new(program: impl AsRef<OsStr>) -> Launch {
        Launch {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            directory: None,
            limit: Duration::from_secs(20),
        }
    }

    /// Runs a program of `tests/programs` with the arguments that its source asks for.
    pub fn of(program: &Program) -> Launch {
        Launch::new(&program.path).args(&program.args)
    }

    /// Runs the `resshim` command.
    pub fn cli() -> Launch {
        Launch::new(artifacts::cli()).env("RESSHIM_LIB", artifacts::shim())
    }

    /// Adds arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Launch {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// The same command run by another one, which gets it as its last arguments (`sh -c 'exec "$@"' sh`).
    pub fn inside(&self, command: &[&str]) -> Launch {
        let mut outer = self.clone();
        outer.program = command.first().expect("a command").into();
        outer.args = command.iter().skip(1).map(OsString::from).collect();
        outer.args.push(self.program.clone());
        outer.args.extend(self.args.iter().cloned());
        outer
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Launch {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Its working directory.
    pub fn directory(mut self, directory: &Path) -> Launch {
        self.directory = Some(directory.to_path_buf());
        self
    }

    /// Kills it, with its process group, after this time.
    pub fn limit(mut self, limit: Duration) -> Launch {
        self.limit = limit;
        self
    }

    /// Runs it; `out` is where the shim writes (`Preloaded`) or the trace (`UnderRun`).
    pub fn run_as(&self, mode: Mode, out: &Path) -> Outcome {
        match mode {
            Mode::Untraced => self.run(),
            Mode::Preloaded => self.preloaded(out).run(),
            Mode::UnderRun => self.under_run(out).run(),
        }
    }

    /// The same command with the shim preloaded, which writes to `out`.
    pub fn preloaded(&self, out: &Path) -> Launch {
        self.clone().env("LD_PRELOAD", artifacts::shim()).env("RESSHIM_OUT", out)
    }

    /// The same command under `resshim run --report none`, with its trace at `trace`.
    pub fn under_run(&self, trace: &Path) -> Launch {
        self.under_run_with(&[], trace)
    }

    /// The same with more options of `resshim run`.
    pub fn under_run_with(&self, options: &[&str], trace: &Path) -> Launch {
        let mut run = self.clone();
        run.program = artifacts::cli().into();
        run.args = ["run", "--report", "none"].map(OsString::from).to_vec();
        run.args.extend(options.iter().chain([&"-o"]).map(OsString::from));
        run.args.extend([trace.into(), OsString::from("--"), self.program.clone()]);
        run.args.extend(self.args.iter().cloned());
        run.env("RESSHIM_LIB", artifacts::shim())
    }

    /// The same command run by this user; whoever runs the tests must be root.
    pub fn as_user(&self, user: &str) -> Launch {
        let mut run = self.clone();
        run.program = "setpriv".into();
        run.args = ["--reuid", user, "--regid", user, "--clear-groups", "env"]
            .map(OsString::from)
            .to_vec();
        // Set behind the change of the user: a preload is the command's, not setpriv's.
        for (name, value) in run.env.drain(..) {
            let mut setting = name;
            setting.push("=");
            setting.push(value);
            run.args.push(setting);
        }
        run.args.push(self.program.clone());
        run.args.extend(self.args.iter().cloned());
        run
    }

    /// Runs the command to its end and the end of all who hold its output.
    pub fn run(&self) -> Outcome {
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        // Neither the shim of whoever runs the tests nor the host's language changes an outcome.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RESSHIM_") {
                command.env_remove(name);
            }
        }
        command.env_remove("LD_PRELOAD").env("LC_ALL", "C").env("TZ", "UTC");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        watch(child, self.limit)
    }
}

/// Waits for `child` and its output until the limit, then kills its process group.
fn watch(mut child: Child, limit: Duration) -> Outcome {
    let deadline = Instant::now() + limit;
    let stdout = read_all(child.stdout.take().expect("piped"));
    let stderr = read_all(child.stderr.take().expect("piped"));
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let (done, ended) = channel();
    let killer = std::thread::spawn(move || watchdog(&ended, group, deadline));
    let status = child.wait().expect("the child can be waited for");
    // Background children may hold the pipes a little longer; their output belongs to the outcome.
    let (out, err) = (collect(&stdout, deadline), collect(&stderr, deadline));
    let _ = done.send(());
    let timed_out = killer.join().expect("the watchdog does not panic");
    let ending = match (status.code(), status.signal()) {
        _ if timed_out || out.is_none() || err.is_none() => Ending::TimedOut,
        (Some(code), _) => Ending::Exit(code),
        (None, signal) => Ending::Signal(signal.unwrap_or(0)),
    };
    Outcome { stdout: out.unwrap_or_default(), stderr: err.unwrap_or_default(), ending }
}

/// Kills the group at the deadline unless `ended` tells first; whether it had to.
fn watchdog(ended: &Receiver<()>, group: Option<Pid>, deadline: Instant) -> bool {
    if ended.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok() {
        return false;
    }
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    true
}

fn read_all(mut stream: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver): (Sender<Vec<u8>>, _) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

/// What was read, or `None` where somebody still holds the pipe a second after the deadline.
fn collect(stream: &Receiver<Vec<u8>>, deadline: Instant) -> Option<Vec<u8>> {
    let grace = Duration::from_secs(1);
    stream.recv_timeout((deadline + grace).saturating_duration_since(Instant::now())).ok()
}
