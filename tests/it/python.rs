//! Frames of CPython, on every interpreter of this machine: equal to what Python itself says of its stacks.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use resshim_analyzer::source::rows::Code;
use resshim_analyzer::source::trace::Trace;
use resshim_format::op::Op;
use resshim_format::table::{FRAME_MANAGED, unpack_managed};
use resshim_tests::artifacts;
use resshim_tests::launch::{Ending, Launch};
use resshim_tests::python::{self, Python};
use resshim_tests::scratch::Scratch;
use serde_json::{Value, json};

/// Stacks that are compared in each interpreter.
const STACKS: usize = 2000;

/// `NAME:LINE` of the frames, innermost first.
type Frames = Vec<String>;

pub fn program(name: &str) -> PathBuf {
    artifacts::tests_dir().join("programs/python").join(name)
}

/// What the program wrote down, by thread in the order of time.
fn expected(file: &Path) -> BTreeMap<u32, Vec<Frames>> {
    let mut all: BTreeMap<u32, Vec<Frames>> = BTreeMap::new();
    for line in std::fs::read_to_string(file).expect("what was expected").lines() {
        let mut words = line.split('\t').map(str::to_owned);
        let thread = words.next().and_then(|word| word.parse().ok()).expect("a thread");
        all.entry(thread).or_default().push(words.collect());
    }
    all
}

/// An open of a file.
pub struct Opened {
    /// Thread.
    pub tid: u32,
    /// `NAME:LINE` of its Python frames.
    pub frames: Frames,
    /// Whether an activation of the interpreter's loop begins with each of them.
    pub entries: Vec<bool>,
    /// Whether frames were left out.
    pub is_part: bool,
}

/// The opens of a file whose name ends so, in the order of time.
pub fn opened(trace: &Trace, label: &str) -> Vec<Opened> {
    opened_as(trace, label, |code, line| format!("{}:{line}", code.name))
}

fn opened_as(trace: &Trace, label: &str, shown: impl Fn(&Code, u32) -> String) -> Vec<Opened> {
    let codes: Vec<HashMap<u32, Code>> = trace
        .regions
        .iter()
        .map(|region| region.state.codes().map(|code| (code.row, code)).collect())
        .collect();
    let mut all = Vec::new();
    let mut events = trace.events();
    while let Some(event) = events.next() {
        if event.op != Op::Open || !event.label.ends_with(label.as_bytes()) {
            continue;
        }
        let stack = trace.regions[event.image].state.stack(event.stack).expect("a stack");
        let managed = stack.frames.iter().filter(|word| **word & FRAME_MANAGED != 0);
        let (frames, entries) = managed
            .map(|word| {
                let (row, line, is_entry) = unpack_managed(*word);
                let code = codes[event.image].get(&row);
                (code.map_or_else(|| "?".to_owned(), |code| shown(code, line)), is_entry)
            })
            .unzip();
        let is_part = stack.cut || stack.folded;
        all.push(Opened { tid: event.tid, frames, entries, is_part });
    }
    all
}

/// What the trace says of the opens of a file, by thread.
fn told(trace: &Path, label: &str) -> BTreeMap<u32, Vec<Frames>> {
    let mut all: BTreeMap<u32, Vec<Frames>> = BTreeMap::new();
    for open in opened(&Trace::open(trace).expect("a trace"), label) {
        all.entry(open.tid).or_default().push(open.frames);
    }
    all
}

#[test]
fn frames_are_those_that_python_tells() {
    let stacks =
        std::env::var("RESSHIM_STACKS").ok().and_then(|n| n.parse().ok()).unwrap_or(STACKS);
    let all = python::installed((3, 9));
    for minor in 9..=14 {
        if !all.iter().any(|python| python.version == (3, minor)) {
            eprintln!("skipped: no CPython 3.{minor} here");
        }
    }
    for python in all {
        let launch = Launch::new(&python.path);
        let count = are_equal("shapes.py", &launch, &python, stacks);
        assert!(count >= stacks / 4 * 4, "{count} stacks");
    }
}

