//! The command line from outside: help, bad usage, input that is no trace, a leak from start to report.

use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use resshim_analyzer::cli::Cli;
use resshim_tests::launch::{Ending, Launch, Outcome};
use resshim_tests::program::compiled;
use resshim_tests::scratch::Scratch;

fn resshim(args: &[&str]) -> Outcome {
    Launch::cli().args(args).run()
}

/// One line that says what, why and what to do, exit code 2, nothing on standard output.
fn assert_refused(outcome: &Outcome, what: &str) {
    let text = outcome.stderr_text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(outcome.ending, Ending::Exit(2), "{what}: {text}");
    assert!(outcome.stdout.is_empty(), "{what}: {}", outcome.stdout_text());
    assert!(lines.first().is_some_and(|line| line.starts_with("resshim: ")), "{what}: {text}");
    assert_eq!(lines.len(), 1, "{what}: {text}");
    assert!(!text.contains("panicked") && !text.contains("defect"), "{what}: {text}");
}

#[test]
fn every_command_has_help_with_an_example() {
    for command in Cli::command().get_subcommands() {
        let name = command.get_name();
        let outcome = resshim(&[name, "--help"]);
        assert_eq!(outcome.ending, Ending::Exit(0), "{name}");
        let text = outcome.stdout_text();
        assert!(text.contains("Example") && text.contains("resshim "), "{name}: {text}");
        assert!(outcome.stderr.is_empty(), "{name}");
    }
}

