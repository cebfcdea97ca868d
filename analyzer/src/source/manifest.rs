//! The manifest of a trace, and what the collector knew about each process: MessagePack with named
//! fields, so that any later version reads them. Every field has a default: adding one is no change
//! of the format.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::open;
use crate::error::{Error, Result};

/// Name of the file in its trace.
pub const MANIFEST_FILE: &str = "manifest";
/// Directory of the stored states in their trace.
pub const REGIONS_DIRECTORY: &str = "regions";
/// Version of the layout of a trace.
pub const TRACE_VERSION: u32 = 1;
/// Longest manifest or process file.
const LARGEST: u64 = 16 << 20;

/// What a trace is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// [`TRACE_VERSION`] of its writer.
    pub format_version: u32,
    /// Version of the resshim that wrote it.
    pub tool_version: String,
    /// Host name.
    pub host: String,
    /// When it was begun, nanoseconds since 1970.
    pub started_realtime_ns: u64,
    /// When it was begun, `CLOCK_MONOTONIC` nanoseconds.
    pub started_monotonic_ns: u64,
    /// When it was written last or closed, `CLOCK_MONOTONIC` nanoseconds.
    pub ended_monotonic_ns: u64,
    /// CMD of `run` and, of an interpreter, its script; no other argument. Empty for `record`.
    pub command: Vec<String>,
    /// Its process.
    pub command_pid: u32,
    /// How CMD ended: `exit:N`, `signal:N`; absent while it runs.
    pub command_end: Option<String>,
    /// Profile that was asked for.
    pub profile: String,
    /// Heap was to be recorded block by block at exit (`--at-exit`).
    pub at_exit: bool,
    /// What `run` changed in CMD's environment for a language, or why it did not.
    pub runtime_hooks: Vec<RuntimeHook>,
    /// Directory of the live regions, while there are any.
    pub live_dir: Option<PathBuf>,
    /// Directory that was collected from: a trace is of one.
    pub collected_dir: Option<PathBuf>,
    /// Processes that `record` was given, each with its start in clock ticks; empty = all of the directory.
    pub chosen: BTreeMap<u32, u64>,
    /// Everything was collected up to the end of every process.
    pub complete: bool,
    /// Ticks of the counter a second, 0 = see the regions.
    pub tsc_hz: u64,
    /// The collector.
    pub collector: Collector,
}

/// What `run` did so that a runtime tells the functions of the program that it runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuntimeHook {
    /// Name of its executable: `node`, `java`.
    pub runtime: String,
    /// It was switched on.
    pub is_on: bool,
    /// One sentence: what was changed, or why nothing was.
    pub text: String,
}

/// What the collector did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Collector {
    /// Its pid.
    pub pid: u32,
    /// Its start ticks.
    pub start_ticks: u64,
    /// How often this trace was taken up by a collector.
    pub starts: u32,
    /// Frames written.
    pub frames: u64,
    /// Bytes of `events`.
    pub event_bytes: u64,
    /// Regions whose state was stored.
    pub regions: u64,
    /// Its CPU time, nanoseconds.
    pub cpu_ns: u64,
    /// Why it stopped before the end: full disk, `--max-bytes`.
    pub stopped: Option<String>,
    /// What it could not do, one line each.
    pub problems: Vec<String>,
}

/// What the collector saw of one process from outside (`regions/ID.process`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessFacts {
    /// Region.
    pub region: u64,
    /// Process.
    pub pid: u32,
    /// Its start ticks.
    pub start_ticks: u64,
    /// It had ended when this was written.
    pub ended: bool,
    /// When it was found ended, `CLOCK_MONOTONIC` nanoseconds, 0 = it had not.
    pub ended_monotonic_ns: u64,
    /// Comparison of `/proc/PID/fd` with the table of descriptors: what it showed at its worst.
    pub reconciliation: Reconciliation,
    /// Last reading of `/proc/PID`.
    pub last: Reading,
    /// Highest values of all readings.
    pub highest: Reading,
    /// Soft limits of `/proc/PID/limits` by name; absent = unlimited.
    pub limits: BTreeMap<String, u64>,
    /// Control group (the unified one, or the first).
    pub cgroup: String,
    /// Bytes of maps of generated code (`perf-PID.map`, `jit-PID.dump`) that were read.
    pub code_map_bytes: u64,
}

/// Descriptors that the shim did not see being opened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reconciliation {
    /// Comparisons made.
    pub comparisons: u32,
    /// Kind (by the contract's words) to the most descriptors that were in `/proc` and not in the table.
    pub not_seen_opened: BTreeMap<String, u64>,
    /// Kind to the most descriptors that were in the table and not in `/proc`.
    pub not_seen_closed: BTreeMap<String, u64>,
    /// Kind to the most descriptors that were open at one comparison.
    pub open: BTreeMap<String, u64>,
    /// Descriptors of the last comparison that were not seen being opened: number to what it is.
    pub examples: BTreeMap<u32, String>,
}

