//! `resshim record`: beside services that were started with a bare preload, before or after it, and killed
//! at any moment.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use resshim_format::index::REGION_SUFFIX;
use resshim_tests::launch::{Ending, Launch};
use resshim_tests::scratch::Scratch;
use resshim_tests::trace::opens_of;
use resshim_tests::{artifacts, program};
use serde_json::Value;

/// How long anything that is waited for may take.
const LIMIT: Duration = Duration::from_secs(20);

/// `living/on_demand` under a bare preload.
struct Service {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Service {
    fn start(live: &Path) -> Service {
        let mut child = Command::new(program::named("living/on_demand").path)
            .env("LD_PRELOAD", artifacts::shim())
            .env("RESSHIM_OUT", live)
            // What the collector does not take away in time shall not be lost.
            .env("RESSHIM_RING", "48MiB")
            .env("RESSHIM_MAX_BYTES", "256MiB")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        let mut service = Service { child, orders, answers };
        assert_eq!(service.answer(), "ready");
        service
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it speaks");
        line.trim_end().to_owned()
    }

    fn order(&mut self, order: u8) -> String {
        self.orders.as_mut().expect("piped").write_all(&[order]).expect("it listens");
        self.answer()
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }

    fn end(mut self) {
        drop(self.orders.take());
        assert!(self.child.wait().expect("it ends").success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Of a test that failed; one that has ended is no longer there.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A collector that runs.
struct Recorder {
    child: Child,
}

impl Recorder {
    fn start(trace: &Path, of: &str) -> Recorder {
        let child = Command::new(artifacts::cli())
            .args(["record", "-o"])
            .args([trace, Path::new(of)])
            .env("RESSHIM_LIB", artifacts::shim())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        Recorder { child }
    }

    /// Waits for the line by which it says that it has begun.
    fn begun(mut self) -> Recorder {
        let mut errors = BufReader::new(self.child.stderr.take().expect("piped"));
        let mut line = String::new();
        errors.read_line(&mut line).expect("it speaks");
        assert!(line.contains("recording"), "{line}");
        // Nobody reads what else it says: it goes where it harms nobody.
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        self
    }

    /// Lets it collect what is there, then ends it.
    fn end(mut self, live: &Path) {
        let deadline = Instant::now() + LIMIT;
        while !regions(live).is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(regions(live).is_empty(), "they are not collected");
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("kill");
        assert_eq!(self.child.wait().expect("it ends").code(), Some(0));
    }

    /// Waits until it ends by itself.
    fn ended(mut self) {
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                assert_eq!(status.code(), Some(0));
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it goes on without its processes");
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn regions(live: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(live).expect("directory").flatten().map(|entry| entry.path());
    entries.filter(|path| path.to_string_lossy().ends_with(REGION_SUFFIX)).collect()
}

fn report(trace: &Path) -> Value {
    let report = Launch::cli().args(["report", "--format", "json"]).args([trace]).run();
    assert_eq!(report.ending, Ending::Exit(0), "{}", report.stderr_text());
    serde_json::from_slice(&report.stdout).expect("JSON")
}

fn acquired(report: &Value, kind: &str) -> u64 {
    let kinds = report["kinds"].as_array().expect("kinds");
    let of_kind = kinds.iter().filter(|known| known["kind"] == kind);
    of_kind.map(|known| known["acquired"].as_u64().expect("a number")).sum()
}

#[test]
fn a_service_is_recorded_by_its_number_or_directory_from_before_or_after_its_start() {
    // Who begins: the service, with a region or without one yet, or the collector.
    for (by_pid, service_works_before, recorder_first) in [
        (true, true, false),
        (true, false, false),
        (false, true, false),
        (false, false, false),
        (false, false, true),
    ] {
        let case = format!("{by_pid} {service_works_before} {recorder_first}");
        let (live, scratch) = (Scratch::for_regions("record"), Scratch::new("record"));
        let trace = scratch.path().join("trace");
        let directory = live.path().to_str().expect("UTF-8").to_owned();
        let early = recorder_first.then(|| Recorder::start(&trace, &directory).begun());
        let mut service = Service::start(live.path());
        let mut opened = 0;
        if service_works_before {
            assert_eq!([service.order(b'o'), service.order(b'f')], ["opened", "forked"]);
            opened += 20;
        }
        let of = if by_pid { service.pid() } else { directory };
        let recorder = early.unwrap_or_else(|| Recorder::start(&trace, &of).begun());
        assert_eq!([service.order(b'o'), service.order(b'f')], ["opened", "forked"], "{case}");
        opened += 20;
        service.end();
        if by_pid {
            recorder.ended();
        } else {
            recorder.end(live.path());
        }
        assert_eq!(opens_of(&trace, "/dev/null"), opened, "{case}");
        let report = report(&trace);
        assert_eq!(report["trace"]["events_lost"], 0, "{case}");
        assert_eq!(report["trace"]["complete"], true, "{case}");
        assert_eq!(acquired(&report, "file"), opened as u64, "{case}");
        let ends: Vec<&str> = report["processes"]
            .as_array()
            .expect("processes")
            .iter()
            .map(|process| process["end"].as_str().expect("a word"))
            .collect();
        assert_eq!(ends.len(), 1 + opened / 20, "{case}: the service and its children: {ends:?}");
        assert!(ends.iter().all(|end| *end == "exit:0"), "{case}: {ends:?}");
    }
}

#[test]
fn a_record_of_one_process_leaves_the_others_alone() {
    let (live, scratch) = (Scratch::for_regions("record-one"), Scratch::new("record-one"));
    let trace = scratch.path().join("trace");
    let (mut wanted, mut other) = (Service::start(live.path()), Service::start(live.path()));
    assert_eq!([wanted.order(b'o'), other.order(b'o')], ["opened", "opened"]);
    let recorder = Recorder::start(&trace, &wanted.pid()).begun();
    assert_eq!([wanted.order(b'o'), other.order(b'o')], ["opened", "opened"]);
    wanted.end();
    recorder.ended();
    assert_eq!(opens_of(&trace, "/dev/null"), 20);
    assert_eq!(acquired(&report(&trace), "file"), 20);
    assert_eq!(regions(live.path()).len(), 1, "the other's region is its own");
    other.end();
}

/// Collectors that are killed in one run of the test; the moments differ from run to run.
const KILLS: u32 = 10;

#[test]
fn a_killed_collector_loses_nothing_that_was_in_the_ring() {
    let (live, scratch) = (Scratch::for_regions("record-kill"), Scratch::new("record-kill"));
    let trace = scratch.path().join("trace");
    let directory = live.path().to_str().expect("UTF-8");
    let mut service = Service::start(live.path());
    assert_eq!(service.order(b'b'), "busy");
    for number in 0..KILLS {
        let mut recorder = Recorder::start(&trace, directory).begun();
        let moment = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        std::thread::sleep(Duration::from_nanos(moment.subsec_nanos() as u64 % 60_000_000));
        recorder.child.kill().expect("kill");
        recorder.child.wait().expect("wait");
        // With the process and its region, where the rest is.
        let report = report(&trace);
        assert_eq!(report["trace"]["events_lost"], 0, "after kill {number}");
        assert_eq!(report["trace"]["complete"], false, "after kill {number}");
        assert!(acquired(&report, "file") > 0, "after kill {number}");
    }
    let last = Recorder::start(&trace, directory).begun();
    let opened: usize = service.order(b'e').parse().expect("a number");
    service.end();
    last.end(live.path());
    assert_eq!(opens_of(&trace, "/dev/null"), opened, "of {KILLS} killed collectors and the last");
    let report = report(&trace);
    assert_eq!(report["trace"]["events_lost"], 0);
    assert_eq!(report["trace"]["complete"], true);
    assert_eq!(acquired(&report, "file"), opened as u64);
}
