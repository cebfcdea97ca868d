//! `resshim snapshot --scan`: what nobody can reach any more is found, and nothing else.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use resshim_tests::launch::{Ending, Launch};
use resshim_tests::scratch::Scratch;
use resshim_tests::{artifacts, program};
use serde_json::Value;

/// A program that is killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Every block recorded.
fn start(mode: &str, out: Option<&Scratch>) -> Running {
    let program = program::named("snapshot/scanned");
    let mut command = Command::new(&program.path);
    command.arg(mode).stdin(Stdio::null()).stdout(Stdio::piped());
    if let Some(out) = out {
        command.env("LD_PRELOAD", artifacts::shim()).env("RESSHIM_OUT", out.path());
        command.env("RESSHIM_HEAP_SAMPLE", "1");
    }
    let mut child = command.spawn().expect("it starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("it says that it is ready");
    assert_eq!(line, "ready\n");
    Running(child)
}

fn scan(running: &Running) -> Value {
    let launch = Launch::cli().args(["snapshot", "--scan", "--format", "json"]);
    let launch = launch.args([running.0.id().to_string()]).limit(Duration::from_secs(180));
    let outcome = launch.run();
    assert_eq!(outcome.ending, Ending::Exit(0), "{}", outcome.stderr_text());
    serde_json::from_slice(&outcome.stdout).expect("JSON")
}

/// Function, kind, count, bytes of what is out of reach; `None`: this machine does not let us look.
fn unreachable(snapshot: &Value) -> Option<Vec<(String, String, u64, u64)>> {
    let scan = &snapshot["scan"];
    if scan.is_null() || scan["stopped_s"].is_null() {
        eprintln!("skipped: {}", snapshot["unseen"]);
        return None;
    }
    let one = |held: &Value| {
        let user = held["site"]["user"].as_u64().unwrap_or(0) as usize;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let number = |key: &str| held[key].as_u64().unwrap_or(0);
        let function = text(&held["site"]["frames"][user]["function"]);
        (function, text(&held["kind"]), number("count"), number("bytes"))
    };
    Some(scan["unreachable"].as_array().expect("a list").iter().map(one).collect())
}

/// Whether it still runs, and in no debugger's hands.
fn goes_on(running: &Running) -> bool {
    let status = format!("/proc/{}/status", running.0.id());
    let status = std::fs::read_to_string(status).expect("it lives");
    !status.contains("State:\tt") && status.contains("TracerPid:\t0")
}

#[test]
fn what_nothing_points_to_is_found_and_what_is_hard_to_see_is_not() {
    let out = Scratch::for_regions("scan-loses");
    let running = start("loses", Some(&out));
    let snapshot = scan(&running);
    let Some(found) = unreachable(&snapshot) else { return };
    let of = |function: &str, kind: &str| -> (u64, u64) {
        let all = found.iter().filter(|found| found.0 == function && found.1 == kind);
        all.fold((0, 0), |sum, found| (sum.0 + found.2, sum.1 + found.3))
    };
    assert_eq!(of("lose_block", "heap"), (20, 20_000), "{found:?}");
    assert_eq!(of("lose_list", "heap").0, 3, "its head is lost, and so are all: {found:?}");
    assert_eq!(of("lose_ring", "heap").0, 2, "they point to each other alone: {found:?}");
    assert_eq!(of("lose_stream", "file").0, 1, "libc's own list is no use of it: {found:?}");
    assert_eq!(of("lose_directory", "dir").0, 1, "{found:?}");
    let innocent = found.iter().find(|found| !found.0.starts_with("lose_"));
    assert_eq!(innocent, None, "tagged, packed, inner pointers and a timer's: {found:?}");
    assert_eq!(snapshot["signs"][0]["rule"], "unreachable");
    assert_eq!(snapshot["scan"]["verdict"], "definite");
    assert!(goes_on(&running), "it runs on");
}

#[test]
fn connections_that_only_an_epoll_set_knows_are_reachable() {
    let out = Scratch::for_regions("scan-epoll");
    let running = start("epoll", Some(&out));
    let snapshot = scan(&running);
    let looked_for = snapshot["scan"]["looked_for"].as_u64();
    let Some(found) = unreachable(&snapshot) else { return };
    assert!(looked_for.is_some_and(|blocks| blocks >= 10), "{looked_for:?}");
    assert_eq!(found, []);
}

#[test]
fn blocks_whose_only_pointer_moves_about_are_reachable() {
    let out = Scratch::for_regions("scan-moves");
    let running = start("moves", Some(&out));
    let snapshot = scan(&running);
    let looked_for = snapshot["scan"]["looked_for"].as_u64();
    let Some(found) = unreachable(&snapshot) else { return };
    assert!(looked_for.is_some_and(|blocks| blocks >= 64), "{looked_for:?}");
    assert_eq!(found, []);
    assert!(goes_on(&running), "it runs on");
}

#[test]
fn a_process_that_is_not_traced_is_shown_without_a_scan() {
    let running = start("epoll", None);
    let snapshot = scan(&running);
    assert!(snapshot["scan"].is_null());
    assert!(snapshot["unseen"].to_string().contains("it is not traced"), "{}", snapshot["unseen"]);
    assert_eq!(snapshot["kinds"]["eventfd"], 10);
}
