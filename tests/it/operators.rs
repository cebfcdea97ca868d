//! What operators do to a collector: take its trace away, stop it, start a second one, close its
//! standard streams. The command runs on unchanged, and what was lost is said.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use resshim_tests::artifacts;
use resshim_tests::launch::{Ending, Launch};
use resshim_tests::scratch::Scratch;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Opens files until `go` is there, then 20 000 at least; ends with 7.
fn script(go: &Path) -> String {
    format!(
        "touch {0}.started; until test -e {0}; do : </etc/passwd; sleep 0.02; done; \
         for i in $(seq 20000); do : </etc/passwd; done; touch {0}.done; exit 7",
        go.display()
    )
}

fn start(trace: &Path, go: &Path) -> Child {
    Command::new(artifacts::cli())
        .args(["run", "-o"])
        .arg(trace)
        .args(["--", "bash", "-c", &script(go)])
        .env("RESSHIM_LIB", artifacts::shim())
        .env("RESSHIM_RING", "512KiB")
        .env_remove("LD_PRELOAD")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("resshim starts")
}

fn wait_for(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !path.exists() {
        assert!(Instant::now() < deadline, "{} did not come", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}.{ending}", path.display()))
}

/// What it said, after it ended as the command did.
fn ended(child: Child) -> String {
    let output = child.wait_with_output().expect("its output");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(7), "{said}");
    said
}

fn report(trace: &Path) -> Value {
    let report = Launch::cli().args(["report", "--format", "json"]).args([trace]).run();
    assert_eq!(report.ending, Ending::Exit(0), "{}", report.stderr_text());
    serde_json::from_slice(&report.stdout).expect("JSON")
}

/// Acquired and live files.
fn files(report: &Value) -> (u64, u64) {
    let kinds = report["kinds"].as_array().expect("kinds");
    let files = kinds.iter().find(|kind| kind["kind"] == "file").expect("files");
    let number = |key: &str| files[key].as_u64().expect("a number");
    (number("acquired"), number("live"))
}

#[test]
fn a_trace_that_is_taken_away_costs_the_trace_alone() {
    let scratch = Scratch::new("operators-gone");
    let (trace, go) = (scratch.path().join("trace"), scratch.path().join("go"));
    let child = start(&trace, &go);
    wait_for(&beside(&go, "started"));
    fs::remove_dir_all(&trace).expect("the trace is there");
    fs::write(&go, "").expect("file");
    let said = ended(child);
    assert!(said.contains("collecting stopped"), "{said}");
    let rest = "resshim: what was not stored is in ";
    let live = said.lines().find_map(|line| line.strip_prefix(rest)).expect(&said);
    let (acquired, _) = files(&report(Path::new(live)));
    assert!(acquired >= 20_000, "{acquired}");
    fs::remove_dir_all(live).expect("the shim's directory");
}

#[test]
fn a_collector_that_was_stopped_says_what_it_missed_and_the_state_is_exact() {
    let scratch = Scratch::new("operators-stopped");
    let (trace, go) = (scratch.path().join("trace"), scratch.path().join("go"));
    let child = start(&trace, &go);
    wait_for(&beside(&go, "started"));
    let collector = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    kill_process(collector, Signal::STOP).expect("stopped");
    fs::write(&go, "").expect("file");
    wait_for(&beside(&go, "done"));
    kill_process(collector, Signal::CONT).expect("continued");
    ended(child);
    let report = report(&trace);
    let (acquired, live) = files(&report);
    assert!(acquired >= 20_000 && live <= 1, "{acquired} acquired, {live} live");
    let diagnostics = report["diagnostics"].to_string();
    assert!(diagnostics.contains("of history"), "{diagnostics}");
}

#[test]
fn a_trace_that_is_being_written_is_refused() {
    let scratch = Scratch::new("operators-second");
    let (trace, go) = (scratch.path().join("trace"), scratch.path().join("go"));
    let child = start(&trace, &go);
    wait_for(&beside(&go, "started"));
    let live = Scratch::for_regions("operators-second");
    for (args, code) in [(["run", "-o"], 125), (["record", "-o"], 2)] {
        let mut second = Launch::cli().args(args).args([&trace]);
        second = match code {
            2 => second.args([live.path()]),
            _ => second.args(["--", "true"]),
        };
        let outcome = second.run();
        let said = outcome.stderr_text();
        assert_eq!(outcome.ending, Ending::Exit(code), "{said}");
        assert!(said.contains("another collector"), "{said}");
    }
    fs::write(&go, "").expect("file");
    ended(child);
    assert!(files(&report(&trace)).0 >= 20_000);
}

#[test]
fn closed_standard_streams_are_no_failure() {
    let scratch = Scratch::new("operators-closed");
    let trace = scratch.path().join("trace");
    for streams in [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"] {
        let line = format!("exec \"$@\" {streams}");
        let script = ["run", "-o", trace.to_str().expect("UTF-8"), "--"];
        let run = Launch::cli().args(script).args(["bash", "-c", ": </etc/passwd; exit 7"]);
        assert_eq!(
            run.inside(&["sh", "-c", &line, "sh"]).run().ending,
            Ending::Exit(7),
            "{streams}"
        );
        let report = Launch::cli().args(["report"]).args([&trace]);
        let ending = report.inside(&["sh", "-c", &line, "sh"]).run().ending;
        assert_eq!(ending, Ending::Exit(0), "{streams}");
        assert!(files(&self::report(&trace)).0 >= 1);
    }
}
