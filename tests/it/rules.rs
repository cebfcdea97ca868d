//! `.resshim.toml`: what a project allows and has looked into, from the file to the exit status.

use std::path::Path;

use resshim_tests::launch::{Ending, Launch, Outcome};
use resshim_tests::program;
use resshim_tests::scratch::Scratch;
use serde_json::Value;

/// Runs a program that leaks files under `run --at-exit --fail-on leak` in a directory with these rules.
fn run_with(rules: &str, more: &[&str]) -> (Outcome, Scratch) {
    let out = Scratch::new("rules");
    std::fs::write(out.path().join(".resshim.toml"), rules).expect("rules");
    let program = program::named("leaks/leaks_files");
    let mut args = vec!["run", "--at-exit", "--fail-on", "leak", "-o", "trace"];
    args.extend(more);
    let launch = Launch::cli().directory(out.path()).args(args).args(["--"]).args([&program.path]);
    (launch.run(), out)
}

fn report(trace: &Path, rules: &Path) -> Value {
    let launch = Launch::cli().args(["report", "--at-exit", "--format", "json", "--config"]);
    let outcome = launch.args([rules, trace]).run();
    assert_eq!(outcome.ending, Ending::Exit(0), "{}", outcome.stderr_text());
    serde_json::from_slice(&outcome.stdout).expect("JSON")
}

#[test]
fn a_suppressed_finding_fails_no_job_and_is_said() {
    let (failed, _out) = run_with("", &[]);
    assert_eq!(failed.ending, Ending::Exit(1), "{}", failed.stderr_text());
    let suppress = "[[rules.suppress]]\nrule = \"leak\"\nkind = \"file\"\nreason = \"kept \\u001b[31mon purpose\"\n";
    let (passed, out) = run_with(suppress, &["--report", "table"]);
    let text = passed.stderr_text();
    assert_eq!(passed.ending, Ending::Exit(0), "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let rules = out.path().join(".resshim.toml");
    let report = report(&out.path().join("trace"), &rules);
    let said = report["diagnostics"].as_array().expect("diagnostics");
    let is_said = |text: &str| said.iter().any(|one| one["text"].as_str().unwrap().contains(text));
    assert!(is_said("suppressed by the project's rules: kept"), "{said:?}");
    assert!(report["findings"].as_array().expect("findings").iter().all(|f| f["kind"] != "file"));
}

#[test]
fn limits_and_hold_times_of_a_project_are_findings() {
    let rules = "[[rules.limit]]\nkind = \"file\"\nmax = 2\n\n[[rules.expect]]\nkind = \"file\"\nseconds = 0.000001\n";
    let (_, out) = run_with(rules, &[]);
    let report = report(&out.path().join("trace"), &out.path().join(".resshim.toml"));
    let rules: Vec<&str> = report["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .filter_map(|f| f["rule"].as_str())
        .collect();
    assert!(rules.contains(&"threshold") && rules.contains(&"overdue"), "{rules:?}");
}

#[test]
fn rules_without_sense_are_refused_before_anything_runs() {
    let (refused, out) = run_with("[rules]\nconfidense = 1\n", &[]);
    let text = refused.stderr_text();
    assert_eq!(refused.ending, Ending::Exit(2), "{text}");
    assert!(text.starts_with("resshim: .resshim.toml: line 2: unknown field"), "{text}");
    assert!(!out.path().join("trace").exists());
    let absent =
        Launch::cli().args(["report", "--config", "/no/such/file"]).args([out.path()]).run();
    assert_eq!(absent.ending, Ending::Exit(2), "{}", absent.stderr_text());
}
