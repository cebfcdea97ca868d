//! Whole traces made by hand, whole and damaged: what the report says of them, and that no input
//! makes it panic.

use std::fs;
use std::path::PathBuf;

use resshim_format::header::{End, Tag};
use resshim_format::op::{Kind, Op};
use resshim_format::record::{FdArgs, FdHandle};
use resshim_format::table::{SiteRow, TableType};
use zerocopy::IntoBytes;

use super::*;
use crate::source::frame::{EVENTS_FILE, FrameHead, FrameWriter};
use crate::source::manifest::{MANIFEST_FILE, Manifest, region_path};
use crate::source::open::Access;
use crate::source::region::RegionFile;
use crate::source::region::fixture::{Fixture, directory};

/// A pid that no process has: the largest there can be.
const DEAD: u32 = (1 << 22) - 1;
const TICK: u64 = 1 << 20;

fn handle(number: u32, generation: u32) -> u64 {
    FdHandle { number, generation }.pack()
}

fn file() -> u64 {
    FdArgs { kind: Kind::File as u8, ..FdArgs::default() }.pack()
}

/// A process that opens ten files and closes eight of them, one `TICK` each.
fn process(pid: u32, id: u64, start: u64) -> Fixture {
    let mut fixture = Fixture::new(pid, id);
    fixture.string(Tag::Exe, "/usr/bin/demo").string(Tag::Service, "demo");
    fixture.header(|header| {
        header.start_tsc = start;
        header.start_monotonic_ns = start;
        header.limit_nofile = 1024;
        *header.end.get_mut() = End::Exited as u32;
        *header.end_tsc.get_mut() = start + 40 * TICK;
        *header.end_monotonic_ns.get_mut() = start + 40 * TICK;
    });
    let stack = fixture.stack(&[0x1000, 0x2000]);
    fixture.row(TableType::Sites, 1, |row: &mut SiteRow| {
        *row.stack.get_mut() = stack;
        *row.kind.get_mut() = Kind::File as u32;
        *row.acquired.get_mut() = 10;
        *row.released.get_mut() = 8;
        *row.first_tsc.get_mut() = start;
        *row.bucket_shift.get_mut() = 22;
    });
    for number in 3..13 {
        let at = start + (number as u64 - 2) * TICK;
        let words = [handle(number, 1), file()];
        assert!(fixture.push(at, pid, Op::Open, &words, &[b"/etc/motd"]));
    }
    for number in 3..11 {
        let at = start + (number as u64 + 10) * TICK;
        assert!(fixture.push(at, pid, Op::Close, &[handle(number, 1)], &[]));
    }
    fixture.fd(11, Kind::File, "/etc/motd");
    fixture.fd(12, Kind::File, "/etc/motd");
    fixture
}

/// The same as a stored trace: state, and a frame of each chunk twice.
fn stored(name: &str) -> PathBuf {
    let live = directory(&format!("{name}-live"));
    let trace = directory(name);
    fs::create_dir(trace.join("regions")).unwrap();
    let path = process(DEAD, 0xabc, 1000).write(&live);
    let file = RegionFile::open(&path, Access::Read).unwrap();
    let mut state = Vec::new();
    file.read().unwrap().store(&mut state).unwrap();
    fs::write(region_path(&trace, 0xabc), state).unwrap();
    let mut writer = FrameWriter::new().unwrap();
    let mut events = Vec::new();
    for index in 0..file.chunks() {
        let Some(copy) = file.copy_chunk(index) else { continue };
        let head = FrameHead {
            magic: 0,
            region: 0xabc,
            fill: copy.state.fill,
            from: 8,
            to: copy.words.len() as u32,
            payload_bytes: 0,
            checksum: 0,
            first_tsc: copy.words[1],
            last_tsc: 0,
            chunk_index: index,
            flags: 0,
        };
        let frame = writer.frame(head, &copy.words).unwrap();
        events.extend(&frame);
        events.extend(&frame);
    }
    fs::write(trace.join(EVENTS_FILE), events).unwrap();
    let manifest = Manifest {
        format_version: 1,
        host: "h".into(),
        command: vec!["demo".into()],
        complete: true,
        ..Manifest::default()
    };
    manifest.write(&trace).unwrap();
    fs::remove_dir_all(live).unwrap();
    trace
}