/// A reading of `/proc/PID/{status,stat}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reading {
    /// `CLOCK_MONOTONIC` nanoseconds.
    pub monotonic_ns: u64,
    /// Resident memory, bytes.
    pub rss_bytes: u64,
    /// Threads.
    pub threads: u32,
    /// Slots of the descriptor table (`FDSize`).
    pub fd_size: u32,
    /// CPU time, clock ticks.
    pub cpu_ticks: u64,
    /// `SIGCHLD` was ignored: the kernel reaps this process's children (`SigIgn`; not known: it could not be read).
    pub ignores_sigchld: Option<bool>,
}

impl Manifest {
    /// Reads the manifest of `trace`.
    ///
    /// # Errors
    /// Where it cannot be read or is no manifest of a version that this resshim knows.
    pub fn read(trace: &Path) -> Result<Manifest> {
        let path = trace.join(MANIFEST_FILE);
        let manifest: Manifest = read(&path)?;
        if manifest.format_version > TRACE_VERSION {
            let why = format!(
                "trace version {}; this resshim knows up to {TRACE_VERSION}",
                manifest.format_version
            );
            let hint = "read it with the resshim that wrote it, or a newer one";
            return Err(Error::input(trace, why, hint));
        }
        Ok(manifest)
    }

    /// Replaces the manifest of `trace`, whole or not at all.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&self, trace: &Path) -> std::io::Result<()> {
        write(&trace.join(MANIFEST_FILE), self)
    }
}

impl ProcessFacts {
    /// Reads what is known about the process of `region`.
    ///
    /// # Errors
    /// Where it is not there or cannot be read.
    pub fn read(trace: &Path, region: u64) -> Result<ProcessFacts> {
        read(&process_path(trace, region))
    }

    /// Stores it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&self, trace: &Path) -> std::io::Result<()> {
        write(&process_path(trace, self.region), self)
    }
}

/// Where the state of a region is stored.
pub fn region_path(trace: &Path, region: u64) -> PathBuf {
    trace.join(REGIONS_DIRECTORY).join(format!("{region:016x}"))
}

fn process_path(trace: &Path, region: u64) -> PathBuf {
    trace.join(REGIONS_DIRECTORY).join(format!("{region:016x}.process"))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = open::read_whole(path, LARGEST)?;
    rmp_serde::from_slice(&bytes).map_err(|error| {
        let hint = "it was damaged, or is no file of a trace";
        Error::input(path, format!("cannot be read: {error}"), hint)
    })
}

fn write<T: Serialize>(path: &Path, value: &T) -> std::io::Result<()> {
    let bytes = rmp_serde::to_vec_named(value).map_err(std::io::Error::other)?;
    replace(path, |file| file.write_all(&bytes))
}

/// Writes a file under another name first, so that a reader finds the old one or the new one.
///
/// # Errors
/// Where it cannot be written; the old one stays.
pub fn replace(
    path: &Path,
    fill: impl FnOnce(&mut std::fs::File) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let mut options = std::fs::OpenOptions::new();
    // What the traced program worked with is nobody else's business, wherever the trace is moved.
    options.create(true).write(true).truncate(true).mode(0o600);
    let written = options.open(&new).and_then(|mut file| fill(&mut file));
    let renamed = written.and_then(|()| std::fs::rename(&new, path));
    if renamed.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("resshim-manifest-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_manifest_is_the_same_when_read() {
        let trace = directory("same");
        let manifest = Manifest {
            format_version: TRACE_VERSION,
            command: vec!["ls".into(), "-R".into()],
            live_dir: Some("/dev/shm/x".into()),
            ..Manifest::default()
        };
        manifest.write(&trace).unwrap();
        assert_eq!(Manifest::read(&trace).unwrap(), manifest);
        std::fs::remove_dir_all(trace).unwrap();
    }

    #[test]
    fn fields_of_a_later_version_are_passed_over_and_missing_ones_are_default() {
        let trace = directory("later");
        let later = BTreeMap::from([("host", "h"), ("colour", "green")]);
        std::fs::write(trace.join(MANIFEST_FILE), rmp_serde::to_vec_named(&later).unwrap())
            .unwrap();
        assert_eq!(Manifest::read(&trace).unwrap().host, "h");
        std::fs::write(trace.join(MANIFEST_FILE), b"no message pack").unwrap();
        assert!(Manifest::read(&trace).unwrap_err().to_string().contains("cannot be read"));
        let far = Manifest { format_version: TRACE_VERSION + 1, ..Manifest::default() };
        far.write(&trace).unwrap();
        assert!(Manifest::read(&trace).unwrap_err().to_string().contains("trace version"));
        std::fs::remove_dir_all(trace).unwrap();
    }
}