/// Runs a program that opens a file and writes down from which frames; how often it did.
fn are_equal(source: &str, launch: &Launch, python: &Python, stacks: usize) -> usize {
    let work = Scratch::new("python-frames");
    let (file, trace) = (work.path().join("opened"), work.path().join("trace"));
    let list = work.path().join("expected");
    std::fs::write(&file, "").expect("a file");
    let launch = launch
        .clone()
        .args([program(source), file.clone(), list.clone()])
        .args([stacks.to_string(), "7".to_owned()])
        .env("RESSHIM_STACK_DEPTH", "128")
        .limit(Duration::from_secs(300));
    let ran = launch.under_run(&trace).run();
    let name = python.path.display();
    assert_eq!(ran.ending, Ending::Exit(0), "{name}: {}", ran.stderr_text());
    let (expected, told) = (expected(&list), told(&trace, &file.to_string_lossy()));
    for (thread, stacks) in &expected {
        let ours = told.get(thread).map_or(&[][..], Vec::as_slice);
        assert_eq!(ours.len(), stacks.len(), "{name}: events are missing");
        for (at, (ours, theirs)) in ours.iter().zip(stacks).enumerate() {
            assert_eq!(ours, theirs, "{name}: open {at} of {thread}");
        }
    }
    expected.values().map(Vec::len).sum()
}

/// Interpreters that have greenlets.
fn with_greenlets() -> Vec<(Python, PathBuf)> {
    let all = python::installed((3, 9)).into_iter();
    let found: Vec<_> = all.filter_map(|p| p.packages().map(|packages| (p, packages))).collect();
    if found.is_empty() {
        eprintln!("skipped: no greenlets here: scripts/pythons fetches them");
    }
    found
}

#[test]
fn frames_inside_greenlets_are_those_that_python_tells() {
    for (python, packages) in with_greenlets() {
        let launch = Launch::new(&python.path).env("PYTHONPATH", &packages);
        let count = are_equal("greenlets.py", &launch, &python, 600);
        assert!(count > 600, "{count} stacks");
    }
}

/// Every block is recorded, those that a switch allocates among them.
#[test]
fn a_storm_of_greenlets_harms_nothing() {
    for (python, packages) in with_greenlets() {
        let work = Scratch::new("python-greenlets");
        let out = work.path().join("regions");
        let list = work.path().join("expected");
        let launch = Launch::new(&python.path)
            .args([program("greenlets.py"), "/etc/hostname".into(), list.clone()])
            .args(["2000", "3"])
            .env("PYTHONPATH", &packages)
            .env("PYTHONMALLOC", "malloc")
            .env("RESSHIM_HEAP_SAMPLE", "1")
            .limit(Duration::from_secs(120));
        let ran = launch.preloaded(&out).run();
        let name = python.path.display();
        assert_eq!(ran.ending, Ending::Exit(0), "{name}: {}", ran.stderr_text());
        assert_eq!(ran.stderr_text(), "", "{name}");
        let trace = Trace::open(&out).expect("a trace");
        let deep = trace.regions.iter().flat_map(|region| {
            let stacks = region.state.stack_ids().filter_map(|id| region.state.stack(id));
            stacks.filter(|stack| stack.frames.iter().any(|word| word & FRAME_MANAGED != 0))
        });
        assert!(deep.count() > 1000, "{name}: few stacks with Python frames");
    }
}

/// Code objects at the addresses of dead ones, with the same name, file or lines: each is told as what it is.
#[test]
fn code_at_an_address_that_was_used_before_is_another() {
    for python in python::installed((3, 9)) {
        let work = Scratch::new("python-reused");
        let (file, trace) = (work.path().join("opened"), work.path().join("trace"));
        let list = work.path().join("expected");
        std::fs::write(&file, "").expect("a file");
        let launch = Launch::new(&python.path)
            .args([program("reused.py"), file.clone(), list.clone()])
            .args(["3000"]);
        let ran = launch.under_run(&trace).run();
        assert_eq!(ran.ending, Ending::Exit(0), "{}: {}", python.path.display(), ran.stderr_text());
        let expected: Vec<Frames> = expected(&list).into_values().flatten().collect();
        let whole = |code: &Code, line| format!("{}:{}:{line}", code.file, code.name);
        let trace = Trace::open(&trace).expect("a trace");
        let told = opened_as(&trace, &file.to_string_lossy(), whole);
        assert_eq!(told.len(), expected.len(), "{}", python.path.display());
        for (at, (ours, theirs)) in told.iter().zip(&expected).enumerate() {
            // The innermost is the one that opens.
            assert_eq!(&ours.frames[1..3], &theirs[..], "{}: open {at}", python.path.display());
        }
    }
}

