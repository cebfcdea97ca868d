//! After SIGKILL at a random moment the trace holds every call that had returned before it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use resshim_format::op::Op;
use resshim_tests::scratch::Scratch;
use resshim_tests::trace::Traces;
use resshim_tests::{artifacts, program};

/// Kills in one run of the tests; the moments differ from run to run.
const KILLS: u32 = 15;

#[test]
fn calls_that_returned_before_a_kill_are_in_the_trace() {
    let program = program::named("behaviours/killed/counts_calls");
    let mut checked = 0;
    for _ in 0..KILLS {
        let out = Scratch::for_regions("kill");
        let mut child = Command::new(&program.path)
            .env("LD_PRELOAD", artifacts::shim())
            .env("RESSHIM_OUT", out.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut counts = child.stdout.take().expect("piped");
        let mut first = [0; 16];
        counts.read_exact(&mut first).expect("a first pair of counts");
        let moment = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        std::thread::sleep(Duration::from_nanos(moment.subsec_nanos() as u64 % 3_000_000));
        child.kill().expect("kill");
        let mut rest = Vec::new();
        counts.read_to_end(&mut rest).expect("counts");
        child.wait().expect("wait");
        // Pairs of (thread, calls that have returned), each written with one `write`.
        let mut returned = BTreeMap::new();
        for pair in [&first[..], &rest].concat().chunks_exact(16) {
            let word =
                |at: usize| u64::from_le_bytes(pair[at..at + 8].try_into().expect("8 bytes"));
            returned.insert(word(0) as u32, word(8));
        }
        let traces = Traces::of(out.path());
        assert_eq!(traces.images.len(), 1);
        let header = &traces.images[0].region.header;
        let full = header.overwritten_chunks > 0 || header.lost_acquisitions > 0;
        for (tid, calls) in returned {
            let told = traces.events().filter(|e| e.tid == tid && e.op == Op::Open).count() as u64;
            assert!(full || told >= calls, "thread {tid}: {calls} calls returned, {told} are told");
            checked += u32::from(!full && calls > 0);
        }
    }
    assert!(checked >= KILLS, "the ring was full nearly always: {checked} threads were checked");
}

#[test]
fn a_traced_process_has_no_descriptor_of_the_shim() {
    let program = program::named("behaviours/killed/counts_calls");
    let out = Scratch::for_regions("descriptors");
    let mut child = Command::new(&program.path)
        .env("LD_PRELOAD", artifacts::shim())
        .env("RESSHIM_OUT", out.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let mut first = [0; 16];
    // Open until the end: a closed pipe would end the program.
    let mut counts = child.stdout.take().expect("piped");
    counts.read_exact(&mut first).expect("counts");
    let directory = format!("/proc/{}/fd", child.id());
    let targets: Vec<String> = fs::read_dir(directory)
        .expect("fd")
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
        .collect();
    let maps = fs::read_to_string(format!("/proc/{}/maps", child.id())).expect("maps");
    child.kill().expect("kill");
    child.wait().expect("wait");
    assert!(maps.contains(".region"), "it is traced");
    let known = |target: &String| target == "/dev/null" || target.starts_with("pipe:");
    assert!(targets.iter().all(known), "descriptors: {targets:?}");
}