#[test]
fn bad_usage_is_one_line_with_a_hint() {
    let bad: &[&[&str]] = &[
        &["no-such-command"],
        &["report", "--no-such-option"],
        &["report", "--format", "pdf"],
        &["report", "--fail-on", "leek"],
        &["report", "--fail-on", "leak:sure"],
        &["report", "--pid", "many"],
        &["audit"],
        &["snapshot"],
        &["snapshot", "many"],
        &["snapshot", "1", "--for", "soon"],
        &["audit", "/no/such/trace"],
        &["run"],
        &["run", "--fail-code", "1000", "--", "true"],
        &["gc"],
        &["gc", "--max-age", "soon", "/"],
        &["schema", "--format", "json"],
        &["report", "/no/such/trace"],
        &["doctor", "--", "no-such-program-anywhere"],
    ];
    for args in bad {
        let outcome = resshim(args);
        assert_refused(&outcome, &args.join(" "));
        assert!(outcome.stderr_text().contains(" (hint: "), "{args:?}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let script = "{ \"$0\" schema; echo $? >&2; } | head -c 1 >/dev/null";
    let cli = resshim_tests::artifacts::cli();
    let outcome = Launch::new("sh").args(["-c", script]).args([cli]).run();
    assert_eq!(outcome.stderr_text(), "0\n");
}

/// Numbers that look random and are the same each time (xorshift).
fn noise(length: usize, mut seed: u64) -> Vec<u8> {
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn what_is_no_trace_is_refused_in_one_line() {
    let scratch = Scratch::new("no-trace");
    let path = |name: &str| scratch.path().join(name);
    fs::write(path("empty"), "").expect("file");
    fs::write(path("foreign"), "root:x:0:0:\n").expect("file");
    fs::write(path("random"), noise(10_000, 7)).expect("file");
    fs::create_dir(path("empty-directory")).expect("directory");
    for (name, length) in [("nothing", 0), ("short", 7), ("noise", 4096)] {
        let directory = path(&format!("manifest-of-{name}"));
        fs::create_dir(&directory).expect("directory");
        fs::write(directory.join("manifest"), noise(length, 9)).expect("file");
    }
    for entry in fs::read_dir(scratch.path()).expect("directory").flatten() {
        let name = entry.path();
        assert_refused(
            &Launch::cli().args(["report"]).args([&name]).run(),
            name.to_str().expect("name"),
        );
        let audit = Launch::cli().args(["audit"]).args([&name]).run();
        assert_refused(&audit, name.to_str().expect("name"));
    }
}

/// A program that leaks a file each third time, and its trace.
fn leaky(scratch: &Scratch) -> PathBuf {
    let source = scratch.path().join("leaky.c");
    let text = "#include <fcntl.h>\n#include <unistd.h>\n\
        __attribute__((noinline)) static int load(int i) {\n    \
        int fd = open(\"/etc/hostname\", O_RDONLY);\n    \
        if (i % 3 == 0) return -1;\n    \
        return close(fd);\n}\n\
        int main(void) {\n    for (int i = 0; i < 30; i++) load(i);\n    return 0;\n}\n";
    // A program of this test alone: the same text elsewhere would be compiled there.
    let text = format!("{text}// {}\n", scratch.path().display());
    fs::write(&source, text).expect("source");
    let program = compiled(&source).expect("a compiler");
    let trace = scratch.path().join("trace");
    let outcome = Launch::cli()
        .args(["run", "--report", "none", "-o"])
        .args([&trace])
        .args(["--"])
        .args([&program.path])
        .run();
    assert_eq!(outcome.ending, Ending::Exit(0), "{}", outcome.stderr_text());
    assert!(outcome.stdout.is_empty() && outcome.stderr.is_empty(), "{}", outcome.stderr_text());
    trace
}

fn report(trace: &Path, args: &[&str]) -> Outcome {
    let source = trace.parent().expect("a directory");
    Launch::cli().args(["report"]).args(args).args(["--source"]).args([source, trace]).run()
}

#[test]
fn a_leak_is_named_with_its_line_by_every_view() {
    let scratch = Scratch::new("leaky");
    let trace = leaky(&scratch);

    let text = report(&trace, &["--at-exit"]).stdout_text();
    assert!(text.contains("10 files"), "{text}");
    assert!(text.contains("at load (leaky.c:4)  int fd = open("), "{text}");
    assert!(text.contains("others are released in load (leaky.c:6)  return close(fd);"), "{text}");
    assert!(text.lines().count() <= 24 && text.lines().all(|line| !line.contains('\x1b')));

    let text = report(&trace, &["--at-exit", "--format", "markdown"]).stdout_text();
    assert!(text.starts_with("## 1 ") && text.contains("`load (leaky.c:4)`"), "{text}");

    let file = scratch.path().join("report.json");
    let path = file.to_str().expect("path");
    let outcome = report(&trace, &["--at-exit", "--format", "json", "-o", path]);
    assert!(outcome.stdout.is_empty(), "it went to the file");
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(&file).expect("report")).expect("JSON");
    let finding = &json["findings"][0];
    assert_eq!((&finding["rule"], &finding["count"]), (&"leak".into(), &10.into()), "{finding}");
    let frame =
        &finding["site"]["frames"][finding["site"]["user"].as_u64().expect("user") as usize];
    assert_eq!((&frame["function"], &frame["line"]), (&"load".into(), &4.into()), "{frame}");
}

#[test]
fn fail_on_decides_the_exit_code_and_nothing_else() {
    let scratch = Scratch::new("fail-on");
    let trace = leaky(&scratch);
    let code = |args: &[&str]| report(&trace, args).ending;
    assert_eq!(code(&["--fail-on", "leak"]), Ending::Exit(0), "open at exit is not judged");
    assert_eq!(code(&["--at-exit", "--fail-on", "leak"]), Ending::Exit(1));
    assert_eq!(code(&["--at-exit", "--fail-on", "leak@file>9"]), Ending::Exit(1));
    assert_eq!(code(&["--at-exit", "--fail-on", "leak@file>10"]), Ending::Exit(0));
    assert_eq!(code(&["--at-exit", "--fail-on", "leak@tcp,double-close"]), Ending::Exit(0));
}

#[test]
fn a_damaged_trace_is_read_or_refused() {
    let scratch = Scratch::new("damaged");
    let trace = leaky(&scratch);
    let mut files: Vec<PathBuf> = vec!["manifest".into(), "index".into(), "events".into()];
    let regions = fs::read_dir(trace.join("regions")).expect("regions").flatten();
    files.extend(regions.map(|entry| Path::new("regions").join(entry.file_name())));
    for file in files {
        let path = trace.join(&file);
        let whole = fs::read(&path).expect("file");
        for round in 0..12 {
            let mut broken = whole.clone();
            if round % 3 == 0 {
                broken.truncate(whole.len() * round / 12);
            } else {
                for at in noise(24, round as u64 + 1).chunks(3) {
                    let place = usize::from(at[0]) << 8 | usize::from(at[1]);
                    let place = place % whole.len().max(1);
                    broken[place] ^= at[2] | 1;
                }
            }
            fs::write(&path, &broken).expect("file");
            let outcome = report(&trace, &["--all"]);
            match outcome.ending {
                Ending::Exit(0) => assert!(!outcome.stdout.is_empty()),
                _ => assert_refused(&outcome, &format!("{} in round {round}", file.display())),
            }
        }
        fs::write(&path, &whole).expect("file");
    }
    let unseen = |outcome: Outcome| {
        let text = outcome.stdout_text();
        text.lines().find(|line| line.starts_with("unseen")).expect("a line").to_owned()
    };
    assert_eq!(unseen(report(&trace, &[])), "unseen  nothing is known to be missing");
    // The end of a trace that was closed is known.
    let events = trace.join("events");
    fs::write(&events, noise(500, 1)).expect("file");
    assert!(unseen(report(&trace, &[])).contains("events: bytes that are missing or unreadable"));
    fs::remove_file(&events).expect("file");
    assert!(!unseen(report(&trace, &[])).contains("nothing"));
}

#[test]
fn the_schema_and_the_operations_are_printed() {
    let schema: serde_json::Value =
        serde_json::from_slice(&resshim(&["schema"]).stdout).expect("JSON");
    for key in ["schema", "trace", "processes", "kinds", "findings", "overhead", "diagnostics"] {
        assert!(schema["properties"].get(key).is_some(), "{key}");
    }
    let operations: serde_json::Value =
        serde_json::from_slice(&resshim(&["schema", "--ops", "--format", "json"]).stdout)
            .expect("JSON");
    let count = operations["operations"].as_array().expect("a list").len();
    assert_eq!(count, resshim_format::op::Op::ALL.len());
    let table = resshim(&["schema", "--ops"]).stdout_text();
    assert_eq!(table.lines().count(), count + 1);
}

#[test]
fn doctor_says_what_cannot_be_traced() {
    assert_eq!(resshim(&["doctor", "--", "sh"]).ending, Ending::Exit(0));
    let scratch = Scratch::new("doctor");
    let file = scratch.path().join("data");
    fs::write(&file, "no program\n").expect("file");
    let outcome = Launch::cli().args(["doctor", "--"]).args([&file]).run();
    assert_eq!(outcome.ending, Ending::Exit(1));
    assert!(outcome.stdout_text().contains("cannot be traced here"), "{}", outcome.stdout_text());
    let outcome = Launch::cli().env("RESSHIM_LIB", "/no/such.so").args(["doctor"]).run();
    assert_eq!(outcome.ending, Ending::Exit(1));
}
