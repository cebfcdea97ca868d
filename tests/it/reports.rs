//! What `report` finds in programs that leak one thing each, and how `run` passes on what CMD did.

use std::path::Path;

use resshim_tests::expect::{self, Normaliser};
use resshim_tests::launch::{Ending, Launch};
use resshim_tests::program::{self, Program};
use resshim_tests::recorder::record;
use resshim_tests::scratch::Scratch;
use serde_json::Value;

/// A finding, as far as these tests look: rule, kind, how many, innermost function.
type Found = (String, String, u64, String);

/// Runs a program of `leaks` under `run`; the report of its trace as JSON.
fn report_of_run(name: &str) -> Value {
    let (program, out) = (leaking(name), Scratch::new(name));
    let trace = out.path().join("trace");
    let launch = Launch::of(&program).directory(out.path()).env("RESSHIM_HEAP_SAMPLE", "1");
    assert_eq!(launch.under_run(&trace).run().ending, Ending::Exit(0));
    json(&trace)
}

/// The same of a bare preload.
fn report_of_preload(name: &str) -> Value {
    let (program, out) = (leaking(name), Scratch::for_regions(name));
    let launch = Launch::of(&program).directory(out.path()).env("RESSHIM_HEAP_SAMPLE", "1");
    assert_eq!(launch.preloaded(out.path()).run().ending, Ending::Exit(0));
    json(out.path())
}

fn leaking(name: &str) -> Program {
    program::named(&format!("leaks/{name}"))
}

fn json(trace: &Path) -> Value {
    let report =
        Launch::cli().args(["report", "--at-exit", "--format", "json"]).args([trace]).run();
    assert_eq!(report.ending, Ending::Exit(0), "{}", report.stderr_text());
    serde_json::from_slice(&report.stdout).expect("JSON")
}

fn findings(report: &Value) -> Vec<Found> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = report["findings"].as_array().expect("findings");
    all.iter()
        .map(|finding| {
            let function = text(&finding["site"]["frames"][0]["function"]);
            let count = finding["count"].as_u64().expect("count");
            (text(&finding["rule"]), text(&finding["kind"]), count, function)
        })
        .collect()
}

fn finds(name: &str, rule: &str, kind: &str, count: u64, function: &str) {
    let expected = (rule.to_owned(), kind.to_owned(), count, function.to_owned());
    for (how, report) in [("run", report_of_run(name)), ("preload", report_of_preload(name))] {
        let found = findings(&report);
        assert!(found.contains(&expected), "{name}, {how}: {expected:?} is not in {found:?}");
        let same_kind = found.iter().filter(|found| found.1 == kind).count();
        assert_eq!(same_kind, 1, "{name}, {how}: more than one of {kind}: {found:?}");
    }
}

#[test]
fn leaked_files_are_found_at_their_line() {
    finds("leaks_files", "leak", "file", 20, "leak_file");
    let report = report_of_run("leaks_files");
    let frame = &report["findings"][0]["site"]["frames"][0];
    assert_eq!(frame["line"], 4, "{frame}");
    assert!(frame["file"].as_str().is_some_and(|file| file.ends_with("leaks_files.c")), "{frame}");
    let kinds = report["kinds"].as_array().expect("kinds");
    let files = kinds.iter().find(|kind| kind["kind"] == "file").expect("files");
    let totals = [&files["acquired"], &files["released"], &files["live"]];
    assert_eq!(totals.map(|total| total.as_u64().unwrap_or(u64::MAX)), [40, 20, 20]);
}

#[test]
fn leaked_descriptors_of_every_kind_are_found() {
    finds("leaks_sockets", "leak", "unix", 10, "leak_socket");
    finds("leaks_pipes", "leak", "pipe", 10, "leak_pipe_end");
    finds("leaks_streams", "leak", "file", 10, "leak_stream");
    finds("leaks_directories", "leak", "dir", 10, "leak_directory");
    finds("leaks_received", "leak", "file", 10, "leak_received");
}

