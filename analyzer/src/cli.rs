//! What the command line looks like: clap types only, nothing is checked or done here.
//!
//! A command that is not built yet has no variant: `--help` names nothing that does not work.
//! Each command's help ends with an example, which a test runs through the parser.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::fail_on::Rules;
use crate::model::trail::filter::Wanted;

/// Finds resources that a program never gives back, and names the line that acquired them.
#[derive(Debug, Parser)]
#[command(
    name = "resshim",
    version,
    after_help = "Example:\n  resshim run -- python3 server.py",
    max_term_width = 100,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a program under the shim, collect its process tree, report when it ends.
    Run(Run),
    /// Collect from programs that were started with LD_PRELOAD, until interrupted.
    Record(Record),
    /// Show lifecycles and findings of a trace.
    Report(Report),
    /// Show what happened to each resource: who acquired it, passed it on, released it.
    Audit(Audit),
    /// Show what a live process holds and waits for now, traced or not.
    Snapshot(Snapshot),
    /// Say whether a program can be traced here, and what to do where it cannot.
    Doctor(Doctor),
    /// Print the LD_PRELOAD line for a shell or a unit file.
    Env(Env),
    /// Remove old traces and what dead processes left behind.
    Gc(Gc),
    /// Print the JSON Schema of the report, or the table of operations.
    Schema(Schema),
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a terminal: the first screen, everything with --all.
    #[default]
    Table,
    /// The report's public keys, as `resshim schema` describes them.
    Json,
    /// For an issue or a merge request.
    Markdown,
}

/// Where and how a report is printed.
#[derive(Clone, Debug, Default, Args)]
pub struct Output {
    /// How to print it.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: Format,
    /// Write to FILE instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// What the report judges and shows; shared by `run` and `report`.
#[derive(Clone, Debug, Default, Args)]
pub struct Judging {
    /// Count what is still open when a process exits as a leak, as a test would.
    #[arg(long)]
    pub at_exit: bool,
    /// Exit with an error if a finding matches: RULE[:VERDICT][@KIND][>N], separated by commas.
    #[arg(long, value_name = "RULES")]
    pub fail_on: Option<Rules>,
    /// Limits, hold times and suppressions of the project [default: .resshim.toml of the working directory, if it
    /// is there].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of the source files that are quoted [default: the working directory].
    #[arg(long, value_name = "DIR")]
    pub source: Option<PathBuf>,
}

/// Options of `resshim run`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "The exit status is CMD's own (128 + signal if it was killed, 126 and 127 as in a shell), \
125 where resshim itself failed.\n\nSo that functions of the program have names, some languages are told to \
tell them (docs/languages.md;\noff with --no-runtime-hooks):\n  \
Node  NODE_OPTIONS gets --perf-basic-prof-only-functions --interpreted-frames-native-stack\n  \
Java  JAVA_TOOL_OPTIONS gets -agentpath:libresshim.so; a JVM then prints a line on standard error:\n        \
Picked up JAVA_TOOL_OPTIONS: ...\n\nExamples:\n  resshim run -- ./server --port 8080\n  \
resshim run --at-exit --fail-on leak -- make test"
)]
pub struct Run {
    /// Directory for the trace [default: ~/.local/state/resshim/CMD.PID].
    #[arg(short, long, value_name = "TRACE")]
    pub output: Option<PathBuf>,
    /// How closely to look: no heap and no locks, the default, every allocation, nothing.
    #[arg(long, value_enum, value_name = "PROFILE")]
    pub profile: Option<Profile>,
    /// What to print on standard error when CMD ends: FORMAT, FORMAT=FILE, or none.
    #[arg(long, value_name = "FORMAT[=FILE]")]
    pub report: Option<ReportTo>,
    /// Judging.
    #[command(flatten)]
    pub judging: Judging,
    /// Exit status when CMD succeeded and --fail-on matched.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub fail_code: u8,
    /// Run CMD N times into one trace; the exit status is that of the first run that failed.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub repeat: u32,
    /// Wait for descendants that outlive CMD.
    #[arg(long)]
    pub wait_tree: bool,
    /// Change no environment of CMD but LD_PRELOAD and RESSHIM_*: functions of some languages have no names.
    #[arg(long)]
    pub no_runtime_hooks: bool,
    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// How closely the shim looks (`RESSHIM_PROFILE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// No heap, no locks.
    Light,
    /// Everything, the heap by samples.
    Default,
    /// Everything, every allocation.
    Full,
    /// Nothing.
    Off,
}

