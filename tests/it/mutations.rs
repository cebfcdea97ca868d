//! Damaged traces: whatever stands in a file, the answer is a report or one error, in bounded time
//! and memory, and no view is harmed by it.
//!
//! A real trace and the directory of a bare preload are damaged file by file. The cases run in a
//! process of their own, whose address space is limited: an absurd length that is believed ends it.
//! `RESSHIM_MUTATIONS=N` sets how many, `RESSHIM_MUTATIONS_SEED=N` which.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use resshim_analyzer::analyze::audit::{Order, audit};
use resshim_analyzer::analyze::{Options, analyze};
use resshim_analyzer::cli::Format;
use resshim_analyzer::model::trail::filter::Filter;
use resshim_analyzer::symbols::source_line::SourceLines;
use resshim_analyzer::view::{self, Look};
use resshim_tests::launch::{Ending, Launch};
use resshim_tests::program;
use resshim_tests::scratch::Scratch;
use rustix::time::{ClockId, clock_gettime};

/// Cases of a run that nobody asked for.
const CASES: u64 = 150;
/// Processor time that one case may take, in an unoptimised build.
const MOST_TIME: Duration = Duration::from_secs(2);
/// KiB of address space for all of it: live regions are 64 MiB of it each, most of that a hole.
const MOST_SPACE: &str = "3145728";
/// KiB of memory that it may have used at its height.
const MOST_MEMORY: u64 = 400 << 10;

