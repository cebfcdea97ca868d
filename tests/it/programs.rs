//! Real programs that nobody here wrote: the same output and exit status as without, under `run` and
//! under a bare preload, and no finding that is not true.
//!
//! None of these programs leaks: what is found in them with a verdict of `definite` or `probable` is
//! a false alarm. A program whose tools are not on this machine is told by name on standard error.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use resshim_analyzer::analyze::{Options, analyze};
use resshim_analyzer::cli::Format;
use resshim_analyzer::report::{Report, Verdict};
use resshim_analyzer::symbols::source_line::SourceLines;
use resshim_analyzer::view::{self, Look};
use resshim_tests::launch::{Ending, Launch, Mode, Outcome};
use resshim_tests::scratch::Scratch;
use resshim_tests::script::{self, Script};
use resshim_tests::trace::Traces;
use resshim_tests::{artifacts, parallel, program};

/// Lines of the first screen, and its columns.
const SCREEN: (usize, usize) = (24, 80);

/// Says it past the capture of the test's output: what was not tested must be seen.
fn skipped(name: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {name}: {why}");
}

/// The user's and the group's number, if this user can run what is tested.
fn account(user: &str) -> Result<(u32, u32), String> {
    let probe = |words: &[&str]| Launch::new(words[0]).args(&words[1..]).run();
    let id = |flag: &str| -> Option<u32> {
        probe(&["id", flag, user]).stdout_text().trim().parse().ok()
    };
    let ids = id("-u").zip(id("-g")).ok_or(format!("there is no user {user}"))?;
    for file in [artifacts::cli(), artifacts::shim()] {
        let readable = Launch::new("test").args(["-r"]).args([file]).as_user(user).run();
        if readable.ending != Ending::Exit(0) {
            return Err(format!("user {user} cannot read {}", file.display()));
        }
    }
    Ok(ids)
}

/// One script on one way: its own directory, its own port, and where the trace is to be.
struct Place {
    work: Scratch,
    trace: Scratch,
    user: Option<(String, (u32, u32))>,
}

impl Place {
    fn new(script: &Script) -> Result<Place, String> {
        let user = script.user.as_ref().filter(|_| rustix::process::geteuid().is_root());
        let user = user.map(|user| account(user).map(|ids| (user.clone(), ids))).transpose()?;
        let name = format!("real-{}", script.name);
        let (work, trace) = (Scratch::shared(&name), Scratch::for_regions(&name));
        if let Some((_, (uid, gid))) = user {
            work.give_to(uid, gid);
            trace.give_to(uid, gid);
        }
        Ok(Place { work, trace, user })
    }

    /// Where `run` is to make its trace, or a bare preload its regions.
    fn out(&self, mode: Mode) -> PathBuf {
        match mode {
            Mode::UnderRun => self.trace.path().join("trace"),
            _ => self.trace.path().to_path_buf(),
        }
    }

    fn run(&self, script: &Script, mode: Mode) -> Outcome {
        let launch = Launch::new("bash")
            .args([&script.path])
            .directory(self.work.path())
            .env("PATH", script::search_path())
            .env("HOME", self.work.path())
            .env("PORT", free_port().to_string())
            .limit(Duration::from_secs(90));
        let launch = match mode {
            Mode::Untraced => launch,
            Mode::Preloaded => launch.preloaded(&self.out(mode)),
            Mode::UnderRun => launch.under_run(&self.out(mode)),
        };
        match &self.user {
            Some((user, _)) => launch.as_user(user).run(),
            None => launch.run(),
        }
    }

    /// What resshim says of it. A trace is read by its owner or root's is; here by whoever tests.
    fn report(&self, mode: Mode) -> Result<Report, String> {
        if self.user.is_some() {
            take_over(self.trace.path());
        }
        let options = Options { at_exit: false, pid: None, ..Default::default() };
        analyze(&self.out(mode), &options).map_err(|error| error.to_string())
    }
}

