//! When a thread's Python frames are not read, or not all of them, or not told from others: each of these moments on
//! every interpreter of this machine.

use std::path::Path;
use std::time::Duration;

use resshim_analyzer::source::trace::Trace;
use resshim_tests::launch::{Ending, Launch};
use resshim_tests::python::{self, Python};
use resshim_tests::scratch::Scratch;
use serde_json::Value;

use super::python::{Opened, compile, opened, program};

/// What the program opens.
const FILES: &[&str] =
    &["signal", "deep", "entries", "names", "stack", "daemon", "ending", "ended"];

/// Runs `guards.py` on an interpreter; its trace.
fn guards(python: &Path) -> (Scratch, Trace) {
    let work = Scratch::new("python-guards");
    let (library, files, trace) =
        (work.path().join("intrude.so"), work.path().join("files"), work.path().join("trace"));
    compile("intrude.c", &library, &["-shared", "-fPIC", "-O2"]);
    std::fs::create_dir(&files).expect("a directory");
    for name in FILES {
        std::fs::write(files.join(name), "").expect("a file");
    }
    let launch = Launch::new(python)
        .args([program("guards.py"), library, files])
        .env("RESSHIM_STACK_DEPTH", "128")
        .limit(Duration::from_secs(120));
    let ran = launch.under_run(&trace).run();
    assert_eq!(ran.ending, Ending::Exit(0), "{}: {}", python.display(), ran.stderr_text());
    let trace = Trace::open(&trace).expect("a trace");
    (work, trace)
}

/// Calls `check` with each interpreter and what it opened of this name.
fn on_each(file: &str, check: impl Fn(&Python, Vec<Opened>)) {
    for python in python::installed((3, 9)) {
        let (_work, trace) = guards(&python.path);
        check(&python, opened(&trace, &format!("/{file}")));
    }
}

/// Names alone: the lines are the program's affair.
fn names(open: &Opened) -> Vec<&str> {
    open.frames.iter().filter_map(|frame| frame.split(':').next()).collect()
}

#[test]
fn a_signal_handler_of_c_has_no_python_frames() {
    on_each("signal", |python, opens| {
        let name = python.path.display();
        assert!(opens.len() >= 100, "{name}: {} signals", opens.len());
        for open in opens {
            assert!(open.frames.is_empty(), "{name}: {:?}", open.frames);
        }
    });
}

#[test]
fn another_stack_of_the_same_thread_has_no_python_frames() {
    on_each("stack", |python, opens| {
        let frames: Vec<_> = opens.iter().map(|open| &open.frames[..]).collect();
        assert_eq!(frames, [[""; 0]], "{}", python.path.display());
    });
}

#[test]
fn while_the_interpreter_ends_only_the_thread_that_ends_it_has_frames() {
    for python in python::installed((3, 9)) {
        let (_work, trace) = guards(&python.path);
        let name = python.path.display();
        for file in ["/ending", "/ended"] {
            let opens = opened(&trace, file);
            assert_eq!(opens.len(), 1, "{name}: {file}");
            assert!(names(&opens[0])[0].ends_with("__del__"), "{name}: {:?}", opens[0].frames);
        }
        // The last of all names: what comes after one in time.
        let all = opened(&trace, "");
        let is = |open: &Opened, function: &str| names(open).first() == Some(&function);
        let daemon = opened(&trace, "/daemon");
        let tid = daemon.first().expect("a thread that goes on").tid;
        assert!(daemon.iter().any(|open| is(open, "daemon")), "{name}: never a frame");
        let ends = all
            .iter()
            .rposition(|open| names(open).first().is_some_and(|n| n.ends_with("__del__")));
        let after = &all[ends.expect("an end")..];
        let after: Vec<&Opened> = after.iter().filter(|open| open.tid == tid).collect();
        assert!(after.len() > 10, "{name}: {} opens after the end began", after.len());
        for open in after {
            assert!(open.frames.is_empty(), "{name}: {:?}", open.frames);
        }
    }
}

#[test]
fn of_a_deep_recursion_the_innermost_frames_are_known() {
    on_each("deep", |python, opens| {
        let name = python.path.display();
        assert_eq!(opens.len(), 1, "{name}");
        let (open, names) = (&opens[0], names(&opens[0]));
        assert!(open.is_part, "{name}");
        assert!(names.len() > 64 && names.len() <= 128, "{name}: {} frames", names.len());
        assert_eq!(names[0], "touch", "{name}");
        // 1 500 frames: the outermost 1 024th of those is no module's.
        assert!(names[1..].iter().all(|name| *name == "deep"), "{name}: {names:?}");
    });
}

/// Calls among Python functions share an activation of the loop from 3.11 on; those through C begin one.
#[test]
fn an_activation_of_the_loop_begins_where_c_calls_python() {
    on_each("entries", |python, opens| {
        let name = python.path.display();
        assert_eq!(opens.len(), 1, "{name}");
        let names: Vec<&str> =
            names(&opens[0]).iter().map(|name| name.rsplit('.').next().unwrap_or(name)).collect();
        assert_eq!(names, ["touch", "inner", "<lambda>", "outer", "<module>"], "{name}");
        let entries = match python.version {
            (3, ..=10) => [true; 5],
            _ => [false, false, true, false, true],
        };
        assert_eq!(opens[0].entries, entries, "{name}");
    });
}

#[test]
fn names_are_copied_whatever_their_letters_and_cut_from_the_left() {
    for python in python::installed((3, 9)) {
        let (_work, trace) = guards(&python.path);
        let opens = opened(&trace, "/names");
        let last: Vec<&str> = opens.iter().map(|open| names(open)[1]).collect();
        let long = format!("{}ende", "x".repeat(92));
        assert_eq!(last, ["größe", "名前", &long, "four_bytes"], "{}", python.path.display());
        let codes = trace.regions.iter().flat_map(|region| region.state.codes());
        let files: Vec<String> =
            codes.filter(|code| code.name == "four_bytes").map(|code| code.file).collect();
        assert_eq!(files, ["/srv/\u{1f40d}\u{1f40d}\u{1f40d}.py"], "{}", python.path.display());
    }
}

#[test]
fn a_version_that_is_not_known_says_so() {
    let Some(python) = python::fetched("3.15") else {
        eprintln!("skipped: no CPython 3.15 here: scripts/pythons fetches one");
        return;
    };
    let (work, trace) = guards(&python);
    for file in FILES {
        let opens = opened(&trace, &format!("/{file}"));
        assert!(!opens.is_empty(), "{file}");
        assert!(opens.iter().all(|open| open.frames.is_empty()), "{file}");
    }
    let trace = work.path().join("trace");
    let report = Launch::cli().args(["report", "--format", "json"]).args([&trace]).run();
    let report: Value = serde_json::from_slice(&report.stdout).expect("JSON");
    let said = report["not_visible"].to_string() + &report["processes"].to_string();
    let sentence = "frames of CPython: its version is not one whose frames can be read";
    assert!(said.contains(sentence), "{said}");
}
