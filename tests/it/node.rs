//! Node: functions of the program by name, whatever called them and however V8 compiled them; what `run`
//! does for it, and what it leaves behind (nothing).

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use resshim_analyzer::source::manifest::Manifest;
use resshim_analyzer::source::trace::Trace;
use resshim_tests::artifacts;
use resshim_tests::launch::{Ending, Launch, Outcome};
use resshim_tests::scratch::Scratch;
use serde_json::Value;

/// What every program of these tests opens.
const FILE: &str = "/etc/hostname";

/// False, and said on standard error, where there is no node.
fn is_there() -> bool {
    let there = Command::new("node").arg("--version").output().is_ok();
    if !there {
        let _ = writeln!(std::io::stderr(), "skipped: there is no node");
    }
    there
}

fn source(name: &str) -> PathBuf {
    artifacts::tests_dir().join("programs/node").join(name)
}

fn node(script: &Path, scratch: &Scratch) -> Launch {
    let launch = Launch::new("node").args([script]).directory(scratch.path());
    launch.env("RESSHIM_TRACK", "-heap,-mapping")
}

fn inline(text: &str, scratch: &Scratch) -> Launch {
    let script = scratch.path().join("inline.js");
    std::fs::write(&script, text).expect("the script");
    node(&script, scratch)
}

/// The report with what was still open at exit.
fn report(trace: &Path) -> Value {
    let report =
        Launch::cli().args(["report", "--at-exit", "--format", "json"]).args([trace]).run();
    assert_eq!(report.ending, Ending::Exit(0), "{}", report.stderr_text());
    serde_json::from_slice(&report.stdout).expect("JSON")
}

fn findings(report: &Value) -> Vec<&Value> {
    let all = report["findings"].as_array().expect("findings");
    all.iter().filter(|finding| finding["resources"][0]["label"] == FILE).collect()
}

/// Functions of this script in a finding's stack, innermost first, with the line that is told.
fn own_functions(finding: &Value, script: &Path) -> Vec<(String, u64)> {
    let frames = finding["site"]["frames"].as_array().expect("frames");
    let own = frames.iter().filter(|frame| frame["file"] == *script.to_string_lossy());
    own.map(|frame| {
        (frame["function"].as_str().unwrap_or("").to_owned(), frame["line"].as_u64().unwrap_or(0))
    })
    .collect()
}

fn line_of(script: &Path, text: &str) -> u64 {
    let source = std::fs::read_to_string(script).expect("the source");
    let line = source.lines().position(|line| line.contains(text));
    line.unwrap_or_else(|| panic!("no {text}")) as u64 + 1
}

fn map_of(pid: &Value) -> PathBuf {
    PathBuf::from(format!("/tmp/perf-{pid}.map"))
}

fn diagnostics(report: &Value) -> String {
    report["diagnostics"].to_string()
}

#[test]
fn functions_have_names_wherever_they_are_called_from() {
    if !is_there() {
        return;
    }
    let scratch = Scratch::new("node-places");
    let (script, trace) = (source("work.js"), scratch.path().join("trace"));
    let plain = node(&script, &scratch).run();
    let traced = node(&script, &scratch).under_run(&trace).run();
    assert_eq!(traced.difference(&plain), None);
    let report = report(&trace);
    let places = [
        ("inMain", "function inMain"),
        ("take", "class Pool"),
        ("inTimer", "function inTimer"),
        ("inAsync", "function inAsync"),
        ("inPromise", "function inPromise"),
        ("inRequest", "function inRequest"),
        ("inWorker", "function inWorker"),
        ("inChild", "function inChild"),
        ("inCluster", "function inCluster"),
    ];
    let mut found = findings(&report);
    // What libuv's pool was opening when the program ended has no line of it.
    found.retain(|finding| finding["site"]["own"] == true);
    assert_eq!(found.len(), places.len(), "healthy ones are none: {found:#?}");
    for (function, text) in places {
        let line = line_of(&script, text);
        let at = found.iter().position(|finding| {
            let own = own_functions(finding, &script);
            own.first().is_some_and(|first| first.0 == "open")
                && own.get(1) == Some(&(function.to_owned(), line))
        });
        let finding = found.remove(at.unwrap_or_else(|| panic!("no {function}: {found:#?}")));
        let user = finding["site"]["user"].as_u64().expect("an index") as usize;
        assert_eq!(finding["site"]["frames"][user]["function"], "open", "{function}");
        assert_eq!((&finding["count"], &finding["id_stable"]), (&1.into(), &true.into()));
    }
    // Its own handle on the map is no finding, and nothing of it stays.
    assert!(!report["findings"].to_string().contains("/perf-"), "{}", report["findings"]);
    let processes = report["processes"].as_array().expect("processes");
    assert!(processes.len() >= 3, "children are traced: {processes:?}");
    for process in processes {
        assert!(!map_of(&process["pid"]).exists(), "{process}");
        // What libuv's pool opens for the program has no function on the stack, and that alone is said.
        let unseen = process["not_visible"].as_array().expect("a list");
        let is_pool = |text: &str| text.contains("acquired in node's own threads");
        assert!(unseen.iter().all(|one| is_pool(one.as_str().unwrap_or(""))), "{process}");
    }
    let left: BTreeSet<_> = std::fs::read_dir(scratch.path()).expect("a directory").collect_names();
    assert_eq!(left, BTreeSet::from(["trace".to_owned()]), "V8 logs nothing here");
    assert!(diagnostics(&report).contains("NODE_OPTIONS was extended"), "it is said");
}