#[test]
fn what_the_interpreter_closes_as_it_ends_was_forgotten() {
    // A run takes four seconds: the oldest and the newest.
    let all = python::installed((3, 9));
    let ends = [all.first(), all.last().filter(|_| all.len() > 1)];
    for python in ends.into_iter().flatten() {
        let work = Scratch::new("python-forgets");
        let trace = work.path().join("trace");
        let launch = Launch::new(&python.path).args([program("forgets.py")]);
        let ran = launch.under_run(&trace).run();
        assert_eq!(ran.ending, Ending::Exit(0), "{}", ran.stderr_text());
        let report = Launch::cli().args(["report", "--format", "json"]).args([&trace]).run();
        let report: Value = serde_json::from_slice(&report.stdout).expect("JSON");
        let all = report["findings"].as_array().expect("findings");
        let leak = all.iter().find(|finding| finding["kind"] == "file");
        let leak = leak.unwrap_or_else(|| panic!("{}: {all:#?}", python.path.display()));
        assert_eq!((&leak["rule"], &leak["verdict"]), (&json!("leak"), &json!("probable")));
        assert!((210..=215).contains(&leak["count"].as_u64().unwrap_or(0)), "{leak}");
        let frame = &leak["site"]["frames"][leak["site"]["user"].as_u64().unwrap_or(0) as usize];
        assert_eq!((&frame["function"], &frame["line"]), (&json!("load"), &json!(9)), "{frame}");
    }
}

/// An interpreter's arenas and objects are a thousand times what the program left, and nobody can close them.
#[test]
fn what_the_interpreter_has_for_its_objects_ranks_behind_what_the_program_left() {
    for python in python::installed((3, 9)) {
        let work = Scratch::new("python-leftover");
        let trace = work.path().join("trace");
        let launch = Launch::new(&python.path).args([program("leftover.py")]);
        let ran = launch.under_run(&trace).run();
        let name = python.path.display();
        assert_eq!(ran.ending, Ending::Exit(0), "{name}: {}", ran.stderr_text());
        let report = Launch::cli().args(["report", "--at-exit", "--format", "json"]).args([&trace]);
        let report: Value = serde_json::from_slice(&report.run().stdout).expect("JSON");
        let all = report["findings"].as_array().expect("findings");
        let first = (&all[0]["kind"], &all[0]["count"], &all[0]["severity"]);
        assert_eq!(first, (&json!("file"), &json!(3), &json!("warning")), "{name}: {all:#?}");
        let is_memory =
            |finding: &&Value| ["mapping", "heap"].iter().any(|k| finding["kind"] == *k);
        let memory: Vec<&Value> = all.iter().filter(is_memory).collect();
        let arenas = memory.iter().filter(|finding| finding["kind"] == "mapping");
        let arenas: u64 = arenas.filter_map(|finding| finding["bytes"].as_u64()).sum();
        assert!(arenas > 16 << 20, "{name}: {arenas} bytes of arenas");
        for finding in memory {
            assert_eq!(finding["severity"], "info", "{name}: {finding:#?}");
            assert_eq!(finding["evidence"]["managed_memory"], true, "{name}: {finding:#?}");
        }
    }
}

