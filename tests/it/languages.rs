//! One leak in each language, through a function that a healthy one uses too: found, at the function and
//! line that `docs/languages.md` promises; its clean twin silent.
//!
//! A language whose tools are not on this machine is told by name on standard error.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use resshim_tests::artifacts;
use resshim_tests::launch::{Ending, Launch};
use resshim_tests::scratch::Scratch;
use serde_json::Value;

/// What every program opens, and forgets forty times unless it is told to be clean.
const FILE: &str = "/etc/hostname";
const LEAKED: u64 = 40;

/// How much of the leaking function a report names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sees {
    /// Its name, file and the line of the call.
    Line,
    /// Its name, file and the line where it is defined.
    Definition,
    /// That something leaks, below the interpreter's own functions.
    Interpreter,
}

struct Language {
    /// Source in `tests/programs/languages`.
    source: &'static str,
    /// Builds it, with the source and the result as last arguments; empty = nothing to build.
    build: &'static [&'static str],
    /// Runs it; `{}` is the result, or the source where nothing is built.
    run: &'static [&'static str],
    sees: Sees,
}

const fn compiled(source: &'static str, build: &'static [&'static str]) -> Language {
    Language { source, build, run: &["{}"], sees: Sees::Line }
}
const fn interpreted(source: &'static str, run: &'static [&'static str], sees: Sees) -> Language {
    Language { source, build: &[], run, sees }
}

fn source(language: &Language) -> PathBuf {
    artifacts::tests_dir().join("programs/languages").join(language.source)
}

fn is_there(tool: &str) -> bool {
    Command::new("sh")
        .args(["-c", "command -v \"$0\" >/dev/null", tool])
        .status()
        .is_ok_and(|s| s.success())
}

/// The command that runs the program, built in `work`; `None` where a tool is missing.
fn command(language: &Language, work: &Path) -> Option<Vec<String>> {
    let tool = language.build.first().unwrap_or(&language.run[0]);
    if !is_there(tool) {
        let _ = writeln!(std::io::stderr(), "skipped: {}: there is no {tool}", language.source);
        return None;
    }
    let mut program = source(language);
    if let [tool, flags @ ..] = language.build {
        let result = work.join("service");
        let built = Command::new(tool)
            .args(flags)
            .args([result.as_os_str(), program.as_os_str()])
            .env("GOCACHE", work.join("cache"))
            .output()
            .expect("the tool runs");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        program = result;
    }
    let program = program.to_string_lossy();
    Some(language.run.iter().map(|word| word.replace("{}", &program)).collect())
}

/// Findings about the file that the program opens.
fn findings(language: &Language, command: &[String], work: &Path, how: &str) -> Vec<Value> {
    let trace = work.join(format!("trace-{how}"));
    let launch = Launch::new(&command[0]).args(&command[1..]).args([how]).directory(work);
    let ran = launch.env("RESSHIM_TRACK", "-heap").under_run(&trace).run();
    assert_eq!(ran.ending, Ending::Exit(0), "{}: {}", language.source, ran.stderr_text());
    let report =
        Launch::cli().args(["report", "--at-exit", "--format", "json"]).args([&trace]).run();
    assert_eq!(report.ending, Ending::Exit(0), "{}", report.stderr_text());
    let report: Value = serde_json::from_slice(&report.stdout).expect("JSON");
    let all = report["findings"].as_array().expect("findings");
    let is_its = |finding: &&Value| finding["resources"][0]["label"] == FILE;
    all.iter().filter(is_its).cloned().collect()
}

fn line_that_leaks(language: &Language) -> u64 {
    let text = std::fs::read_to_string(source(language)).expect("the source");
    let line = text.lines().position(|line| line.ends_with("leaks here"));
    line.expect("a line is marked") as u64 + 1
}

fn line_of_definition(language: &Language) -> u64 {
    let text = std::fs::read_to_string(source(language)).expect("the source");
    let line = text.lines().position(|line| line.contains(" leaky(") && line.ends_with('{'));
    line.expect("it is defined") as u64 + 1
}

fn tells(language: &Language) {
    let work = Scratch::new(language.source);
    let Some(command) = command(language, work.path()) else { return };
    let name = language.source;
    let found = findings(language, &command, work.path(), "leak");
    assert_eq!(found.len(), 1, "{name}: {found:#?}");
    let leak = &found[0];
    assert_eq!(
        (leak["rule"].as_str(), leak["count"].as_u64()),
        (Some("leak"), Some(LEAKED)),
        "{leak}"
    );
    let frames = leak["site"]["frames"].as_array().expect("frames");
    let user = leak["site"]["user"].as_u64().expect("an index") as usize;
    // The function that leaks is the caller of the one that both use.
    let callers: Vec<(&str, u64)> = frames[user..]
        .iter()
        .map(|frame| {
            (frame["function"].as_str().unwrap_or_default(), frame["line"].as_u64().unwrap_or(0))
        })
        .collect();
    match language.sees {
        Sees::Line | Sees::Definition => {
            let leaky = callers.iter().position(|caller| caller.0.contains("leaky"));
            let leaky = leaky.unwrap_or_else(|| panic!("{name}: no leaky in {callers:?}"));
            let is_line = language.sees == Sees::Line;
            let line = if is_line { line_that_leaks } else { line_of_definition }(language);
            assert_eq!(callers[leaky].1, line, "{name}: {callers:?}");
            assert!(leaky <= 1, "{name}: {callers:?}");
            assert_eq!(leak["id_stable"], true, "{name}");
        }
        Sees::Interpreter => {
            let verdict = leak["verdict"].as_str().unwrap_or_default();
            assert!(["still-open", "possible"].contains(&verdict), "{name}: {verdict}");
            assert!(
                !callers.iter().any(|caller| caller.0.contains("leaky")),
                "say so in docs/languages.md"
            );
        }
    }
    let clean = findings(language, &command, work.path(), "clean");
    assert!(clean.is_empty(), "{name}, clean: {clean:#?}");
}

#[test]
fn c() {
    tells(&compiled("service.c", &["cc", "-O1", "-g", "-o"]));
}

#[test]
fn cpp() {
    tells(&compiled("service.cc", &["c++", "-O1", "-g", "-o"]));
}

#[test]
fn rust() {
    tells(&compiled("service.rs", &["rustc", "-g", "-O", "-o"]));
}

#[test]
fn go_with_cgo() {
    tells(&compiled("service.go", &["go", "build", "-o"]));
}

#[test]
fn python() {
    tells(&interpreted("service.py", &["/usr/bin/python3", "{}"], Sees::Line));
}

#[test]
fn node() {
    tells(&interpreted("service.js", &["node", "{}"], Sees::Definition));
}

#[test]
fn ruby() {
    tells(&interpreted("service.rb", &["ruby", "{}"], Sees::Interpreter));
}

#[test]
fn perl() {
    tells(&interpreted("service.pl", &["perl", "{}"], Sees::Interpreter));
}

#[test]
fn java() {
    tells(&Language {
        source: "Service.java",
        build: &["javac", "-d"],
        run: &["java", "-cp", "{}", "Service"],
        sees: Sees::Line,
    });
}
