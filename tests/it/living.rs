//! Reports on processes that run, under a bare preload.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use resshim_tests::launch::{Ending, Launch};
use resshim_tests::scratch::Scratch;
use resshim_tests::{artifacts, program};

#[test]
fn what_a_living_process_opened_unseen_is_said() {
    let out = Scratch::for_regions("living");
    let mut child = Command::new(program::named("living/inline_calls").path)
        .env("LD_PRELOAD", artifacts::shim())
        .env("RESSHIM_OUT", out.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it speaks");
    assert_eq!(line, "ready\n");
    let report = Launch::cli().args(["report"]).args([out.path()]).run();
    drop(child.stdin.take());
    assert!(child.wait().expect("it ends").success());
    assert_eq!(report.ending, Ending::Exit(0), "{}", report.stderr_text());
    let text = report.stdout_text();
    assert!(text.contains("file: 30 were not seen being opened"), "{text}");
    assert!(text.contains("nothing found in what was seen"), "no clean verdict: {text}");
}
