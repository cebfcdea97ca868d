//! `resshim audit`: who acquired a resource, who passed it on, who gave it back.

use std::path::Path;

use resshim_tests::launch::{Ending, Launch, Outcome};
use resshim_tests::program;
use resshim_tests::scratch::Scratch;
use serde_json::Value;

fn audit(trace: &Path, args: &[&str]) -> Outcome {
    Launch::cli().args(["audit"]).args(args).args([trace]).run()
}

fn lines(trace: &Path, args: &[&str]) -> Vec<Value> {
    let outcome = audit(trace, &[args, &["--format", "json"]].concat());
    assert_eq!(outcome.ending, Ending::Exit(0), "{}", outcome.stderr_text());
    let text = outcome.stdout_text();
    text.lines().map(|line| serde_json::from_str(line).expect("a line is an object")).collect()
}

/// Runs a program of `audit` under `run`; its trace.
fn traced(name: &str, out: &Scratch) -> std::path::PathBuf {
    let trace = out.path().join("trace");
    let launch = Launch::of(&program::named(&format!("audit/{name}"))).directory(out.path());
    let outcome = launch.under_run(&trace).run();
    assert_eq!(outcome.ending, Ending::Exit(0), "{}", outcome.stderr_text());
    trace
}

fn own_function(line: &Value) -> String {
    let user = line["site"]["user"].as_u64().expect("user") as usize;
    line["site"]["frames"][user]["function"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_file_is_followed_over_dup_fork_and_exec_to_who_closes_it() {
    let out = Scratch::new("audit-passes");
    let trace = traced("passes_on", &out);
    let all = lines(&trace, &["--kind", "file"]);
    let of = |label: &str| {
        let first = all.iter().find(|line| line["label"] == label).expect("it was opened");
        let number = &first["resource"];
        let mut own = all.iter().filter(|line| line["resource"] == *number).collect::<Vec<_>>();
        own.sort_by(|a, b| a["at_s"].as_f64().partial_cmp(&b["at_s"].as_f64()).expect("times"));
        own
    };
    let shared = of("/etc/passwd");
    let parent = shared[0]["pid"].as_u64().expect("pid");
    let told: Vec<(String, String, String, bool)> = shared
        .iter()
        .map(|line| {
            let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            let event = match line["effect"].as_str() {
                Some("failed") => format!("{} failed", text("event")),
                _ => text("event"),
            };
            (event, text("handle"), own_function(line), line["pid"] == parent)
        })
        .collect();
    let expected: Vec<(String, String, String, bool)> = [
        ("open", "fd:3", "open_shared", true),
        ("dup", "fd:4", "duplicate", true),
        ("fork", "fd:3", "main", true),
        ("fork", "fd:4", "main", true),
        ("close", "fd:3", "main", false),
        ("exec", "fd:4", "main", false),
        ("close", "fd:4", "close_in_program", false),
        ("close", "fd:3", "main", true),
        ("close failed", "fd:3", "close_again", true),
        ("close", "fd:4", "main", true),
    ]
    .map(|(event, handle, function, own)| (event.into(), handle.into(), function.into(), own))
    .to_vec();
    assert_eq!(told, expected);
    assert_eq!(shared[0]["arguments"]["flags"], "O_RDONLY");
    assert_eq!(shared[1]["alias_of"], "fd:3");
    assert_eq!(shared[8]["arguments"]["errno"], "EBADF");
    let child = shared[2]["to_pid"].as_u64().expect("the child");
    assert_eq!(shared[4]["pid"].as_u64(), Some(child));
    assert_eq!(shared[6]["image"], 2, "the program that came by exec");

    let closed_by_exec = of("/dev/null");
    assert_eq!(closed_by_exec.last().expect("steps")["event"], "closed by exec");

    let failed = all.iter().find(|line| line["resource"].is_null()).expect("the failed open");
    assert_eq!((&failed["event"], own_function(failed)), (&"open".into(), "open_nothing".into()));
    assert_eq!(failed["arguments"]["errno"], "ENOENT");
    assert_eq!(failed["arguments"]["mode"], "0640");
    assert_eq!(failed["arguments"]["flags"], "O_RDWR|O_CREAT|O_CLOEXEC");
}

#[test]
fn options_choose_resources_and_show_all_of_their_steps() {
    let out = Scratch::new("audit-options");
    let trace = traced("passes_on", &out);
    let all = lines(&trace, &[]);
    let of_kind = |lines: &[Value], kind: &str| lines.iter().filter(|l| l["kind"] == kind).count();
    assert!(of_kind(&all, "pipe") > 0 && of_kind(&all, "process") > 0);
    let pipes = lines(&trace, &["--kind", "pipe"]);
    assert_eq!((pipes.len(), of_kind(&pipes, "pipe")), (of_kind(&all, "pipe"), pipes.len()));

    // The second descriptor of the file: the file's first one is shown with it.
    let child = all.iter().find_map(|line| line["to_pid"].as_u64()).expect("a child").to_string();
    let fourth = lines(&trace, &["--handle", "fd:4", "--pid", &child]);
    assert!(fourth.iter().any(|line| line["handle"] == "fd:3" && line["event"] == "open"));
    assert!(fourth.iter().all(|line| line["label"] != "/dev/zero"), "{fourth:?}");

    assert!(lines(&trace, &["--since", "1h"]).is_empty());
    let table = audit(&trace, &["--since", "1h"]).stdout_text();
    assert_eq!(table.lines().next(), Some("no resource that was asked for"));
}

#[test]
fn the_table_tells_the_life_of_each_resource_within_80_columns() {
    let out = Scratch::new("audit-table");
    let trace = traced("passes_on", &out);
    let outcome = audit(&trace, &["--kind", "file"]);
    assert_eq!((outcome.ending, outcome.stderr_text()), (Ending::Exit(0), String::new()));
    let text = outcome.stdout_text();
    assert!(text.starts_with("#1  file fd:3  /etc/passwd\n"), "{text}");
    assert!(text.contains(": dup  fd:4  of fd:3\n"), "{text}");
    assert!(text.contains(": close failed  fd:3  EBADF\n"), "{text}");
    assert!(text.contains("passes_on.c:19) < main ("), "who called is there too: {text}");
    assert!(text.contains(": closed by exec after "), "{text}");
    assert!(text.contains("\nfailed calls\n"), "{text}");
    let long = text.lines().find(|line| line.chars().count() > 80);
    assert_eq!(long, None, "{text}");
    assert!(!text.contains('\x1b'));
    let all = audit(&trace, &["--kind", "file", "--stacks"]).stdout_text();
    assert!(all.contains("> open_shared (") && all.contains("_start"), "{all}");
}

#[test]
fn threads_blocks_and_mappings_have_trails_too() {
    let out = Scratch::new("audit-others");
    let trace = out.path().join("trace");
    let launch = Launch::of(&program::named("audit/gives_back")).env("RESSHIM_HEAP_SAMPLE", "1");
    assert_eq!(launch.under_run(&trace).run().ending, Ending::Exit(0));
    let events = |kind: &str, last: &str| -> Vec<String> {
        let all = lines(&trace, &["--kind", kind]);
        assert!(all.iter().all(|line| line["kind"] == kind), "{all:?}");
        let of = |line: &&Value| line["event"] == last;
        let number = all.iter().find(of).unwrap_or_else(|| panic!("no {last} in {all:?}"));
        let own = all.iter().filter(|line| line["resource"] == number["resource"]);
        own.map(|line| line["event"].as_str().expect("a word").to_owned()).collect()
    };
    let joined = events("thread", "pthread_join");
    assert_eq!(
        (joined[0].as_str(), joined[joined.len() - 1].as_str()),
        ("pthread_create", "pthread_join")
    );
    assert_eq!(events("heap", "free"), ["malloc", "free"]);
    assert_eq!(events("mapping", "munmap"), ["mmap", "munmap", "munmap"]);
    let block = |line: &&Value| line["arguments"]["bytes"] == "1234";
    let blocks = lines(&trace, &["--kind", "heap"]);
    let block = blocks.iter().find(block).expect("the block");
    // An address inside of a block names it.
    let handle = block["handle"].as_str().expect("a handle").trim_start_matches("heap:0x");
    let inside = u64::from_str_radix(handle, 16).expect("an address") + 1;
    let named = lines(&trace, &["--handle", &format!("heap:{inside:#x}")]);
    assert!(named.iter().any(|line| line["arguments"] == block["arguments"]), "{named:?}");
}

#[test]
fn what_cannot_be_asked_for_is_refused_in_one_line() {
    let out = Scratch::new("audit-refused");
    let trace = traced("passes_on", &out);
    for args in [
        &["--pid", "1"][..],
        &["--kind", "tpc"],
        &["--handle", "7"],
        &["--since", "soon"],
        &["--format", "markdown"],
    ] {
        let outcome = audit(&trace, args);
        let text = outcome.stderr_text();
        assert_eq!(outcome.ending, Ending::Exit(2), "{args:?}: {text}");
        assert!(outcome.stdout.is_empty(), "{args:?}");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("resshim: ") && lines.len() == 1, "{args:?}: {text}");
        assert!(lines[0].contains(" (hint: "), "{args:?}: {text}");
    }
    let file = out.path().join("trail.json");
    let path = file.to_str().expect("path");
    let outcome = audit(&trace, &["--format", "json", "-o", path]);
    assert!(outcome.stdout.is_empty() && outcome.ending == Ending::Exit(0));
    let text = std::fs::read_to_string(&file).expect("the file");
    assert_eq!(text.lines().count(), lines(&trace, &[]).len());
}

#[test]
fn a_reader_that_leaves_the_trail_is_no_failure() {
    let out = Scratch::new("audit-pipe");
    let trace = traced("passes_on", &out);
    let script = "{ \"$0\" audit \"$1\"; echo $? >&2; } | head -c 1 >/dev/null";
    let cli = resshim_tests::artifacts::cli();
    let outcome = Launch::new("sh").args(["-c", script]).args([&cli]).args([&trace]).run();
    assert_eq!(outcome.stderr_text(), "0\n");
}