fn check(report: &Report) {
    assert_eq!(report.trace.events, 18);
    assert_eq!(report.processes.len(), 1);
    let process = &report.processes[0];
    assert_eq!((process.pid, process.end.as_str()), (DEAD, "exit:0"));
    assert_eq!((process.exe.as_str(), process.service.as_str()), ("/usr/bin/demo", "demo"));
    let files = &report.kinds[0];
    assert_eq!((files.kind.as_str(), files.acquired, files.released), ("file", 10, 8));
    assert_eq!((files.live, files.peak), (2, 10));
    let lifetimes = files.lifetime_s.as_ref().unwrap();
    assert!((lifetimes.p50 - 12.0 * TICK as f64 / 1e9).abs() < 1e-4, "{lifetimes:?}");
    assert_eq!(files.series.acquired.iter().sum::<u64>(), 10);
    assert_eq!(files.series.live.last(), Some(&2));
    assert_eq!((report.limits[0].used, report.limits[0].limit), (10.0, 1024.0));
}

#[test]
fn a_bare_directory_and_a_stored_trace_say_the_same() {
    let live = directory("analyze-bare");
    process(DEAD, 0xabc, 1000).write(&live);
    let bare = analyze(&live, &Options::default()).unwrap();
    check(&bare);
    assert_eq!(bare.unjudged.get("file"), Some(&2));
    assert!(bare.findings.is_empty() && !bare.trace.complete);
    let trace = stored("analyze-stored");
    let report =
        analyze(&trace, &Options { at_exit: true, pid: None, ..Default::default() }).unwrap();
    check(&report);
    assert!(report.trace.complete && report.unjudged.is_empty());
    assert_eq!((report.findings.len(), report.findings[0].count), (1, 2));
    assert_eq!(report.findings[0].resources[0].label, "/etc/motd");
    fs::remove_dir_all(live).unwrap();
    fs::remove_dir_all(trace).unwrap();
}

#[test]
fn one_process_of_many_is_shown_alone_and_a_missing_one_is_bad_input() {
    let live = directory("analyze-pid");
    process(DEAD, 1, 1000).write(&live);
    process(DEAD - 1, 2, 5000).write(&live);
    let all = analyze(&live, &Options::default()).unwrap();
    assert_eq!((all.processes.len(), all.kinds[0].acquired, all.trace.events), (2, 20, 36));
    let one =
        analyze(&live, &Options { pid: Some(DEAD), at_exit: false, ..Default::default() }).unwrap();
    check(&one);
    let error = analyze(&live, &Options { pid: Some(1), at_exit: false, ..Default::default() })
        .unwrap_err();
    assert_eq!(error.exit_code(), crate::error::EXIT_BAD_INPUT);
    fs::remove_dir_all(live).unwrap();
}

#[test]
fn lost_events_make_no_leak_and_are_said() {
    let live = directory("analyze-lost");
    let mut fixture = process(DEAD, 7, 1000);
    // Ten more were released; nothing of it was recorded.
    fixture.row(TableType::Sites, 1, |row: &mut SiteRow| {
        *row.stack.get_mut() = 1;
        *row.kind.get_mut() = Kind::File as u32;
        *row.acquired.get_mut() = 20;
        *row.released.get_mut() = 18;
    });
    fixture.header(|header| *header.lost_releases.get_mut() = 10);
    fixture.write(&live);
    let report =
        analyze(&live, &Options { at_exit: true, pid: None, ..Default::default() }).unwrap();
    let files = &report.kinds[0];
    assert_eq!((files.acquired, files.released, files.live), (20, 18, 2));
    assert_eq!(report.findings[0].count, 2);
    assert!(report.findings[0].confidence < 0.6);
    assert_eq!(report.trace.events_lost, 10);
    assert!(report.diagnostics.iter().any(|d| d.text.contains("10 events")));
    fs::remove_dir_all(live).unwrap();
}

/// Numbers that look random and are the same in every run (Marsaglia's xorshift64).
struct Random(u64);
impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit.max(1)
    }
    /// Damages `bytes` in one of the ways that files and scribbling processes know.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        // Most of a region is empty: the first pages hold what matters.
        let reach = [64, 1024, 0x4000, bytes.len()][self.below(4)].min(bytes.len());
        match self.below(5) {
            0 => {
                let at = self.below(reach);
                bytes[at] ^= 1 << self.below(8);
            }
            1 => {
                for _ in 0..1 + self.below(64) {
                    let at = self.below(reach);
                    bytes[at] = self.below(256) as u8;
                }
            }
            2 => bytes.truncate(self.below(reach + 1)),
            3 => {
                let at = self.below(reach);
                let end = (at + 1 + self.below(64)).min(bytes.len());
                bytes[at..end].fill(0xff);
            }
            _ => {
                let at = self.below(reach) / 8 * 8;
                let word = (u64::MAX >> self.below(64)).to_le_bytes();
                let end = (at + 8).min(bytes.len());
                bytes[at..end].copy_from_slice(&word[..end - at]);
            }
        }
    }
}

