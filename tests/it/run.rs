//! `resshim run` from outside: it ends as CMD ends, it is not in CMD's way, and its trace holds what
//! was done, whoever is killed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use resshim_analyzer::source::manifest::Manifest;
use resshim_tests::artifacts;
use resshim_tests::launch::{Ending, Launch};
use resshim_tests::scratch::Scratch;
use resshim_tests::trace::opens_of;
use rustix::process::{Pid, Signal, kill_process};

fn shell(script: &str) -> Launch {
    Launch::new("sh").args(["-c", script])
}

fn under_run(scratch: &Scratch, script: &str) -> Launch {
    shell(script).under_run(&scratch.path().join("trace"))
}

/// Starts `resshim run -o TRACE -- bash -c SCRIPT`, to be sent signals.
fn start(trace: &Path, script: &str) -> Child {
    Command::new(artifacts::cli())
        .args(["run", "--report", "none", "-o"])
        .arg(trace)
        .args(["--", "bash", "-c", script])
        .env("RESSHIM_LIB", artifacts::shim())
        .env_remove("LD_PRELOAD")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("resshim starts")
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
}

fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !is_there() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn it_ends_as_the_command_ended() {
    let scratch = Scratch::new("run-status");
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -15 $$", 143)]
    {
        assert_eq!(under_run(&scratch, script).run().ending, Ending::Exit(code), "{script}");
    }
}

#[test]
fn a_command_that_does_not_start_is_told_as_a_shell_does() {
    let scratch = Scratch::new("run-start");
    let trace = scratch.path().join("trace");
    let run = |command: &str| Launch::new(command).under_run(&trace).run();
    let missing = run("no-such-command-anywhere");
    assert_eq!(missing.ending, Ending::Exit(127));
    assert!(missing.stderr_text().starts_with("resshim: no-such-command-anywhere: command not"));
    assert_eq!(run("/etc/passwd").ending, Ending::Exit(126));
    assert!(!trace.exists(), "a trace of nothing");
}

#[test]
fn a_directory_that_is_no_trace_is_refused_before_anything_runs() {
    let scratch = Scratch::new("run-refuse");
    let trace = scratch.path().join("trace");
    std::fs::create_dir(&trace).unwrap();
    std::fs::write(trace.join("thesis"), "x").unwrap();
    let outcome = under_run(&scratch, "echo ran").run();
    assert_eq!((outcome.ending, outcome.stdout.len()), (Ending::Exit(125), 0));
    assert!(outcome.stderr_text().contains("no trace"), "{}", outcome.stderr_text());
}

#[test]
fn input_output_and_environment_are_those_of_the_command() {
    let scratch = Scratch::new("run-environment");
    let script = "env | grep -v -e ^LD_PRELOAD= -e ^RESSHIM_ -e ^_= | sort; echo to stderr >&2";
    let plain = shell(script).run();
    let untouched = Launch::cli()
        .args(["run", "--no-runtime-hooks", "--report", "none", "-o"])
        .args([scratch.path().join("trace").as_os_str(), "--".as_ref()])
        .args(["sh", "-c", script]);
    assert_eq!(untouched.run().difference(&plain), None);
    // What `run --help` names, and nothing else.
    let hooked =
        shell(&script.replace("-e ^_=", "-e ^_= -e ^NODE_OPTIONS= -e ^JAVA_TOOL_OPTIONS="));
    let traced = hooked.under_run(&scratch.path().join("hooked")).run();
    assert_eq!(traced.difference(&hooked.run()), None);
    let kept = shell("echo $LD_PRELOAD").env("LD_PRELOAD", "libm.so.6");
    let seen = kept.under_run(&scratch.path().join("other")).run().stdout_text();
    assert!(seen.trim().ends_with("libresshim.so:libm.so.6"), "{seen}");
}