/// Every block is recorded under thirty Python frames, while threads, generators, coroutines, exceptions, recursion to
/// the limit, dying objects, forks, subinterpreters and the interpreter's own end go on.
#[test]
fn a_storm_of_everything_that_python_does_harms_nothing() {
    for python in python::installed((3, 9)) {
        let work = Scratch::new("python-storm");
        let out = work.path().join("regions");
        let launch = Launch::new(&python.path)
            .args([program("storm.py").into_os_string(), "9".into()])
            // Otherwise most objects come from the interpreter's own pools.
            .env("PYTHONMALLOC", "malloc")
            .env("RESSHIM_HEAP_SAMPLE", "1")
            .limit(Duration::from_secs(120));
        let ran = launch.preloaded(&out).run();
        let name = python.path.display();
        assert_eq!(ran.ending, Ending::Exit(0), "{name}: {}", ran.stderr_text());
        // Python itself warns of forks among threads, and of daemons that it meets at its end: how often is chance.
        let stderr = ran.stderr_text();
        assert_eq!(ran.stdout_text(), "done\n", "{name}: {stderr}");
        assert!(!stderr.contains("Fatal Python error"), "{name}: {stderr}");
        let trace = Trace::open(&out).expect("a trace");
        let deep = trace.regions.iter().flat_map(|region| {
            let stacks = region.state.stack_ids().filter_map(|id| region.state.stack(id));
            stacks.filter(|stack| {
                stack.frames.iter().filter(|word| **word & FRAME_MANAGED != 0).count() >= 30
            })
        });
        assert!(deep.count() > 50, "{name}: few stacks with thirty Python frames");
    }
}

/// What an interpreter says of how it was built.
fn variable(python: &Path, name: &str) -> String {
    let code = format!("import sysconfig; print(sysconfig.get_config_var('{name}') or '')");
    let said = Command::new(python).args(["-I", "-c", &code]).output().expect("it runs");
    String::from_utf8_lossy(&said.stdout).trim().to_owned()
}

/// Its library, if it has one.
fn library(python: &Path) -> Option<PathBuf> {
    let at = Path::new(&variable(python, "LIBDIR")).join(variable(python, "INSTSONAME"));
    let is_library = at.to_string_lossy().contains(".so");
    (is_library && at.is_file()).then_some(at)
}

pub fn compile(source: &str, into: &Path, options: &[&str]) {
    let built = Command::new("cc")
        .arg("-o")
        .arg(into)
        .arg(program(source))
        .args(options)
        .output()
        .expect("a compiler");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

/// All that such a program opened, whatever the thread.
fn opened_inside(launch: &Launch, trace: &Path) -> Vec<Frames> {
    let ran = launch.under_run(trace).run();
    assert_eq!(ran.ending, Ending::Exit(0), "{}", ran.stderr_text());
    told(trace, "/etc/hostname").into_values().flatten().collect()
}

#[test]
fn an_interpreter_that_a_program_opens_and_closes_has_frames_each_time() {
    let mut tried = 0;
    for python in python::installed((3, 9)) {
        let Some(library) = library(&python.path) else { continue };
        tried += 1;
        let work = Scratch::new("python-embed");
        let embed = work.path().join("embed");
        compile("embed.c", &embed, &["-ldl"]);
        let launch = Launch::new(&embed).args([&library]);
        let frames = opened_inside(&launch, &work.path().join("trace"));
        assert_eq!(frames, vec![["inside:3", "<module>:4"]; 15], "{}", library.display());
    }
    if tried == 0 {
        eprintln!("skipped: no interpreter here has a library");
    }
}

/// A program that is not position-independent has copies of the types that it names, and the library uses those.
#[test]
fn a_program_with_copies_of_the_types_has_frames() {
    for python in python::installed((3, 9)) {
        let Some(library) = library(&python.path) else { continue };
        let headers = variable(&python.path, "INCLUDEPY");
        if !Path::new(&headers).join("Python.h").is_file() {
            continue;
        }
        let work = Scratch::new("python-linked");
        let linked = work.path().join("linked");
        let path = format!("-Wl,-rpath,{}", library.parent().expect("a directory").display());
        let library = library.to_string_lossy().into_owned();
        compile("linked.c", &linked, &["-no-pie", "-fno-pie", "-I", &headers, &library, &path]);
        let frames = opened_inside(&Launch::new(&linked), &work.path().join("trace"));
        assert_eq!(frames, vec![["inside:3", "<module>:4"]; 5], "{library}");
    }
}
