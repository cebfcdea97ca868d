//! `resshim snapshot`: what a live process holds, checked against `/proc`, traced and not.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use resshim_tests::launch::{Ending, Launch, Outcome};
use resshim_tests::scratch::Scratch;
use resshim_tests::{artifacts, program};
use serde_json::Value;

/// The program of `snapshot`, ready and waiting; it is killed when dropped.
struct Running(Child);

impl Running {
    fn start(directory: &Path, leaks: bool, preload: Option<&Path>) -> Running {
        let program = program::named("snapshot/holds");
        let mut command = Command::new(&program.path);
        command.current_dir(directory).stdin(Stdio::null()).stdout(Stdio::piped());
        if leaks {
            command.arg("leak");
        }
        if let Some(out) = preload {
            command.env("LD_PRELOAD", artifacts::shim()).env("RESSHIM_OUT", out);
        }
        let mut child = command.spawn().expect("it starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("it says that it is ready");
        assert_eq!(line, "ready\n");
        Running(child)
    }

    fn snapshot(&self, args: &[&str]) -> Outcome {
        snapshot(self.0.id(), args)
    }

    fn json(&self, args: &[&str]) -> Value {
        let outcome = self.snapshot(&[args, &["--format", "json"]].concat());
        assert_eq!(outcome.ending, Ending::Exit(0), "{}", outcome.stderr_text());
        serde_json::from_slice(&outcome.stdout).expect("JSON")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn snapshot(pid: u32, args: &[&str]) -> Outcome {
    Launch::cli().args(["snapshot", &pid.to_string()]).args(args).run()
}

fn signs(snapshot: &Value) -> Vec<String> {
    let all = snapshot["signs"].as_array().expect("signs");
    all.iter().map(|sign| sign["rule"].as_str().expect("a word").to_owned()).collect()
}

#[test]
fn an_untraced_process_is_told_as_proc_has_it() {
    let place = Scratch::new("snapshot-untraced");
    let running = Running::start(place.path(), false, None);
    let found = running.json(&[]);
    assert_eq!((&found["schema"], &found["traced"]), (&"resshim.snapshot/1".into(), &false.into()));
    let open = std::fs::read_dir(format!("/proc/{}/fd", running.0.id())).expect("ours").count();
    assert_eq!(found["descriptors"].as_array().expect("descriptors").len(), open);
    let groups = found["groups"].as_array().expect("groups");
    let group = |place: &str| groups.iter().find(|g| g["place"].as_str() == Some(place));
    assert_eq!(group("/etc/passwd").expect("the thirty")["count"], 30);
    let waiting = groups
        .iter()
        .find(|group| group["place"].as_str().is_some_and(|place| place.ends_with(" CLOSE_WAIT")));
    let waiting = waiting.expect("connections whose other side has closed");
    assert_eq!((&waiting["kind"], &waiting["count"]), (&"tcp".into(), &5.into()));
    assert!(waiting["place"].as_str().expect("text").starts_with("from 127.0.0.1 to 127.0.0.1:"));
    assert_eq!(signs(&found), ["close-wait", "deleted-open", "zombies"]);
    assert_eq!(found["zombies"].as_array().map(Vec::len), Some(1));
    let threads = found["threads"].as_array().expect("threads");
    let waiter = threads.iter().find(|t| t["name"] == "\u{1b}[31mwaiter").expect("the thread");
    if found["unseen"].as_array().is_some_and(Vec::is_empty) {
        assert_eq!(waiter["waits_in"], "read");
        let on = found["waits"].as_array().expect("waits").iter().find(|w| w["waits_in"] == "read");
        assert!(on.expect("it waits")["on"].as_str().expect("text").contains(" pipe pipe:["));
    } else {
        eprintln!("skipped: what threads wait in, for want of ptrace rights");
    }
    let limits = found["limits"].as_array().expect("limits");
    let files = limits.iter().find(|limit| limit["name"] == "RLIMIT_NOFILE").expect("a limit");
    assert_eq!(files["used"].as_f64(), Some(open as f64));
}

#[test]
fn a_traced_process_names_the_lines_that_hold() {
    let (place, out) = (Scratch::new("snapshot-traced"), Scratch::for_regions("snapshot-traced"));
    let running = Running::start(place.path(), false, Some(out.path()));
    let found = running.json(&[]);
    assert_eq!(found["traced"], true);
    let sites = found["sites"].as_array().expect("sites");
    let config = sites.iter().find(|site| site["site"]["frames"][0]["function"] == "open_config");
    let config = config.unwrap_or_else(|| panic!("{sites:#?}"));
    assert_eq!((&config["kind"], &config["count"]), (&"file".into(), &30.into()));
    let index = sites.iter().position(|site| site == config).map(|at| at as u64);
    let descriptors = found["descriptors"].as_array().expect("descriptors");
    let own = descriptors.iter().filter(|d| d["site"].as_u64() == index && index.is_some());
    let own: Vec<&Value> = own.collect();
    assert_eq!(own.len(), 30);
    assert!(own.iter().all(|d| d["label"] == "/etc/passwd" && d["age_s"].is_number()), "{own:?}");
    let table = running.snapshot(&[]).stdout_text();
    assert!(table.contains("30 files, oldest ") && table.contains("at open_config ("), "{table}");
}

#[test]
fn what_grows_is_named_by_place_and_by_line() {
    let (place, out) = (Scratch::new("snapshot-grows"), Scratch::for_regions("snapshot-grows"));
    let running = Running::start(place.path(), true, Some(out.path()));
    let found = running.json(&["--for", "4s"]);
    assert!(found["looks"].as_u64().is_some_and(|looks| looks == 5), "{}", found["looks"]);
    let growth = found["growth"].as_array().expect("growth");
    let of =
        |what: &str| growth.iter().find(|grown| grown["what"] == what && grown["kind"] == "file");
    let by_place = of("place").expect("the place");
    assert_eq!(by_place["place"], "/etc/");
    assert!(by_place["new"].as_u64().is_some_and(|new| new > 0), "{by_place}");
    let by_site = of("site").expect("the site");
    assert_eq!(by_site["site"]["frames"][0]["function"], "open_more");
    let grew = |grown: &Value| {
        let counts = grown["counts"].as_array().expect("counts");
        counts.first().and_then(Value::as_u64) < counts.last().and_then(Value::as_u64)
    };
    assert!(grew(by_site) && grew(by_place));
    assert!(signs(&found).contains(&"growth".to_owned()), "{:?}", found["signs"]);
    assert!(!growth.iter().any(|grown| grown["kind"] == "tcp"), "{growth:?}");

    let still = Running::start(place.path(), false, None).json(&["--for", "2s"]);
    assert_eq!(still["growth"].as_array().map(Vec::len), Some(0), "{}", still["growth"]);
    assert!(!signs(&still).contains(&"growth".to_owned()));
}

#[test]
fn names_in_a_live_process_harm_no_view_and_lines_fit() {
    let place = Scratch::new("snapshot-hostile");
    let running = Running::start(place.path(), false, None);
    for format in ["table", "markdown", "json"] {
        let text = running.snapshot(&["--all", "--format", format]).stdout_text();
        assert!(text.contains("red"), "{format}: {text}");
        assert!(text.contains("waiter"), "{format}: {text}");
        for line in text.lines() {
            assert!(!line.contains(|c: char| c.is_control()), "{format}: {line:?}");
            assert!(!line.trim_start().starts_with("::"), "{format}: {line}");
        }
        if format == "table" {
            let long = text.lines().find(|line| line.chars().count() > 80);
            assert_eq!(long, None, "{text}");
        }
    }
}

#[test]
fn what_cannot_be_looked_at_is_refused_in_one_line() {
    let refused = |outcome: Outcome, why: &str| {
        let text = outcome.stderr_text();
        assert_eq!(outcome.ending, Ending::Exit(2), "{why}: {text}");
        assert!(outcome.stdout.is_empty(), "{why}");
        assert!(text.starts_with("resshim: process ") && text.contains(why), "{text}");
        assert!(text.lines().count() == 1 && text.contains(" (hint: "), "{text}");
    };
    refused(snapshot(4_194_305, &[]), "there is none");
    let place = Scratch::new("snapshot-refused");
    let running = Running::start(place.path(), false, None);
    let found = running.json(&[]);
    let zombie = found["zombies"][0].as_u64().expect("a zombie") as u32;
    refused(snapshot(zombie, &[]), "(holds) has not waited for it");
    let threads = found["threads"].as_array().expect("threads");
    let tids = threads.iter().filter_map(|thread| thread["tid"].as_u64());
    let thread = tids.map(|tid| tid as u32).find(|tid| *tid != running.0.id()).expect("a thread");
    refused(snapshot(thread, &[]), "is a thread of process");
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        let cli = Launch::cli().args(["snapshot", &running.0.id().to_string()]);
        refused(cli.as_user("65534").run(), "belongs to another user");
    } else {
        eprintln!("skipped: another user's process, since only root can be two users");
    }
}

#[test]
fn a_process_that_ends_while_it_is_watched_is_told_as_it_was() {
    let place = Scratch::new("snapshot-ends");
    let mut running = Running::start(place.path(), false, None);
    let pid = running.0.id();
    let watch = std::thread::spawn(move || snapshot(pid, &["--for", "8s", "--format", "json"]));
    std::thread::sleep(std::time::Duration::from_millis(2500));
    running.0.kill().expect("killed");
    let outcome = watch.join().expect("no panic");
    assert_eq!(outcome.ending, Ending::Exit(0), "{}", outcome.stderr_text());
    let found: Value = serde_json::from_slice(&outcome.stdout).expect("JSON");
    let unseen = found["unseen"].to_string();
    assert!(unseen.contains("it ended"), "{unseen}");
    assert!(found["descriptors"].as_array().is_some_and(|all| all.len() > 30));
}