fn asked(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

#[test]
fn a_damaged_trace_gives_a_report_or_one_error() {
    let (cases, seed) =
        (asked("RESSHIM_MUTATIONS", CASES), asked("RESSHIM_MUTATIONS_SEED", 0x5eed));
    eprintln!("{cases} cases of each trace, seed {seed}");
    let (live, stored) = (Scratch::for_regions("mutations"), Scratch::new("mutations"));
    let program = program::named("damaged/mixes");
    let launch = Launch::of(&program).env("RESSHIM_HEAP_SAMPLE", "1").env("RESSHIM_RING", "1MiB");
    let trace = stored.path().join("trace");
    assert_eq!(launch.under_run(&trace).run().ending, Ending::Exit(0));
    assert_eq!(launch.preloaded(live.path()).run().ending, Ending::Exit(0));
    let own = std::env::current_exe().expect("this test");
    for directory in [trace.as_path(), live.path()] {
        let outcome = Launch::new(&own)
            .args(["--ignored", "--exact", "mutations::in_a_process_of_its_own", "--nocapture"])
            .env("MUTATED", directory)
            .env("MUTATED_CASES", cases.to_string())
            .env("MUTATED_SEED", seed.to_string())
            .env("RUST_BACKTRACE", "1")
            .limit(Duration::from_secs(60 + cases * 4))
            .inside(&["sh", "-c", &format!("ulimit -v {MOST_SPACE}; exec \"$@\""), "sh"])
            .run();
        let said = outcome.stdout_text() + &outcome.stderr_text();
        assert_eq!(outcome.ending, Ending::Exit(0), "{said}");
        assert!(said.contains("1 passed"), "{said}");
        eprintln!("{}", said.lines().find(|line| line.starts_with("damaged")).unwrap_or_default());
    }
}

#[test]
#[ignore = "started by the test above, in a limited process"]
fn in_a_process_of_its_own() {
    let Some(directory) = std::env::var_os("MUTATED").map(PathBuf::from) else { return };
    let (cases, seed) = (asked("MUTATED_CASES", CASES), asked("MUTATED_SEED", 1));
    // Names are stored by the first report; they are one of the files to be damaged.
    survives(&directory, "whole", Order::Resources);
    let files = files(&directory);
    assert!(files.len() >= 3, "{files:?}");
    let mut random = Random(seed | 1);
    let mut slowest = (Duration::ZERO, String::new());
    let mut refused = 0;
    for case in 0..cases {
        let before = processor_time();
        let damaged = random.below(2) + 1;
        let mut what = format!("seed {seed} case {case}:");
        let mut originals = Vec::new();
        for _ in 0..damaged {
            let file = &files[random.below(files.len() as u64) as usize];
            if originals.iter().any(|kept: &Kept| kept.path == *file) {
                continue;
            }
            originals.push(Kept::of(file));
            what += &format!(" {} {};", file.display(), random.damage(file));
        }
        let order = if case % 2 == 0 { Order::Resources } else { Order::Steps };
        refused += u32::from(!survives(&directory, &what, order));
        let took = processor_time() - before;
        if took > slowest.0 {
            slowest = (took, what);
        }
        for original in originals {
            original.restore();
        }
    }
    assert!(survives(&directory, "whole again", Order::Steps), "the files were not restored");
    eprintln!(
        "\ndamaged {}: {cases} cases, {refused} refused, slowest {slowest:?}, peak {} KiB",
        directory.display(),
        peak()
    );
    assert!(slowest.0 < MOST_TIME, "{slowest:?}");
    assert!(peak() < MOST_MEMORY, "{} KiB", peak());
}

/// Whether there was a report. Every view of it can be made, in lines that are none of a CI's commands.
fn survives(trace: &Path, what: &str, order: Order) -> bool {
    let attempt = catch_unwind(AssertUnwindSafe(|| {
        let report = analyze(trace, &Options { at_exit: true, pid: None, ..Default::default() });
        let report = match report {
            Ok(report) => report,
            Err(error) => {
                assert_eq!(error.exit_code(), 2, "{error}");
                assert!(!error.to_string().contains('\n'), "{error}");
                return false;
            }
        };
        for (format, all) in [
            (Format::Table, false),
            (Format::Table, true),
            (Format::Json, true),
            (Format::Markdown, true),
        ] {
            let look = Look::plain(all, SourceLines::of(Some(Path::new("/usr/include"))));
            let text = view::render(&report, format, &look).expect("a view");
            assert!(!text.lines().any(|line| line.starts_with("::")), "{text}");
            assert!(!text.contains('\x1b'), "{text}");
        }
        view::two_lines(&report);
        survives_audit(trace, order);
        true
    }));
    attempt.unwrap_or_else(|_| panic!("{what}"))
}

/// The trail of the same trace, in both of its views.
fn survives_audit(trace: &Path, order: Order) {
    let mut table = view::audit::Table::new(&Look::plain(true, SourceLines::of(None)));
    let show = |text: &str| {
        assert!(!text.lines().any(|line| line.starts_with("::")), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
    };
    let summary = audit(trace, &Filter::default(), order, &mut |parts| {
        for part in parts {
            show(&view::audit::json(&part)?);
            show(&table.part(part));
        }
        Ok(())
    });
    show(&table.end(&summary.expect("what has a report has a trail")));
}

/// Files of the trace, and of the directories in it.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.metadata().expect("a file").len() > 0 {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What a file held: its pages that are not all zero.
struct Kept {
    path: PathBuf,
    length: u64,
    pages: Vec<(u64, Vec<u8>)>,
}

const PAGE: usize = 4096;

impl Kept {
    fn of(path: &Path) -> Kept {
        let file = File::open(path).expect("a file");
        let length = file.metadata().expect("a file").len();
        let pages = extents(&file, length)
            .into_iter()
            .map(|(at, size)| {
                let mut bytes = vec![0; size as usize];
                file.read_exact_at(&mut bytes, at).expect("data");
                (at, bytes)
            })
            .collect();
        Kept { path: path.to_owned(), length, pages }
    }

    fn restore(self) {
        let file = File::options().write(true).open(&self.path).expect("a file");
        file.set_len(0).expect("truncated");
        file.set_len(self.length).expect("its length");
        for (at, bytes) in self.pages {
            file.write_all_at(&bytes, at).expect("written");
        }
    }
}

/// Where the file is no hole.
fn extents(file: &File, length: u64) -> Vec<(u64, u64)> {
    use rustix::fs::{SeekFrom, seek};
    let mut found = Vec::new();
    let mut at = 0;
    while let Ok(data) = seek(file, SeekFrom::Data(at)) {
        let hole = seek(file, SeekFrom::Hole(data)).unwrap_or(length);
        found.push((data, hole - data));
        at = hole;
    }
    found
}

fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Most memory that this process has held, in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// xorshift64: the same cases for the same seed on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 16) % end.max(1)
    }

    /// A place in the file's data; the first page, where its structure is, as often as all others.
    fn place(&mut self, extents: &[(u64, u64)]) -> u64 {
        if extents.is_empty() || self.below(3) == 0 {
            return self.below(PAGE as u64);
        }
        let (at, size) = extents[self.below(extents.len() as u64) as usize];
        at + self.below(size)
    }

    /// Damages the file; tells what was done to it.
    fn damage(&mut self, path: &Path) -> String {
        let file = File::options().read(true).write(true).open(path).expect("a file");
        let length = file.metadata().expect("a file").len();
        let extents = extents(&file, length);
        let write = |bytes: &[u8], at: u64| {
            let room = usize::try_from(length.saturating_sub(at)).expect("64 bits");
            file.write_all_at(&bytes[..bytes.len().min(room)], at).expect("written");
        };
        let at = self.place(&extents);
        match self.below(8) {
            0 => {
                let to = if self.below(2) == 0 { self.below(length) } else { at.min(length) };
                file.set_len(to).expect("truncated");
                format!("cut at {to}")
            }
            1 | 2 => {
                let flips = 1 + self.below(32);
                for _ in 0..flips {
                    let at = self.place(&extents);
                    let mut byte = [0];
                    let _ = file.read_at(&mut byte, at);
                    write(&[byte[0] ^ 1 << self.below(8)], at);
                }
                format!("{flips} bits")
            }
            3 => {
                let mut block = vec![0; 1 + self.below(8192) as usize];
                let from = self.place(&extents);
                let got = file.read_at(&mut block, from).unwrap_or(0);
                write(&block[..got], at);
                format!("{got} bytes of {from} to {at}")
            }
            4 | 5 => {
                let value = match self.below(4) {
                    0 => u64::MAX,
                    1 => i64::MAX as u64,
                    2 => u64::from(u32::MAX),
                    _ => 1 << self.below(64),
                };
                let (width, count) = (if self.below(2) == 0 { 4 } else { 8 }, 1 + self.below(64));
                let at = at / width * width;
                for index in 0..count {
                    write(&value.to_le_bytes()[..width as usize], at + index * width);
                }
                format!("{count} × {value:#x} in {width} bytes at {at}")
            }
            6 => {
                let noise: Vec<u8> = (0..1 + self.below(600)).map(|_| self.next() as u8).collect();
                write(&noise, at);
                format!("{} bytes of noise at {at}", noise.len())
            }
            _ => {
                let noise: Vec<u8> = (0..self.below(4096)).map(|_| self.next() as u8).collect();
                file.set_len(0).expect("truncated");
                file.write_all_at(&noise, 0).expect("written");
                format!("{} bytes of noise alone", noise.len())
            }
        }
    }
}
