//! What programs name themselves, from end to end: exact where events are lost, judged like any other kind,
//! and still open where it was given back only when the program was over.

use std::path::Path;

use resshim_tests::launch::{Ending, Launch, Mode};
use resshim_tests::scratch::Scratch;
use resshim_tests::{artifacts, program, python};
use serde_json::Value;

fn report(trace: &Path, options: &[&str]) -> Value {
    let cli = Launch::cli().args(["report", "--format", "json"]).args(options).args([trace]);
    let done = cli.run();
    assert_eq!(done.ending, Ending::Exit(0), "{}", done.stderr_text());
    serde_json::from_slice(&done.stdout).expect("JSON")
}

fn totals(report: &Value, kind: &str) -> [u64; 3] {
    let kinds = report["kinds"].as_array().expect("kinds");
    let of = kinds.iter().find(|of| of["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"));
    ["acquired", "released", "live"].map(|name| of[name].as_u64().expect("a number"))
}

/// Kind, number, innermost function of each finding.
fn findings(report: &Value) -> Vec<(String, u64, String)> {
    let all = report["findings"].as_array().expect("findings");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = |finding: &Value| {
        let function = text(&finding["site"]["frames"][0]["function"]);
        (text(&finding["kind"]), finding["count"].as_u64().expect("count"), function)
    };
    all.iter().map(one).collect()
}

#[test]
fn what_is_live_is_exact_where_events_are_lost() {
    let out = Scratch::for_regions("own-kinds-lost");
    let launch = Launch::of(&program::named("api/loses_three")).env("RESSHIM_RING", "64KiB");
    let done = launch.run_as(Mode::Preloaded, out.path());
    assert_eq!(done.ending, Ending::Exit(0), "{}", done.stderr_text());
    let report = report(out.path(), &["--at-exit"]);
    let kept = report["trace"]["events"].as_u64().expect("events");
    assert!(kept < 30_000, "nothing was lost: {kept}");
    assert_eq!(totals(&report, "session"), [21_000, 20_997, 3]);
    assert_eq!(findings(&report), [("session".to_owned(), 3, "serve".to_owned())]);
}

#[test]
fn all_that_is_named_is_found_where_nothing_is_lost() {
    let out = Scratch::new("own-kinds-whole");
    let trace = out.path().join("trace");
    let launch = Launch::of(&program::named("api/loses_three"));
    assert_eq!(launch.under_run(&trace).run().ending, Ending::Exit(0));
    let report = report(&trace, &["--at-exit"]);
    assert_eq!(totals(&report, "session"), [21_000, 20_997, 3]);
    let finding = &report["findings"][0];
    assert_eq!(finding["evidence"]["released_at"][0]["frames"][0]["function"], "serve");
    assert_eq!(finding["resources"][0]["handle"], "session:0x1b57");
}

#[test]
fn what_is_given_back_after_the_phase_exit_was_still_open() {
    let out = Scratch::new("own-kinds-exit");
    let trace = out.path().join("trace");
    let launch = Launch::of(&program::named("api/tears_down"));
    let judged = |rules| ["--at-exit", "--fail-on", rules, "--fail-code", "9"];
    for rules in ["leak@lease", "leak@file"] {
        let done = launch.under_run_with(&judged(rules), &trace).run();
        assert_eq!(done.ending, Ending::Exit(9), "{rules}: {}", done.stderr_text());
    }
    let expected = ["file", "lease"].map(|kind| (kind.to_owned(), 1, "forgets".to_owned()));
    let mut found = findings(&report(&trace, &["--at-exit"]));
    found.sort();
    assert_eq!(found, expected);
    assert_eq!(totals(&report(&trace, &[]), "lease"), [3, 2, 1]);
    assert_eq!(findings(&report(&trace, &[])), []);
    let other = launch.args(["other"]).under_run_with(&judged("leak"), &trace).run();
    assert_eq!(other.ending, Ending::Exit(0), "{}", other.stderr_text());
}

#[test]
fn a_fork_child_begins_with_none_and_exec_ends_what_there_is() {
    let out = Scratch::new("own-kinds-images");
    let trace = out.path().join("trace");
    let launch = Launch::of(&program::named("api/forks_and_execs"));
    let done = launch.under_run(&trace).run();
    assert_eq!(done.ending, Ending::Exit(0), "{}", done.stderr_text());
    let report = report(&trace, &["--at-exit"]);
    // Of the six, three were over with the first program, and one was released.
    assert_eq!(totals(&report, "lease"), [6, 4, 2]);
    let mut found = findings(&report);
    found.retain(|finding| finding.0 == "lease");
    found.sort();
    let expected = ["child_takes", "takes"].map(|name| ("lease".to_owned(), 1, name.to_owned()));
    assert_eq!(found, expected);
}

fn python_program(python: &python::Python, name: &str) -> Launch {
    let script = artifacts::tests_dir().join("programs/bridge").join(name);
    let package = artifacts::tests_dir().join("../bridge/python/src");
    let launch = Launch::new(&python.path).args([script]).env("PYTHONPATH", package);
    launch.env("PYTHONDONTWRITEBYTECODE", "1")
}

#[test]
fn the_python_package_does_what_it_says_on_every_python() {
    for python in python::installed((3, 9)) {
        let launch = python_program(&python, "names.py");
        let off = launch.clone().args(["off"]).run();
        assert_eq!(off.ending, Ending::Exit(0), "{python:?}: {}", off.stderr_text());
        let out = Scratch::for_regions("own-kinds-python");
        let on = launch.args(["on"]).run_as(Mode::Preloaded, out.path());
        assert_eq!(on.ending, Ending::Exit(0), "{python:?}: {}", on.stderr_text());
        assert_eq!((on.stdout_text(), on.stderr_text()), (String::new(), String::new()));
    }
}

#[test]
fn a_file_that_only_the_end_of_python_closes_was_still_open() {
    for python in python::installed((3, 9)) {
        let out = Scratch::new("own-kinds-forgets");
        let trace = out.path().join("trace");
        let launch = python_program(&python, "forgets.py").env("RESSHIM_TRACK", "-heap,-mapping");
        let done = launch.under_run(&trace).run();
        assert_eq!(done.ending, Ending::Exit(0), "{python:?}: {}", done.stderr_text());
        let report = report(&trace, &["--at-exit"]);
        // A library that an interpreter loads (libffi) may keep a file for its whole life.
        let all = report["findings"].as_array().expect("findings").iter();
        let its_own = all.filter(|finding| {
            let innermost = &finding["site"]["frames"][0]["module"];
            finding["kind"] == "file" && !innermost.to_string().contains("libffi")
        });
        let counts: Vec<_> = its_own.map(|finding| finding["count"].as_u64()).collect();
        assert_eq!(counts, [Some(1)], "{python:?}: {report:#}");
    }
}