/// Either a report or one error of bad input; anything else is a panic and fails the test.
fn survives(trace: &Path) {
    match analyze(trace, &Options { at_exit: true, pid: None, ..Default::default() }) {
        Ok(report) => assert!(serde_json::to_string(&report).is_ok()),
        Err(error) => assert_eq!(error.exit_code(), crate::error::EXIT_BAD_INPUT, "{error}"),
    }
}

#[test]
fn damaged_regions_never_panic() {
    let live = directory("analyze-damaged");
    let path = process(DEAD, 0xabc, 1000).write(&live);
    let whole = fs::read(&path).unwrap();
    let chunks = whole.len() - 8 * resshim_format::ring::CHUNK_BYTES;
    let mut random = Random(0x5eed);
    for round in 0..250 {
        let mut bytes = whole.clone();
        for _ in 0..1 + random.below(4) {
            if round % 3 == 0 && bytes.len() > chunks + 2048 {
                // Into the records.
                let mut records = bytes.split_off(chunks);
                let rest = records.split_off(2048);
                random.damage(&mut records);
                bytes.extend(records);
                bytes.extend(rest);
            } else {
                random.damage(&mut bytes);
            }
        }
        fs::write(&path, &bytes).unwrap();
        survives(&live);
    }
    fs::write(&path, b"").unwrap();
    survives(&live);
    fs::remove_dir_all(live).unwrap();
}

#[test]
fn damaged_traces_never_panic() {
    let trace = stored("analyze-mutated");
    let files = [trace.join(MANIFEST_FILE), trace.join(EVENTS_FILE), region_path(&trace, 0xabc)];
    let whole: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let mut random = Random(0xfeed);
    for round in 0..200 {
        let which = round % files.len();
        let mut bytes = match random.below(8) {
            // Not even a damaged one: noise.
            0 => (0..random.below(4096)).map(|_| random.below(256) as u8).collect(),
            _ => whole[which].clone(),
        };
        if !bytes.is_empty() {
            random.damage(&mut bytes);
        }
        fs::write(&files[which], &bytes).unwrap();
        survives(&trace);
        fs::write(&files[which], &whole[which]).unwrap();
    }
    check(&analyze(&trace, &Options::default()).unwrap());
    fs::remove_dir_all(trace).unwrap();
}

#[test]
fn an_image_that_only_the_index_knows_is_shown() {
    use resshim_format::index::{INDEX_FILE, IndexEvent, IndexRow};
    let live = directory("analyze-index");
    let mut name = [0; 16];
    name[..4].copy_from_slice(b"true");
    let row = |event: IndexEvent, region, monotonic_ns, status| {
        let (check, end, start_ticks) = (0, End::Exited as u16, 77);
        let event = event as u16;
        let (pid, parent_pid) = (DEAD, 1);
        IndexRow {
            check,
            pid,
            parent_pid,
            start_ticks,
            region,
            monotonic_ns,
            event,
            end,
            status,
            name,
        }
        .sealed()
    };
    let mut bytes = row(IndexEvent::Begin, 55, 100, 0).as_bytes().to_vec();
    bytes.extend(row(IndexEvent::End, 0, 200, 3).as_bytes());
    fs::write(live.join(INDEX_FILE), bytes).unwrap();
    let report = analyze(&live, &Options::default()).unwrap();
    let process = &report.processes[0];
    assert_eq!((process.exe.as_str(), process.end.as_str()), ("true", "exit:3"));
    // Not since the machine was started.
    assert!(report.trace.duration_s < 1e-6, "{}", report.trace.duration_s);
    fs::remove_dir_all(live).unwrap();
}

#[test]
fn times_are_written_as_the_standard_says() {
    assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
    assert_eq!(rfc3339(951_782_400_000_000_000), "2000-02-29T00:00:00Z");
    assert_eq!(rfc3339(1_795_558_687_000_000_000), "2026-11-24T22:18:07Z");
}

#[test]
fn what_is_no_trace_is_one_error_of_bad_input() {
    for path in ["/nonexistent/trace", "/dev/null", "/proc/self"] {
        let error = analyze(Path::new(path), &Options::default()).unwrap_err();
        assert_eq!(error.exit_code(), crate::error::EXIT_BAD_INPUT, "{path}: {error}");
    }
}

#[test]
fn images_of_a_process_are_numbered_in_the_order_in_which_they_began() {
    let image = |pid, start_ticks, start_ns| Image {
        pid,
        start_ticks,
        clock: ClockFacts { start_ns, ..ClockFacts::default() },
        ..Image::default()
    };
    // The last has the pid of the first, used again.
    let mut images = [image(7, 1, 30), image(7, 1, 10), image(8, 1, 20), image(7, 2, 90)];
    number(&mut images);
    assert_eq!(images.map(|image| image.image), [2, 1, 1, 1]);
}