#[test]
fn what_is_known_of_the_use_of_leaked_descriptors_is_evidence() {
    let report = report_of_run("leaks_ended");
    let evidence = |function: &str| {
        let all = report["findings"].as_array().expect("findings");
        let of = all.iter().find(|f| f["site"]["frames"][0]["function"] == function);
        of.expect("a finding")["evidence"].clone()
    };
    let ended = evidence("leak_ended");
    assert_eq!((&ended["ended_by_peer"], &ended["never_used"]), (&10.into(), &0.into()));
    assert!(ended["last_used_s"].is_number(), "{ended}");
    let unused = evidence("leak_unused");
    assert_eq!(unused["never_used"], 10);
    assert_eq!((&unused["last_used_s"], &unused["ended_by_peer"]), (&Value::Null, &Value::Null));
    let streams = &report_of_run("leaks_streams")["findings"][0]["evidence"];
    assert_eq!(streams["never_used"], Value::Null, "what libc does inside is not known");
}

#[test]
fn uses_of_what_was_closed_are_found_and_what_only_looks_so_is_not() {
    for report in [report_of_run("uses_closed"), report_of_preload("uses_closed")] {
        let mut found = findings(&report);
        found.retain(|found| found.0 == "use-after-close");
        found.sort();
        let expected = [
            ("epoll", 1, "waits_closed"),
            ("file", 1, "polls_closed"),
            ("file", 4, "reads_closed"),
        ];
        let expected = expected.map(|(kind, count, function)| {
            ("use-after-close".to_owned(), kind.to_owned(), count, function.to_owned())
        });
        assert_eq!(found, expected);
        let all = report["findings"].as_array().expect("findings");
        let first = all.iter().find(|f| f["rule"] == "use-after-close").expect("one");
        assert_eq!(first["evidence"]["closed_at"][0]["frames"][0]["function"], "owner_closes");
        assert_eq!(first["verdict"], "probable");
    }
    for report in [report_of_run("uses_rightly"), report_of_preload("uses_rightly")] {
        let found = findings(&report);
        assert!(!found.iter().any(|found| found.0 == "use-after-close"), "{found:?}");
    }
}

#[test]
fn leaked_blocks_and_mappings_are_found() {
    finds("leaks_heap", "leak", "heap", 100, "leak_blocks");
    finds("leaks_mappings", "leak", "mapping", 10, "leak_mapping");
}

#[test]
fn threads_and_children_that_nobody_waits_for_are_found() {
    finds("leaks_threads", "leak", "thread", 5, "leak_thread");
    finds("leaks_children", "leak", "process", 5, "leak_child");
}

#[test]
fn where_the_same_line_is_released_on_another_path_is_told() {
    finds("leaks_on_one_path", "leak", "file", 20, "read_config");
    let report = report_of_run("leaks_on_one_path");
    let finding = &report["findings"][0];
    let sibling = &finding["evidence"]["released_at"][0]["frames"][0];
    assert_eq!(
        (sibling["function"].as_str(), sibling["line"].as_u64()),
        (Some("read_config"), Some(7))
    );
    let advice = finding["advice"].as_str().expect("advice");
    assert!(advice.contains("read_config (leaks_on_one_path.c:7) releases"), "{advice}");
}

#[test]
fn a_trace_that_run_has_closed_keeps_its_names_when_the_binary_is_gone() {
    for report in [&[][..], &["--report", "none"]] {
        let out = Scratch::new("rebuilt");
        let (binary, trace) = (out.path().join("service"), out.path().join("trace"));
        std::fs::copy(&leaking("leaks_files").path, &binary).expect("a copy");
        let run = Launch::cli().args(["run", "-o"]).args([&trace]).args(report);
        let run = run.args(["--"]).args([&binary]).run();
        assert_eq!(run.ending, Ending::Exit(0), "{}", run.stderr_text());
        names_outlive(&binary, &trace);
    }
}

#[test]
fn a_trace_that_record_has_closed_keeps_its_names_when_the_binary_is_gone() {
    let (live, out) = (Scratch::for_regions("recorded"), Scratch::new("recorded"));
    let (binary, trace) = (out.path().join("service"), out.path().join("trace"));
    std::fs::copy(&leaking("leaks_files").path, &binary).expect("a copy");
    let bare = Launch::new(&binary).preloaded(live.path()).run();
    assert_eq!(bare.ending, Ending::Exit(0), "{}", bare.stderr_text());
    record(&trace, live.path());
    names_outlive(&binary, &trace);
}