impl Profile {
    /// The word of the contract.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Light => "light",
            Profile::Default => "default",
            Profile::Full => "full",
            Profile::Off => "off",
        }
    }
}

/// Value of `run --report`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportTo {
    /// No report.
    None,
    /// In this format, to this file or (without one) to standard error.
    Print(Format, Option<PathBuf>),
}

impl std::str::FromStr for ReportTo {
    type Err = String;
    fn from_str(text: &str) -> Result<ReportTo, String> {
        let (format, file) = match text.split_once('=') {
            Some((_, "")) => return Err("the file's name is missing behind '='".into()),
            Some((format, file)) => (format, Some(PathBuf::from(file))),
            None if text == "none" => return Ok(ReportTo::None),
            None => (text, None),
        };
        Format::from_str(format, false)
            .map(|format| ReportTo::Print(format, file))
            .map_err(|_| "the formats are table, json, markdown, and none".into())
    }
}

/// Options of `resshim record`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  resshim record -o /var/tmp/trace /dev/shm/resshim-1000")]
pub struct Record {
    /// Directory for the trace [default: ~/.local/state/resshim/record.PID].
    #[arg(short, long, value_name = "TRACE")]
    pub output: Option<PathBuf>,
    /// Store no more events when the trace has this size, e.g. 512MiB; states are stored all the same.
    #[arg(long, value_name = "N", value_parser = parse_bytes)]
    pub max_bytes: Option<u64>,
    /// Processes (with their descendants), or a directory of the shim [default: the shim's own].
    #[arg(value_name = "PID or DIR")]
    pub sources: Vec<OsString>,
}

/// Options of `resshim report`.
#[derive(Clone, Debug, Default, Args)]
#[command(
    after_help = "Examples:\n  resshim report\n  resshim report --at-exit --fail-on leak:probable@tcp,churn>100 TRACE\n  \
resshim report --format json -o report.json TRACE"
)]
pub struct Report {
    /// Traces: what `run` or `record` wrote, or a directory of the bare shim [default: the newest].
    #[arg(value_name = "TRACE")]
    pub traces: Vec<PathBuf>,
    /// Only this process.
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// All findings, kinds and processes, not the first screen alone.
    #[arg(long)]
    pub all: bool,
    /// Judging.
    #[command(flatten)]
    pub judging: Judging,
    /// Output.
    #[command(flatten)]
    pub out: Output,
}

/// How a trail is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LinesFormat {
    /// For a terminal: resource by resource.
    #[default]
    Table,
    /// One object a line, a line a step (docs/guide.md).
    Json,
}

/// Options of `resshim audit`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "A resource is shown with all of its steps, in every process, if some step of it is what the \
options ask for.\n\nExamples:\n  resshim audit --kind tcp TRACE\n  \
resshim audit --handle fd:7 --pid 4242 --stacks TRACE\n  \
resshim audit --since 10m --format json TRACE"
)]
pub struct Audit {
    /// Trace: what `run` or `record` wrote, or a directory of the bare shim.
    #[arg(value_name = "TRACE")]
    pub trace: PathBuf,
    /// Resources that this process had to do with.
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Resources of this kind.
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// Resources that had this handle, e.g. fd:7, thread:TID, pid:PID, heap:0xADDRESS.
    #[arg(long, value_name = "HANDLE")]
    pub handle: Option<Wanted>,
    /// Resources to which something happened from this time of the trace on, e.g. 90s, 10m.
    #[arg(long, value_name = "T", value_parser = parse_duration)]
    pub since: Option<std::time::Duration>,
    /// Every frame of each call stack.
    #[arg(long)]
    pub stacks: bool,
    /// How to print it.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: LinesFormat,
    /// Write to FILE instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Options of `resshim snapshot`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "The process is read from outside, by /proc: without --scan it is not stopped and not changed.\n\n\
--scan takes ptrace rights and ten seconds. It reads all writable memory three times while the process runs; only\n\
if something seems out of reach then, it stops the process (PTRACE_SEIZE, PTRACE_INTERRUPT) and reads what was\n\
written to since, or all where the kernel cannot tell (about a second a GiB). A call that waits can then end with\n\
EINTR in the process, as when it is stopped by a debugger: signal(7) lists which. Heap blocks are looked for as\n\
far as they were recorded (RESSHIM_HEAP_SAMPLE=1: every one).\n\nExamples:\n  \
resshim snapshot 4242\n  resshim snapshot 4242 --for 30s\n  resshim snapshot 4242 --scan"
)]
pub struct Snapshot {
    /// The process.
    #[arg(value_name = "PID")]
    pub pid: u32,
    /// Look again and again for so long, and show what grows, e.g. 30s.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<std::time::Duration>,
    /// Look for heap blocks and streams that nothing in the process points to any more; stops it for a moment.
    #[arg(long)]
    pub scan: bool,
    /// All rows, not the first of each section.
    #[arg(long)]
    pub all: bool,
    /// Output.
    #[command(flatten)]
    pub out: Output,
}

