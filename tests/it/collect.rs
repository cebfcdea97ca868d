//! The collector over process trees, and over what a bare preload leaves behind.

use resshim_analyzer::source::manifest::{Manifest, REGIONS_DIRECTORY};
use resshim_tests::artifacts;
use resshim_tests::launch::{Ending, Launch};
use resshim_tests::recorder::{record, regions_in};
use resshim_tests::scratch::Scratch;
use resshim_tests::trace::opens_of;

#[test]
fn short_lived_processes_are_all_collected_and_leave_nothing() {
    let scratch = Scratch::new("collect-short");
    let trace = scratch.path().join("trace");
    let script = "for i in $(seq 100); do /bin/cat /etc/passwd >/dev/null; done";
    let outcome = Launch::new("bash").args(["-c", script]).under_run(&trace).run();
    assert_eq!(outcome.ending, Ending::Exit(0));
    assert_eq!(opens_of(&trace, "/etc/passwd"), 100);
    let manifest = Manifest::read(&trace).unwrap();
    assert!(manifest.complete && manifest.live_dir.is_none(), "{manifest:?}");
    let stored = std::fs::read_dir(trace.join(REGIONS_DIRECTORY)).unwrap().count();
    assert_eq!(stored as u64, 2 * manifest.collector.regions);
}

#[test]
fn more_events_than_the_ring_holds_are_all_in_the_trace() {
    let scratch = Scratch::new("collect-many");
    let trace = scratch.path().join("trace");
    let script = "for i in $(seq 20000); do : </etc/passwd; done";
    let traced = Launch::new("bash").args(["-c", script]).env("RESSHIM_RING", "4MiB");
    assert_eq!(traced.under_run(&trace).run().ending, Ending::Exit(0));
    assert_eq!(opens_of(&trace, "/etc/passwd"), 20_000);
}

#[test]
fn what_a_bare_preload_left_is_recorded_and_its_regions_go() {
    let live = Scratch::for_regions("collect-bare");
    let scratch = Scratch::new("collect-bare");
    let trace = scratch.path().join("trace");
    let script = "for i in $(seq 300); do : </etc/passwd; done; exec sleep 30";
    let sleeper = std::process::Command::new("bash")
        .args(["-c", script])
        .env("LD_PRELOAD", artifacts::shim())
        .env("RESSHIM_OUT", live.path())
        .spawn();
    let mut sleeper = sleeper.unwrap();
    let pid = sleeper.id().to_string();
    let stat = format!("/proc/{pid}/comm");
    while std::fs::read_to_string(&stat).unwrap().trim() != "sleep" {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    assert!(regions_in(live.path()) > 0);

    record(&trace, live.path());
    assert_eq!((regions_in(live.path()), opens_of(&trace, "/etc/passwd")), (0, 300));

    // One trace is of one directory.
    let other = Scratch::for_regions("collect-other");
    let wrong = Launch::cli().args(["record", "-o"]).args([trace.as_path(), other.path()]).run();
    assert_eq!(wrong.ending, Ending::Exit(2), "{}", wrong.stderr_text());
}

#[test]
fn env_names_the_shim_by_its_absolute_path() {
    let outcome = Launch::cli().args(["env"]).run();
    let expected = std::fs::canonicalize(artifacts::shim()).unwrap();
    assert_eq!(outcome.stdout_text(), format!("LD_PRELOAD={}\n", expected.display()));
    let missing = Launch::cli().args(["env"]).env("RESSHIM_LIB", "/no/such/libresshim.so").run();
    assert_eq!(missing.ending, Ending::Exit(2));
    assert!(missing.stderr_text().contains("/no/such/libresshim.so"));
}