trait CollectNames {
    fn collect_names(self) -> BTreeSet<String>;
}
impl CollectNames for std::fs::ReadDir {
    fn collect_names(self) -> BTreeSet<String> {
        self.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

#[test]
fn a_function_that_is_compiled_again_stays_one_site_apart_from_its_healthy_twin() {
    if !is_there() {
        return;
    }
    let scratch = Scratch::new("node-tiers");
    let (script, trace) = (source("tiers.js"), scratch.path().join("trace"));
    let ran = node(&script, &scratch).under_run(&trace).run();
    assert_eq!(ran.ending, Ending::Exit(0), "{}", ran.stderr_text());
    let report = report(&trace);
    let found = findings(&report);
    let leaky = (String::from("leaky"), line_of(&script, "function leaky"));
    // What V8 has compiled it into, when both are hot.
    let caller = (String::from("<anonymous>"), line_of(&script, "setInterval"));
    let functions: Vec<_> =
        found.iter().filter_map(|leak| own_functions(leak, &script).into_iter().next()).collect();
    assert!(functions.contains(&leaky), "{functions:?}");
    assert!(
        functions.iter().all(|function| [&leaky, &caller].contains(&function)),
        "{functions:?}"
    );
    assert_eq!(found.len(), functions.iter().collect::<BTreeSet<_>>().len(), "{functions:?}");
    let count = |leak: &&Value| leak["count"].as_u64().unwrap_or(0);
    assert_eq!(found.iter().map(count).sum::<u64>(), 400);
    for leak in &found {
        // None of what the healthy twin gave back is counted here.
        assert_eq!(leak["evidence"]["released"], 0, "{leak}");
    }
    // The same by addresses is more than one, or this shows nothing.
    let raw = Trace::open(&trace).expect("a trace");
    let held = |fd: &resshim_analyzer::source::rows::Fd| fd.label == FILE;
    let sites = raw.regions.iter().flat_map(|region| region.state.fds().filter(held));
    let sites: BTreeSet<u32> = sites.map(|fd| fd.site).collect();
    assert!(sites.len() > 1, "V8 compiled nothing again: {sites:?}");
}

#[test]
fn a_node_that_was_killed_has_told_its_functions() {
    if !is_there() {
        return;
    }
    let scratch = Scratch::new("node-killed");
    let trace = scratch.path().join("trace");
    let text = "function leaky() { require('fs').openSync('/etc/hostname'); }\n\
                setTimeout(() => { leaky(); process.kill(process.pid, 'SIGKILL'); }, 1);\n";
    let ran = inline(text, &scratch).under_run(&trace).run();
    assert_eq!(ran.ending, Ending::Exit(137));
    let report = report(&trace);
    let script = scratch.path().join("inline.js");
    let own = own_functions(findings(&report)[0], &script);
    assert_eq!(own.first(), Some(&("leaky".to_owned(), 1)), "{own:?}");
    assert!(!map_of(&report["processes"][0]["pid"]).exists());
}

#[test]
fn where_no_function_of_the_program_is_on_the_stack_that_is_said() {
    if !is_there() {
        return;
    }
    let scratch = Scratch::new("node-none");
    let trace = scratch.path().join("trace");
    // A file by a thread of node's pool, a connection in a later turn of the loop.
    let text = "const fs = require('fs'), net = require('net');\n\
                const kept = [];\n\
                async function asked() { kept.push(await fs.promises.open('/etc/hostname')); }\n\
                const server = net.createServer(s => kept.push(s)).listen(0, '127.0.0.1', async () => {\n\
                  for (let i = 0; i < 5; i++) await asked();\n\
                  const to = net.connect({ port: server.address().port, host: 'localhost' });\n\
                  to.on('connect', () => process.exit(0));\n\
                });\n";
    let ran = inline(text, &scratch).under_run(&trace).run();
    assert_eq!(ran.ending, Ending::Exit(0), "{}", ran.stderr_text());
    let told = report(&trace);
    let file = findings(&told)[0];
    assert_eq!((file["count"].as_u64(), file["site"]["own"].as_bool()), (Some(5), Some(false)));
    let unseen = told["processes"][0]["not_visible"].to_string();
    assert!(unseen.contains("acquired in node's own threads"), "{unseen}");
    let connected = told["findings"].as_array().expect("findings").iter().find(|finding| {
        let frames = finding["site"]["frames"].to_string();
        finding["kind"] == "tcp" && frames.contains("internalConnect")
    });
    let site = &connected.expect("the connection")["site"];
    assert_eq!(site["own"], false, "{site}");
    let user = &site["frames"][site["user"].as_u64().expect("an index") as usize];
    assert_eq!((&user["function"], &user["file"]), (&"internalConnect".into(), &"node:net".into()));
    let screen = Launch::cli().args(["report", "--at-exit", "--all"]).args([&trace]).run();
    let lines = screen.stdout_text();
    let said = |line: &str| line.contains("internalConnect (node:net:");
    let line = lines.lines().find(|line| said(line)).expect("its place");
    assert!(line.ends_with("no code of the program on its stack") && line.len() <= 80, "{line}");
}

#[test]
fn what_the_user_has_set_stays_and_his_map_too() {
    if !is_there() {
        return;
    }
    let scratch = Scratch::new("node-own");
    let trace = scratch.path().join("trace");
    let tell = "console.log(process.env.NODE_OPTIONS); require('fs').openSync('/etc/hostname')";
    let ran = |launch: Launch| -> (Outcome, Value) {
        let ran = launch.under_run(&trace).run();
        assert_eq!(ran.ending, Ending::Exit(0), "{}", ran.stderr_text());
        (ran, report(&trace))
    };
    let (out, _) = ran(inline(tell, &scratch).env("NODE_OPTIONS", "--max-http-header-size=9000"));
    let expected = "--max-http-header-size=9000 --perf-basic-prof-only-functions \
                    --interpreted-frames-native-stack\n";
    assert_eq!(out.stdout_text(), expected);
    let own = "--perf-basic-prof-only-functions";
    let (out, told) = ran(inline(tell, &scratch).env("NODE_OPTIONS", own));
    assert_eq!(out.stdout_text(), format!("{own} --interpreted-frames-native-stack\n"));
    let map = map_of(&told["processes"][0]["pid"]);
    assert!(map.exists(), "{}", map.display());
    std::fs::remove_file(map).expect("it can be removed");
    assert_eq!(findings(&told).len(), 1);
}

#[test]
fn without_hooks_nothing_is_changed_and_that_is_said() {
    if !is_there() {
        return;
    }
    let scratch = Scratch::new("node-unhooked");
    let trace = scratch.path().join("trace");
    let script = scratch.path().join("inline.js");
    let text = "console.log(process.env.NODE_OPTIONS); require('fs').openSync('/etc/hostname')";
    std::fs::write(&script, text).expect("the script");
    let ran = Launch::cli()
        .args(["run", "--no-runtime-hooks", "--report", "none", "-o"])
        .args([trace.as_os_str(), "--".as_ref(), "node".as_ref(), script.as_os_str()])
        .run();
    assert_eq!(ran.stdout_text(), "undefined\n", "{}", ran.stderr_text());
    let report = report(&trace);
    assert!(report["processes"].to_string().contains("it wrote no perf map"), "{report}");
    assert!(!diagnostics(&report).contains("NODE_OPTIONS"));
    assert!(Manifest::read(&trace).expect("a manifest").runtime_hooks.is_empty());
}

#[test]
fn where_a_map_cannot_be_written_node_is_left_alone() {
    if !is_there() {
        return;
    }
    let scratch = Scratch::new("node-limit");
    let trace = scratch.path().join("trace");
    let launch = inline("console.log(process.env.NODE_OPTIONS)", &scratch).under_run(&trace);
    let ran = launch.inside(&["sh", "-c", "ulimit -f 1000000; exec \"$@\"", "sh"]).run();
    assert_eq!((ran.ending, ran.stdout_text().as_str()), (Ending::Exit(0), "undefined\n"));
    let report = report(&trace);
    assert!(diagnostics(&report).contains("limited in their size"), "{}", diagnostics(&report));
}

#[test]
fn a_jitdump_is_read_as_a_perf_map_is() {
    if !is_there() {
        return;
    }
    let scratch = Scratch::new("node-jitdump");
    let trace = scratch.path().join("trace");
    let text = "const fs = require('fs');\n\
                function leaky() { fs.openSync('/etc/hostname'); }\n\
                setTimeout(leaky, 1);\n";
    let options = "--perf-prof --interpreted-frames-native-stack";
    let ran = inline(text, &scratch).env("NODE_OPTIONS", options).under_run(&trace).run();
    assert_eq!(ran.ending, Ending::Exit(0), "{}", ran.stderr_text());
    let report = report(&trace);
    let script = scratch.path().join("inline.js");
    let own = own_functions(findings(&report)[0], &script);
    assert_eq!(own.first(), Some(&("leaky".to_owned(), 2)), "{own:?}");
    let dump = format!("jit-{}.dump", report["processes"][0]["pid"]);
    assert!(scratch.path().join(dump).exists(), "it is the user's");
    assert!(!report["findings"].to_string().contains("jit-"), "V8's handle on it is none");
}

#[test]
fn a_map_in_the_processs_own_tmp_is_read() {
    let own = "mount -t tmpfs none /tmp && exec \"$@\"";
    let outer = ["unshare", "-m", "sh", "-c", own, "sh"];
    if !is_there()
        || !Command::new(outer[0]).args(["-m", "true"]).status().is_ok_and(|s| s.success())
    {
        let _ = writeln!(std::io::stderr(), "skipped: nobody may make a mount namespace here");
        return;
    }
    if artifacts::shim().starts_with("/tmp") {
        let _ =
            writeln!(std::io::stderr(), "skipped: in such a namespace the library is hidden, too");
        return;
    }
    // Not in `/tmp`, which is another one there.
    let scratch = Scratch::for_regions("node-namespace");
    let trace = scratch.path().join("trace");
    let text = "const fs = require('fs');\n\
                function leaky() { fs.openSync('/etc/hostname'); }\n\
                setTimeout(leaky, 300);\n\
                process.on('exit', () => console.log(fs.readdirSync('/tmp').length));\n";
    let ran = inline(text, &scratch).inside(&outer).under_run(&trace).run();
    assert_eq!((ran.ending, ran.stdout_text().as_str()), (Ending::Exit(0), "1\n"));
    let report = report(&trace);
    let script = scratch.path().join("inline.js");
    let own = own_functions(findings(&report)[0], &script);
    assert_eq!(own.first(), Some(&("leaky".to_owned(), 2)), "{own:?}");
}

#[test]
fn stacks_taken_in_the_oddest_places_change_nothing() {
    if !is_there() {
        return;
    }
    let scratch = Scratch::new("node-storm");
    let launch = Launch::new("node").args([source("storm.js")]).limit(Duration::from_secs(120));
    let launch = launch.directory(scratch.path()).env("RESSHIM_HEAP_SAMPLE", "4096");
    let plain = launch.run();
    assert_eq!((plain.ending, plain.stdout_text().lines().count()), (Ending::Exit(0), 5));
    let trace = scratch.path().join("trace");
    assert_eq!(launch.under_run(&trace).run().difference(&plain), None);
}

#[test]
fn under_a_bare_preload_the_report_reads_the_map() {
    if !is_there() {
        return;
    }
    let (scratch, regions) = (Scratch::new("node-bare"), Scratch::for_regions("node-bare"));
    let text = "function leaky() { require('fs').openSync('/etc/hostname'); }\nleaky();\n";
    let options = "--perf-basic-prof-only-functions --interpreted-frames-native-stack";
    let launch = inline(text, &scratch).env("NODE_OPTIONS", options).preloaded(regions.path());
    assert_eq!(launch.run().ending, Ending::Exit(0));
    let report = report(regions.path());
    let own = own_functions(findings(&report)[0], &scratch.path().join("inline.js"));
    assert_eq!(own.first(), Some(&("leaky".to_owned(), 1)), "{own:?}");
    let map = map_of(&report["processes"][0]["pid"]);
    assert!(map.exists(), "nobody but `run` asked for it: it is not ours to remove");
    std::fs::remove_file(map).expect("it can be removed");
}