/// Options of `resshim doctor`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Exits with 1 where the program cannot be traced.\n\nExamples:\n  resshim doctor\n  \
resshim doctor -- ./server --port 8080"
)]
pub struct Doctor {
    /// The program (it is not started) [default: look at this machine only].
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// Options of `resshim schema`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  resshim schema > report.schema.json\n  resshim schema --ops")]
pub struct Schema {
    /// The operations that a trace can hold, in place of the report's schema.
    #[arg(long)]
    pub ops: bool,
    /// How to print the operations; the schema is always JSON.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", requires = "ops")]
    pub format: Format,
    /// Write to FILE instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Options of `resshim env`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  env $(resshim env) ./server")]
pub struct Env {}

/// Options of `resshim gc`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Traces of living processes are kept.\n\nExample:\n  \
resshim gc ~/.local/state/resshim --max-age 7d --max-bytes 1GiB")]
pub struct Gc {
    /// Directory that holds traces.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Remove traces that are older, e.g. 12h, 7d.
    #[arg(long, value_name = "A", value_parser = parse_duration)]
    pub max_age: Option<std::time::Duration>,
    /// Remove the oldest until all take no more than this, e.g. 500MiB.
    #[arg(long, value_name = "B", value_parser = parse_bytes)]
    pub max_bytes: Option<u64>,
}

/// `512`, `512k`, `512KiB`, `1.5GiB`; all units are powers of 1024.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no size; write it like 512KiB or 2GiB");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().map_err(|_| wrong())?;
    let shift = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(wrong()),
    };
    let bytes = number * (1u64 << shift) as f64;
    if bytes.is_finite() && bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err(wrong()) }
}

/// `90`, `90s`, `15m`, `12h`, `7d`.
pub fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let wrong = || format!("'{text}' is no time; write it like 90s, 12h or 7d");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit = match text[digits..].trim() {
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return Err(wrong()),
    };
    std::time::Duration::try_from_secs_f64(number * unit).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example_that_parses() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().expect("an example").to_string();
            let examples: Vec<&str> =
                help.lines().map(str::trim).filter(|line| line.contains("resshim ")).collect();
            assert!(!examples.is_empty(), "{}", command.get_name());
            for example in examples {
                let Some(line) = example.strip_prefix("resshim ") else { continue };
                let line = line.split(" > ").next().unwrap_or(line);
                let arguments = std::iter::once("resshim").chain(line.split_whitespace());
                assert!(Cli::try_parse_from(arguments).is_ok(), "{example}");
            }
        }
    }

    #[test]
    fn sizes_and_times_are_read_with_their_units() {
        assert_eq!(parse_bytes("512KiB"), Ok(512 << 10));
        assert_eq!(parse_bytes("1.5g"), Ok(3 << 29));
        assert_eq!(parse_bytes("7"), Ok(7));
        assert!(parse_bytes("much").is_err() && parse_bytes("1e99").is_err());
        assert_eq!(parse_duration("7d"), Ok(std::time::Duration::from_secs(7 * 86400)));
        assert!(parse_duration("soon").is_err() && parse_duration("-1s").is_err());
    }

    #[test]
    fn report_destinations_are_a_format_and_a_file() {
        assert_eq!("none".parse(), Ok(ReportTo::None));
        assert_eq!(
            "json=a=b".parse(),
            Ok(ReportTo::Print(Format::Json, Some(PathBuf::from("a=b"))))
        );
        assert!("json=".parse::<ReportTo>().is_err() && "pdf".parse::<ReportTo>().is_err());
    }
}
