//! `resshim record` beside what it collects, ended when nothing is left to be collected.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use resshim_format::index::REGION_SUFFIX;
use rustix::process::{Pid, Signal, kill_process};

use crate::artifacts;

/// How long the collector is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// Regions in a directory of the shim.
pub fn regions_in(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).expect("a directory of the shim").flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(REGION_SUFFIX)).count()
}

/// Records what is in `live` into `trace` until no region is left there, then ends the collector.
pub fn record(trace: &Path, live: &Path) {
    let recorder = Command::new(artifacts::cli())
        .args(["record", "-o"])
        .args([trace, live])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut recorder = recorder.expect("a collector");
    let deadline = Instant::now() + PATIENCE;
    while regions_in(live) > 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = i32::try_from(recorder.id()).ok().and_then(Pid::from_raw).expect("its pid");
    kill_process(pid, Signal::TERM).expect("a signal");
    assert_eq!(recorder.wait().expect("its end").code(), Some(0));
}
