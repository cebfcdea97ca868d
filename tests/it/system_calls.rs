//! The system calls that the shim makes for itself, as strace sees them: the list at the head of
//! `shim/src/sys.rs`, no more and no less. Whoever writes a sandbox's rules relies on it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use resshim_tests::launch::Launch;
use resshim_tests::scratch::Scratch;
use resshim_tests::{artifacts, program};

/// Names of system calls with how often each was made.
type Counts = BTreeMap<String, usize>;

/// The names between backquotes in the first sentence of `sys.rs` that speaks of the whole list.
fn listed() -> BTreeSet<String> {
    let source = fs::read_to_string(artifacts::tests_dir().join("../shim/src/sys.rs"));
    let source = source.expect("the shim's source");
    let head: Vec<&str> = source.lines().map_while(|line| line.strip_prefix("//! ")).collect();
    let head = head.join(" ");
    let (_, list) = head.split_once("against strace").expect("the list");
    let names = list.split('`').skip(1).step_by(2).flat_map(str::split_whitespace);
    names.map(str::to_owned).collect()
}

/// Runs a command under strace; its calls, told apart by whether the shim's own code made them.
fn traced(launch: &Launch, with_shim: Option<&Path>) -> (Counts, Counts) {
    let scratch = Scratch::new("strace");
    let log = scratch.path().join("log");
    let mut strace: Vec<OsString> = ["strace", "-ff", "-k", "-o"].map(OsString::from).to_vec();
    strace.push(log.into());
    if let Some(out) = with_shim {
        // Set by strace, so that the shim is not in strace as well.
        for (name, value) in [("LD_PRELOAD", artifacts::shim()), ("RESSHIM_OUT", out)] {
            strace.push("-E".into());
            let mut setting = OsString::from(format!("{name}="));
            setting.push(value);
            strace.push(setting);
        }
    }
    let strace: Vec<&str> = strace.iter().map(|arg| arg.to_str().expect("UTF-8")).collect();
    let outcome = launch.inside(&strace).limit(Duration::from_secs(120)).run();
    assert_eq!(outcome.ending, launch.run().ending, "{}", outcome.stderr_text());
    let (mut own, mut other) = (Counts::new(), Counts::new());
    for entry in fs::read_dir(scratch.path()).expect("logs") {
        let text = fs::read(entry.expect("a log").path()).expect("a log");
        let text = String::from_utf8_lossy(&text);
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let Some((name, _)) = line.split_once('(') else { continue };
            if line.starts_with(" > ")
                || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            {
                continue;
            }
            // The innermost frame is the instruction that entered the kernel.
            let by_shim = lines
                .peek()
                .is_some_and(|frame| frame.starts_with(" > ") && frame.contains("/libresshim.so("));
            *if by_shim { &mut own } else { &mut other }.entry(name.to_owned()).or_default() += 1;
        }
    }
    (own, other)
}

#[test]
fn system_calls_of_the_shim_are_those_of_its_list() {
    let listed = listed();
    assert!(listed.len() > 10 && listed.contains("openat"), "{listed:?}");
    let base = Scratch::for_regions("system-calls");
    let directory = Scratch::new("system-calls");
    let old_kernel = program::named("scribbled/old_kernel").path;
    let old_kernel = [old_kernel.to_str().expect("a path of letters")];
    let shell = |script: &str| Launch::new("sh").args(["-c", script]);
    let double_close = Launch::of(&program::named("behaviours/double_close"));
    let file = directory.path().join("resshim.toml");
    fs::write(&file, "heap_sample = 1\n").expect("configuration");
    // Each by another way: a directory that is made, little room, every block, forks, threads, execs, a
    // kernel that cannot promise pages one by one.
    let works = [
        Launch::new("ls").args(["/etc"]),
        shell("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do ls >/dev/null; done")
            .env("RESSHIM_MAX_BYTES", "512KiB"),
        Launch::new("bash").args(["-c", "cat /etc/passwd | wc -l; (: </etc/group)"]),
        double_close.clone().env("RESSHIM_PROFILE", "full").env("RESSHIM_CONFIG", &file),
        double_close.inside(&old_kernel),
        Launch::of(&program::named("behaviours/fork_with_threads")),
        Launch::of(&program::named("behaviours/exec_chain")),
        Launch::of(&program::named("setuid")),
        Launch::of(&program::named("behaviours/inherited_listener")),
    ];
    let mut made = Counts::new();
    for (number, work) in works.iter().enumerate() {
        let work = work.clone().directory(directory.path());
        let (own, _) = traced(&work, Some(&base.path().join(number.to_string())));
        assert!(!own.is_empty(), "{work:?} was not traced");
        for (name, count) in own {
            *made.entry(name).or_default() += count;
        }
    }
    // The program's own call: nothing may stand between it and the instruction (`hooks/process.rs`).
    made.remove("vfork");
    let made: BTreeSet<String> = made.into_keys().collect();
    let unlisted: Vec<_> = made.difference(&listed).collect();
    assert!(unlisted.is_empty(), "not in the list of sys.rs: {unlisted:?}");
    // The clock is asked through libc and the vDSO; a mapping is given back only where its first page
    // could not be promised.
    let rare = ["clock_gettime", "munmap"];
    let unmade = listed.difference(&made).filter(|name| !rare.contains(&name.as_str()));
    let unmade: Vec<_> = unmade.collect();
    assert!(unmade.is_empty(), "in the list of sys.rs, but never made: {unmade:?}");
}

#[test]
fn system_calls_of_the_program_and_libc_stay_as_they_were() {
    let out = Scratch::for_regions("system-calls-bare");
    // What ld.so needs for one more library, and the processor time of the process, which the vDSO
    // hands to the kernel.
    let loading = ["openat", "read", "pread64", "fstat", "newfstatat", "mmap", "mprotect", "close"];
    let programs = [
        Launch::new("ls").args(["/etc"]),
        Launch::new("cat").args(["/etc/passwd"]),
        Launch::of(&program::named("behaviours/double_close")),
    ];
    for work in programs {
        let (_, untraced) = traced(&work, None);
        let (_, traced) = traced(&work, Some(out.path()));
        let names: BTreeSet<&String> = untraced.keys().chain(traced.keys()).collect();
        for name in names.into_iter().filter(|name| !loading.contains(&name.as_str())) {
            let count = |of: &Counts| of.get(name).copied().unwrap_or(0);
            let more = usize::from(name == "clock_gettime");
            assert!(
                (count(&untraced)..=count(&untraced) + more).contains(&count(&traced)),
                "{work:?} makes {name} {} times, traced {}",
                count(&untraced),
                count(&traced)
            );
        }
    }
}