#[test]
fn a_signal_sent_to_it_reaches_the_command() {
    let scratch = Scratch::new("run-signal");
    let ready = scratch.path().join("ready");
    let script =
        format!("trap 'exit 42' TERM; touch {}; while :; do sleep 0.05; done", ready.display());
    let mut child = start(&scratch.path().join("trace"), &script);
    wait_for("the trap", || ready.exists());
    kill_process(pid(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(42));
}

#[test]
fn what_was_ignored_stays_ignored() {
    let scratch = Scratch::new("run-nohup");
    let trace = scratch.path().join("trace");
    let inner = format!(
        "trap '' HUP; exec {} run --report none -o {} -- sh -c 'grep ^SigIgn /proc/$$/status'",
        artifacts::cli().display(),
        trace.display()
    );
    let traced = shell(&inner).env("RESSHIM_LIB", artifacts::shim()).run();
    let plain = shell("trap '' HUP; exec sh -c 'grep ^SigIgn /proc/$$/status'").run();
    assert_eq!(traced.stdout_text(), plain.stdout_text());
}

#[test]
fn descendants_that_live_on_are_waited_for_only_if_asked() {
    let scratch = Scratch::new("run-tree");
    let trace = scratch.path().join("trace");
    let script = "(exec >/dev/null 2>&1; sleep 1.5; : </etc/passwd) & exit 0";
    let began = Instant::now();
    assert_eq!(under_run(&scratch, script).run().ending, Ending::Exit(0));
    assert!(began.elapsed() < Duration::from_millis(1400), "{:?}", began.elapsed());
    assert!(!Manifest::read(&trace).unwrap().complete);

    let waiting = Launch::cli()
        .args(["run", "--report", "none", "--wait-tree", "-o"])
        .args([&trace])
        .args(["--", "sh", "-c", script]);
    let began = Instant::now();
    assert_eq!(waiting.run().ending, Ending::Exit(0));
    assert!(began.elapsed() >= Duration::from_millis(1400), "{:?}", began.elapsed());
    assert!(Manifest::read(&trace).unwrap().complete);
    assert_eq!(opens_of(&trace, "/etc/passwd"), 1);
}

#[test]
fn every_call_before_a_kill_of_the_command_is_in_the_trace() {
    let scratch = Scratch::new("run-killed");
    let trace = scratch.path().join("trace");
    let script = "for i in $(seq 500); do : </etc/passwd; done; kill -9 $$";
    let outcome = Launch::new("bash").args(["-c", script]).under_run(&trace).run();
    assert_eq!(outcome.ending, Ending::Exit(137));
    assert_eq!(opens_of(&trace, "/etc/passwd"), 500);
    let manifest = Manifest::read(&trace).unwrap();
    assert!(manifest.complete && manifest.live_dir.is_none(), "{manifest:?}");
    assert_eq!(manifest.command_end.as_deref(), Some("signal:9"));
}

#[test]
fn a_kill_of_the_collector_hurts_nobody_and_record_goes_on_with_its_trace() {
    let scratch = Scratch::new("run-collector-killed");
    let trace = scratch.path().join("trace");
    let (half, done) = (scratch.path().join("half"), scratch.path().join("done"));
    let (half_name, done_name) = (half.display(), done.display());
    let script = format!(
        "for i in $(seq 700); do : </etc/passwd; done; touch {half_name}; sleep 0.5; \
         for i in $(seq 700); do : </etc/passwd; done; touch {done_name}; sleep 20"
    );
    let mut child = start(&trace, &script);
    wait_for("the first half", || half.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    let manifest = Manifest::read(&trace).unwrap();
    let live = manifest.live_dir.clone().unwrap();
    assert!(!manifest.complete && live.exists());
    wait_for("the second half", || done.exists());

    let target = Pid::from_raw(i32::try_from(manifest.command_pid).unwrap()).unwrap();
    let mut record = Command::new(artifacts::cli())
        .args(["record", "-o"])
        .args([&trace, &live])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the second collector", || Manifest::read(&trace).unwrap().collector.starts == 2);
    kill_process(target, Signal::KILL).unwrap();
    wait_for("the region", || {
        !std::fs::read_dir(&live).unwrap().flatten().any(|entry| {
            entry.file_name().to_string_lossy().starts_with(&format!("{}-", manifest.command_pid))
        })
    });
    kill_process(pid(&record), Signal::TERM).unwrap();
    assert_eq!(record.wait().unwrap().code(), Some(0));
    assert_eq!(opens_of(&trace, "/etc/passwd"), 1400);
}