fn take_over(path: &Path) {
    let own = Path::new("/proc/self").metadata().expect("who we are");
    std::os::unix::fs::lchown(path, Some(own.uid()), Some(own.gid())).expect("only as root");
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("directory") {
            take_over(&entry.expect("directory entry").path());
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port of the loopback interface");
    listener.local_addr().expect("an address").port()
}

/// Nothing but what is true, on a screen that fits.
fn judged(report: &Report) -> Result<(), String> {
    let mut complaints = String::new();
    for finding in &report.findings {
        if matches!(finding.verdict, Verdict::Definite | Verdict::Probable) {
            complaints += &format!("  false: {:?}: {}\n", finding.verdict, finding.title);
        }
    }
    let look = Look::plain(false, SourceLines::of(None));
    let screen = view::render(report, Format::Table, &look).map_err(|error| error.to_string())?;
    // The paths of the trace are there to be copied: they are not cut.
    let is_cut = |line: &&str| !line.starts_with("trace ") && !line.starts_with("next ");
    let widest = screen.lines().filter(is_cut).map(|line| line.chars().count()).max();
    if screen.lines().count() > SCREEN.0 || widest > Some(SCREEN.1) {
        complaints += &format!("  the first screen is too large:\n{screen}\n");
    }
    if complaints.is_empty() { Ok(()) } else { Err(complaints) }
}

fn saw(report: &Report, kinds: &[String]) -> Result<(), String> {
    for wanted in kinds {
        let acquired = report.kinds.iter().find(|kind| kind.kind == *wanted);
        if acquired.is_none_or(|kind| kind.acquired == 0) {
            return Err(format!("  no {wanted} was seen\n"));
        }
    }
    Ok(())
}

/// Untraced, the script must do what it says it does: else nothing was tested.
fn is_as_told(script: &Script, outcome: &Outcome) -> Result<(), String> {
    let said = outcome.stdout_text();
    let missing = script.says.iter().find(|wanted| !said.lines().any(|line| line == *wanted));
    match (missing, outcome.ending) {
        (None, Ending::Exit(status)) if status == script.ends => Ok(()),
        (missing, ending) => Err(format!(
            "untraced it ended {ending:?} without {missing:?}:\n{said}\n{}",
            outcome.stderr_text()
        )),
    }
}

/// The one line that is allowed to be more under `run`: a JVM tells which agents it was given.
fn without_notice(outcome: &mut Outcome) {
    let notice = format!(
        "Picked up JAVA_TOOL_OPTIONS: -agentpath:{}\n",
        artifacts::shim().canonicalize().expect("the shim").display()
    );
    for text in [&mut outcome.stdout, &mut outcome.stderr] {
        let at = text.windows(notice.len()).position(|part| part == notice.as_bytes());
        if let Some(at) = at {
            text.drain(at..at + notice.len());
        }
    }
}

fn is_the_same(script: &Script) -> Result<(), String> {
    if let Some(tool) = script.missing() {
        skipped(&script.name, &format!("{tool} is not installed"));
        return Ok(());
    }
    let told = |mode: Mode, text: String| format!("{} ({mode:?}):\n{text}", script.name);
    let untraced = match Place::new(script) {
        Ok(place) => place.run(script, Mode::Untraced),
        Err(why) => {
            skipped(&script.name, &why);
            return Ok(());
        }
    };
    is_as_told(script, &untraced).map_err(|text| told(Mode::Untraced, text))?;
    for mode in [Mode::UnderRun, Mode::Preloaded] {
        let place = Place::new(script)?;
        let mut outcome = place.run(script, mode);
        if mode == Mode::UnderRun {
            without_notice(&mut outcome);
        }
        if let Some(difference) = outcome.difference(&untraced) {
            return Err(told(mode, difference));
        }
        let report = place.report(mode).map_err(|text| told(mode, text))?;
        judged(&report).and_then(|()| saw(&report, &script.sees)).map_err(|t| told(mode, t))?;
    }
    Ok(())
}

#[test]
fn real_programs_behave_the_same_and_nothing_false_is_found() {
    let scripts = script::all();
    assert!(scripts.len() >= 15, "{scripts:?}");
    parallel::each(&scripts, is_the_same);
}

/// The runtime of a sanitizer that a program is linked to.
fn runtime(program: &Path) -> Option<String> {
    let ldd = Launch::new("ldd").args([program]).run().stdout_text();
    let path = ldd.split_whitespace().find(|word| {
        word.starts_with('/') && (word.contains("/libasan.so") || word.contains("/libtsan.so"))
    });
    path.map(str::to_owned)
}

#[test]
fn programs_with_a_sanitizer_run_as_without_us_and_find_what_they_found() {
    for name in ["address", "thread"] {
        let source = artifacts::tests_dir().join(format!("programs/sanitized/{name}.c"));
        let program = match program::compiled(&source) {
            Ok(program) => program,
            Err(why) if why.contains("cannot find") => {
                skipped(&format!("{name} sanitizer"), "its runtime is not installed");
                continue;
            }
            Err(why) => panic!("{why}"),
        };
        for fails in [None, Some("fail")] {
            let launch = Launch::of(&program).args(fails).limit(Duration::from_secs(60));
            let untraced = without_addresses(launch.run());
            let expected = if fails.is_some() { Ending::Exit(99) } else { Ending::Exit(3) };
            assert_eq!(untraced.ending, expected, "{name}: {}", untraced.stderr_text());
            let out = Scratch::for_regions(name);
            let trace = out.path().join("trace");
            let run = without_addresses(launch.run_as(Mode::UnderRun, &trace));
            assert_eq!(run.difference(&untraced), None, "{name} under run");
            let report =
                analyze(&trace, &Options { at_exit: false, pid: None, ..Default::default() })
                    .expect("a trace");
            judged(&report).expect("nothing false");
            saw(&report, &["file", "thread", "process"].map(str::to_owned)).expect("it was seen");
            let unseen: Vec<&String> =
                report.processes.iter().flat_map(|process| &process.not_visible).collect();
            assert!(unseen.iter().any(|text| text.starts_with("heap: ")), "{name}: {unseen:?}");

            let out = Scratch::for_regions(name);
            let runtime = runtime(&program.path).expect("linked to the runtime");
            let preload = format!("{runtime}:{}", artifacts::shim().display());
            let preloaded = launch.preloaded(out.path()).env("LD_PRELOAD", preload).run();
            let difference = without_addresses(preloaded).difference(&untraced);
            assert_eq!(difference, None, "{name} preloaded");
        }
    }
}

/// An executable with gaps between its segments: the loader knows them one at a time.
#[test]
fn an_executable_with_gaps_is_one_module_with_its_build_id() {
    let out = Scratch::for_regions("gaps");
    let program = program::named("modules/gaps");
    let run = Launch::of(&program).preloaded(out.path()).run();
    assert_eq!(run.ending, Ending::Exit(0), "{}", run.stderr_text());
    let traces = Traces::of(out.path());
    let own = traces.images[0].region.modules().find(|module| module.path.as_os_str().is_empty());
    let own = own.expect("the executable");
    assert_eq!(traces.images[0].region.strings.not_visible, Vec::<String>::new());
    let told = run.stdout_text();
    let addresses: Vec<u64> = told
        .split_whitespace()
        .map(|word| u64::from_str_radix(word, 16).expect("an address"))
        .collect();
    assert_eq!((addresses.len(), own.bias, own.build_id.len()), (3, 0, 20), "{own:x?}");
    for address in addresses {
        assert!((own.start..own.end).contains(&address), "{address:#x} in {own:x?}");
    }
}

/// What a sanitizer reports, without what differs from run to run: only its summary lines.
fn without_addresses(mut outcome: Outcome) -> Outcome {
    let text = outcome.stderr_text();
    let summary: Vec<&str> = text.lines().filter(|line| line.starts_with("SUMMARY: ")).collect();
    outcome.stderr = summary.join("\n").into_bytes();
    outcome
}