/// The first report is made when another program stands where the traced one stood.
fn names_outlive(binary: &Path, trace: &Path) {
    std::fs::remove_file(binary).expect("removed");
    std::fs::copy("/bin/true", binary).expect("another program");
    let report =
        Launch::cli().args(["report", "--format", "json", "--at-exit"]).args([trace]).run();
    let report: Value = serde_json::from_slice(&report.stdout).expect("JSON");
    let frame = &report["findings"][0]["site"]["frames"][0];
    assert_eq!((frame["function"].as_str(), frame["line"].as_u64()), (Some("leak_file"), Some(4)));
}

#[test]
fn the_second_of_two_who_close_is_found() {
    let found = findings(&report_of_run("closes_twice"));
    // The last close finds nothing there; the ones before too: nobody took the number meanwhile.
    let second = found.iter().find(|found| found.0 == "double-close").expect("a double close");
    assert_eq!(second.3, "closes_again");
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn closing_under_a_stream_is_proven_by_the_close_of_the_stream() {
    let report = report_of_run("closes_under_streams");
    let found = findings(&report);
    for (rule, kind, function) in [
        ("bad-close", "file", "under_file"),
        ("bad-close", "dir", "under_directory"),
        ("bad-close", "file", "hits_another"),
        ("double-close", "unix", "hits_another"),
    ] {
        let expected = (rule.to_owned(), kind.to_owned(), 5, function.to_owned());
        assert!(found.contains(&expected), "{expected:?} is not in {found:?}");
    }
    for finding in report["findings"].as_array().expect("findings") {
        assert_eq!(finding["verdict"], "probable", "{finding}");
    }
}

#[test]
fn numbers_that_go_from_one_thread_to_the_next_are_nobodys_fault() {
    let (program, out) =
        (program::named("behaviours/streams_and_numbers"), Scratch::new("numbers"));
    let trace = out.path().join("trace");
    assert_eq!(Launch::of(&program).under_run(&trace).run().ending, Ending::Exit(0));
    let report = json(&trace);
    assert_eq!(findings(&report), []);
    for kind in report["kinds"].as_array().expect("kinds").iter().filter(|k| k["kind"] != "heap") {
        assert_eq!(kind["acquired"], kind["released"], "{kind}");
    }
    assert_eq!(report["processes"][0]["not_visible"], serde_json::json!([]));
}

#[test]
fn what_is_accepted_on_an_inherited_listener_has_its_kind() {
    let (program, out) =
        (program::named("behaviours/inherited_listener"), Scratch::new("listener"));
    let trace = out.path().join("trace");
    let outcome = Launch::of(&program).under_run(&trace).run();
    assert_eq!(outcome.ending, Ending::Exit(0));
    assert_eq!(outcome.stdout_text(), "child 0\nfiltered\n");
    let report = json(&trace);
    let kinds = report["kinds"].as_array().expect("kinds");
    let acquired = |name: &str| {
        let kind = kinds.iter().find(|kind| kind["kind"] == name).expect("a kind");
        kind["acquired"].as_u64().expect("a number")
    };
    // A listener and its duplicate; three callers, three served and a duplicate; one of each; three callers.
    assert_eq!(acquired("tcp"), 2 + 7 + 2 + 3);
    assert_eq!(acquired("unix"), 2 + 6 + 2 + 3);
    // Behind the filter nobody asks.
    assert_eq!(acquired("socket"), 3 + 3 + 1);
}

#[test]
fn nothing_is_found_where_all_is_given_back() {
    assert_eq!(findings(&report_of_run("leaks_nothing")), []);
    assert_eq!(findings(&report_of_preload("leaks_nothing")), []);
}

#[test]
fn run_ends_as_the_command_ended() {
    let out = Scratch::new("endings");
    let ending = |script: &str| {
        let launch = Launch::new("sh").args(["-c", script]);
        launch.under_run(&out.path().join("trace")).run().ending
    };
    assert_eq!(ending("exit 3"), Ending::Exit(3));
    assert_eq!(ending("kill -9 $$"), Ending::Exit(137));
    let run = |command: &str| Launch::new(command).under_run(&out.path().join("trace")).run();
    assert_eq!(run("/absent/program").ending, Ending::Exit(127));
    assert_eq!(run("/dev/null").ending, Ending::Exit(126));
}

#[test]
fn the_table_of_a_leak_reads_as_expected() {
    let (program, out) = (leaking("leaks_files"), Scratch::new("table"));
    let trace = out.path().join("trace");
    Launch::of(&program).under_run(&trace).run();
    let source = program.source.parent().expect("a directory");
    let report = Launch::cli()
        .directory(source)
        .args(["report", "--at-exit"])
        .args([&trace])
        .env("COLUMNS", "80")
        .run();
    assert_eq!((report.ending, report.stderr_text()), (Ending::Exit(0), String::new()));
    let mut normaliser = Normaliser::new();
    normaliser.replace_path(&trace, "[TRACE]");
    // When it was, what it cost, how near the limit of this machine: told, but not compared.
    let text: Vec<String> = report.stdout_text().lines().map(without_moments).collect();
    expect::output("report_leaks_files", &normaliser.apply(&text.join("\n")));
}

fn without_moments(line: &str) -> String {
    for measured in ["limit ", "cost "] {
        if line.starts_with(measured) {
            return format!("{measured}[MEASURED]");
        }
    }
    match line.split_once(", since ") {
        Some((what, _)) => format!("{what}, since [TIME]"),
        None => line.to_owned(),
    }
}

#[test]
fn commands_without_sense_are_refused_in_one_line() {
    let out = Scratch::new("refused");
    let empty = out.path().join("empty");
    std::fs::create_dir(&empty).expect("directory");
    let file = out.path().join("file");
    std::fs::write(&file, "no trace").expect("file");
    let mut texts = String::new();
    for args in
        [&["report", "/absent/trace"][..], &["report", "--fail-on", "nonsense"], &["nonsense"]]
    {
        let outcome = Launch::cli().args(args).run();
        assert_eq!(outcome.ending, Ending::Exit(2), "{args:?}: {}", outcome.stderr_text());
        assert_eq!(outcome.stdout_text(), "", "{args:?}");
        texts += &format!("$ resshim {}\n{}", args.join(" "), outcome.stderr_text());
    }
    for path in [&empty, &file] {
        let outcome = Launch::cli().args(["report"]).args([path]).run();
        assert_eq!(outcome.ending, Ending::Exit(2), "{}", outcome.stderr_text());
        let name = path.file_name().expect("a name").to_string_lossy();
        texts += &format!("$ resshim report {name}\n{}", outcome.stderr_text());
    }
    let mut normaliser = Normaliser::new();
    normaliser.replace_path(out.path(), "[SCRATCH]");
    expect::output("refused", &normaliser.apply(&texts));
}

#[test]
fn what_libc_keeps_for_itself_is_no_leak_and_what_it_gives_is_one() {
    for report in [report_of_run("libc_keeps"), report_of_preload("libc_keeps")] {
        assert_eq!(findings(&report), [], "{}", report["findings"]);
    }
    let report = report_of_run("libc_gives");
    let blocks = report["findings"].as_array().expect("findings").iter();
    let blocks = blocks.filter(|finding| finding["kind"] == "heap");
    // `getline` may be a function of a header, inlined into the program's own.
    let own = |finding: &Value| {
        let frames = finding["site"]["frames"].as_array().expect("frames").iter();
        let mut names = frames.filter_map(|frame| frame["function"].as_str().map(str::to_owned));
        names.find(|name| name.starts_with("forget"))
    };
    let mut functions: Vec<String> = blocks.filter_map(own).collect();
    functions.sort_unstable();
    let forgets = ["forget_addresses", "forget_copy", "forget_line", "forget_path", "forget_text"];
    assert_eq!(functions, forgets, "{}", report["findings"]);
}
