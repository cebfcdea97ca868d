//! The examples of `docs/annotations.md`, compiled and run as they stand there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use resshim_tests::artifacts;
use resshim_tests::launch::{Ending, Launch};
use resshim_tests::python;
use resshim_tests::scratch::Scratch;
use serde_json::Value;

fn repository() -> &'static Path {
    artifacts::tests_dir().parent().expect("the repository")
}

/// The one block of this language.
fn example(language: &str) -> String {
    let path = repository().join("docs/annotations.md");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let fence = format!("```{language}\n");
    let mut blocks = text.split(&fence).skip(1);
    let block = blocks.next().unwrap_or_else(|| panic!("no {language} in {}", path.display()));
    assert!(blocks.next().is_none(), "two blocks of {language}");
    block.split("```").next().expect("its end").to_owned()
}

/// Writes the example to a file of this name and runs the compiler there.
fn compiled(out: &Path, language: &str, file: &str, compiler: &[&str]) -> PathBuf {
    std::fs::write(out.join(file), example(language)).expect("written");
    compile(out, compiler);
    out.join("program")
}

fn compile(out: &Path, compiler: &[&str]) {
    let done = Command::new(compiler[0]).args(&compiler[1..]).current_dir(out).output();
    let done = done.unwrap_or_else(|error| panic!("{compiler:?}: {error}"));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Does the same untraced, says nothing; under `run` the one that it loses fails the command.
fn loses_stock(launch: &Launch, out: &Path) -> Value {
    let untraced = launch.run();
    assert_eq!(untraced.ending, Ending::Exit(0), "{}", untraced.stderr_text());
    assert_eq!((untraced.stdout_text(), untraced.stderr_text()), (String::new(), String::new()));
    let trace = out.join("trace");
    let judged = ["--at-exit", "--fail-on", "leak@data-source", "--fail-code", "9"];
    let launch = launch.clone().limit(Duration::from_secs(120));
    let traced = launch.under_run_with(&judged, &trace).run();
    assert_eq!(traced.ending, Ending::Exit(9), "{}", traced.stderr_text());
    let args = ["report", "--at-exit", "--format"];
    // Every block of an interpreter is recorded, and all its stacks get their names.
    let limit = Duration::from_secs(120);
    let table = Launch::cli().limit(limit).args(args).args(["table", "--all"]).args([&trace]).run();
    let told = "still open at exit: 1 data-source";
    assert!(table.stdout_text().contains(told), "{}", table.stdout_text());
    let report = Launch::cli().limit(limit).args(args).args(["json"]).args([&trace]).run();
    let report: Value = serde_json::from_slice(&report.stdout).expect("JSON");
    let kinds = report["kinds"].as_array().expect("kinds");
    let of = kinds.iter().find(|kind| kind["kind"] == "data-source").expect("the kind");
    assert_eq!([&of["acquired"], &of["released"], &of["live"]], [3, 2, 1], "{of}");
    assert!(of["lifetime_s"]["max"].is_number(), "{of}");
    let findings = report["findings"].as_array().expect("findings");
    let of: Vec<&Value> = findings.iter().filter(|f| f["kind"] == "data-source").collect();
    assert_eq!(of.len(), 1, "{of:?}");
    assert_eq!((&of[0]["rule"], &of[0]["verdict"]), (&"leak".into(), &"still-open".into()));
    assert_eq!((&of[0]["count"], &of[0]["resources"][0]["label"]), (&1.into(), &"stock".into()));
    of[0].clone()
}

/// The functions of a finding's first frames.
fn functions(finding: &Value) -> Vec<String> {
    assert_eq!(finding["site"]["user"], 0, "{}", finding["site"]);
    let frames = finding["site"]["frames"].as_array().expect("frames");
    frames.iter().map(|frame| frame["function"].as_str().unwrap_or("").to_owned()).collect()
}

#[test]
fn the_example_in_c_names_its_own_function() {
    let include = format!("-I{}", repository().join("shim/include").display());
    for options in [&["-O0"][..], &["-O2", "-no-pie"]] {
        let out = Scratch::new("annotations-c");
        let command = [&["cc", "-g", "-Wall", "-Wextra", "-Werror", &include], options].concat();
        let command = [&command[..], &["-o", "program", "x.c"]].concat();
        let program = compiled(out.path(), "c", "x.c", &command);
        let finding = loses_stock(&Launch::new(program), out.path());
        assert_eq!(functions(&finding)[..2], ["open_source", "main"], "{options:?}");
    }
}

#[test]
fn the_example_in_cpp_names_its_own_function() {
    let include = format!("-I{}", repository().join("shim/include").display());
    for options in [&["-O0", "-std=c++11"][..], &["-O2", "-std=c++17", "-fno-exceptions"]] {
        let out = Scratch::new("annotations-cpp");
        let command = [&["c++", "-g", "-Wall", "-Wextra", "-Werror", &include], options].concat();
        let command = [&command[..], &["-o", "program", "x.cpp"]].concat();
        let program = compiled(out.path(), "cpp", "x.cpp", &command);
        let functions = functions(&loses_stock(&Launch::new(program), out.path()));
        assert!(functions[0].starts_with("Source::Source("), "{options:?}: {functions:?}");
        assert!(functions[1].starts_with("open_source"), "{options:?}: {functions:?}");
    }
}

#[test]
fn the_example_in_rust_names_its_own_function() {
    let api = repository().join("bridge/rust/src/lib.rs");
    let api = api.to_str().expect("a path in UTF-8");
    for options in [&["-g"][..], &["-g", "-O"]] {
        let out = Scratch::new("annotations-rust");
        let edition = ["rustc", "--edition", "2024"];
        let library = ["--crate-type", "rlib", "--crate-name", "resshim_api", api];
        compile(out.path(), &[&edition, options, &library].concat());
        let linked = ["--extern", "resshim_api=libresshim_api.rlib", "-o", "program", "x.rs"];
        let command = [&edition, options, &linked].concat();
        let program = compiled(out.path(), "rust", "x.rs", &command);
        let functions = functions(&loses_stock(&Launch::new(program), out.path()));
        assert!(functions[0].ends_with("::open_source"), "{options:?}: {functions:?}");
    }
}

#[test]
fn the_example_in_python_is_found_by_every_python_that_is_installed() {
    for python in python::installed((3, 9)) {
        let out = Scratch::new("annotations-python");
        let script = out.path().join("x.py");
        std::fs::write(&script, example("python")).expect("written");
        let package = repository().join("bridge/python/src");
        let launch = Launch::new(&python.path).args([&script]).env("PYTHONPATH", package);
        let finding = loses_stock(&launch.env("PYTHONDONTWRITEBYTECODE", "1"), out.path());
        for frame in finding["site"]["frames"].as_array().expect("frames") {
            let file = frame["file"].as_str().expect("a file");
            assert!(!file.contains("/resshim/_"), "{}: {}", python.path.display(), finding["site"]);
        }
    }
}
