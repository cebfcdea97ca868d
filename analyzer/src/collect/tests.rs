use std::os::unix::fs::PermissionsExt;

use resshim_format::index::{INDEX_FILE, IndexRow};
use resshim_format::op::{Kind, Op};
use resshim_format::ring::reader::Records;
use zerocopy::IntoBytes;

use super::*;
use crate::source::frame::{EVENTS_FILE, Frames};
use crate::source::manifest::{MANIFEST_FILE, ProcessFacts, region_path};
use crate::source::region::Region;
use crate::source::region::fixture::{Fixture, directory};

/// A pid that no process has: the largest there can be.
const DEAD: u32 = (1 << 22) - 1;

fn collector(live: &Path, trace: &Path, existing: Existing, max_bytes: Option<u64>) -> Collector {
    Collector::open(Options {
        live: live.to_owned(),
        trace: trace.to_owned(),
        existing,
        manifest: Manifest::default(),
        max_bytes,
        only: HashSet::new(),
    })
    .unwrap()
}

fn dead(id: u64, events: u64) -> Fixture {
    let mut fixture = Fixture::new(DEAD, id);
    fixture.fd(3, Kind::File, "/etc/motd");
    for index in 0..events {
        assert!(fixture.push(1000 + index * 64, 7, Op::Open, &[3 | index << 32, 1], &[b"/x"]));
    }
    fixture
}

fn row(event: IndexEvent, region: u64) -> IndexRow {
    IndexRow {
        check: 0,
        pid: DEAD,
        parent_pid: 1,
        start_ticks: 77,
        region,
        monotonic_ns: 1,
        event: event as u16,
        end: 1,
        status: 0,
        name: [0; 16],
    }
    .sealed()
}

/// Records of a region in a trace, each (fill, place) once, as generations in order.
fn generations(trace: &Path, region: u64) -> Vec<u64> {
    let frames = Frames::open(trace).unwrap();
    let mut seen = HashSet::new();
    let mut all = Vec::new();
    for at in frames.list().unwrap().frames {
        if at.head.region != region {
            continue;
        }
        let words = frames.load(&at).unwrap();
        for record in Records::new(&words) {
            let place = record.at + at.head.from as usize - 8;
            if seen.insert((at.head.fill, place)) {
                all.push(record.word(1) >> 32);
            }
        }
    }
    all.sort_unstable();
    all
}

#[test]
fn an_ended_process_is_stored_whole_and_its_live_file_goes() {
    let (live, trace) = (directory("collect-live"), directory("collect-trace"));
    let fixture = dead(0xaa, 900);
    let path = fixture.write(&live);
    std::fs::write(live.join(INDEX_FILE), row(IndexEvent::End, 0xaa).as_bytes()).unwrap();
    let mut collector = collector(&live, &trace, Existing::Replace, None);
    collector.round();
    assert!(!path.exists());
    let manifest = collector.finish();
    assert!(manifest.complete, "{manifest:?}");
    assert_eq!(generations(&trace, 0xaa), (0..900).collect::<Vec<u64>>());
    let stored = std::fs::File::open(region_path(&trace, 0xaa)).unwrap();
    let region = Region::load(&trace, stored).unwrap();
    assert_eq!(region.fd(3).unwrap().label, "/etc/motd");
    assert_eq!(std::fs::read(trace.join(INDEX_FILE)).unwrap().len(), 64);
    assert!(ProcessFacts::read(&trace, 0xaa).unwrap().ended);
    assert_eq!(Manifest::read(&trace).unwrap(), manifest);
    std::fs::remove_dir_all(live).unwrap();
    std::fs::remove_dir_all(trace).unwrap();
}

#[test]
fn a_region_that_is_not_stored_yet_is_not_removed_by_others() {
    let live = directory("kept-live");
    let path = dead(0xcc, 1).write(&live);
    // As the shim, `gc` and other collectors ask.
    let is_free = || {
        let file = std::fs::File::open(&path).unwrap();
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok()
    };
    assert!(is_free());
    let Ok(mut followed) = Followed::new(&path, ProcessId::own()) else { panic!("not followed") };
    assert!(!is_free());
    let owner = std::fs::File::open(&path).unwrap();
    rustix::fs::flock(&owner, rustix::fs::FlockOperation::LockShared).unwrap();
    assert!(!followed.has_ended(false, true));
    drop(owner);
    assert!(!is_free(), "it has asked, and keeps the region all the same");
    assert!(followed.has_ended(false, true), "its own lock is no sign of life");
    drop(followed);
    assert!(is_free());
    std::fs::remove_dir_all(live).unwrap();
}

#[test]
fn a_living_process_is_drained_and_its_region_stays() {
    let (live, trace) = (directory("living-live"), directory("living-trace"));
    let own = ProcessId::own();
    let mut fixture = Fixture::new(own.pid, 0xbb);
    fixture.header(|header| header.start_ticks = own.start_ticks);
    for index in 0..900 {
        fixture.push(1000 + index * 64, 7, Op::Open, &[3 | index << 32, 1], &[b"/x"]);
    }
    let path = fixture.write(&live);
    let mut first = collector(&live, &trace, Existing::Replace, None);
    first.round();
    let drained = generations(&trace, 0xbb).len();
    assert!(0 < drained && drained < 900, "full chunks only: {drained}");
    assert_eq!((first.living(), first.wakers().count()), (1, 1));
    let manifest = first.finish();
    assert!(path.exists() && !manifest.complete && manifest.live_dir == Some(live.clone()));
    assert_eq!(generations(&trace, 0xbb), (0..900).collect::<Vec<u64>>());

    // Another one goes on with it, and stores nothing twice that a reader would count twice.
    let mut second = collector(&live, &trace, Existing::Continue, None);
    second.round();
    let manifest = second.finish();
    assert_eq!(manifest.collector.starts, 2);
    assert_eq!(generations(&trace, 0xbb), (0..900).collect::<Vec<u64>>());
    let facts = ProcessFacts::read(&trace, 0xbb).unwrap();
    assert!(!facts.ended && facts.last.rss_bytes > 0 && facts.reconciliation.comparisons > 0);
    std::fs::remove_dir_all(live).unwrap();
    std::fs::remove_dir_all(trace).unwrap();
}

#[test]
fn a_torn_trace_is_cut_and_gone_on_with() {
    let (live, trace) = (directory("torn-live"), directory("torn-trace"));
    dead(1, 50).write(&live);
    collector(&live, &trace, Existing::Replace, None).finish();
    let mut events = std::fs::read(trace.join(EVENTS_FILE)).unwrap();
    let whole = events.len();
    let half = events[..whole / 2].to_vec();
    events.extend(half);
    std::fs::write(trace.join(EVENTS_FILE), events).unwrap();
    dead(2, 50).write(&live);
    collector(&live, &trace, Existing::Continue, None).finish();
    for region in [1, 2] {
        assert_eq!(generations(&trace, region), (0..50).collect::<Vec<u64>>());
    }
    std::fs::remove_dir_all(live).unwrap();
    std::fs::remove_dir_all(trace).unwrap();
}

#[test]
fn a_directory_that_is_no_trace_is_left_alone() {
    let (live, trace) = (directory("foreign-live"), directory("foreign-trace"));
    std::fs::write(trace.join("thesis.tex"), "years of work").unwrap();
    let refused = Collector::open(Options {
        live: live.clone(),
        trace: trace.clone(),
        existing: Existing::Replace,
        manifest: Manifest::default(),
        max_bytes: None,
        only: HashSet::new(),
    });
    assert!(refused.err().unwrap().to_string().contains("no trace"));
    assert!(!trace.join(MANIFEST_FILE).exists() && trace.join("thesis.tex").exists());
    std::fs::remove_dir_all(live).unwrap();
    std::fs::remove_dir_all(trace).unwrap();
}

#[test]
fn a_new_run_replaces_the_trace_that_is_there_and_nothing_else() {
    let (live, trace) = (directory("replace-live"), directory("replace-trace"));
    dead(1, 50).write(&live);
    collector(&live, &trace, Existing::Replace, None).finish();
    std::fs::write(trace.join("notes"), "mine").unwrap();
    dead(2, 50).write(&live);
    collector(&live, &trace, Existing::Replace, None).finish();
    assert_eq!((generations(&trace, 1).len(), generations(&trace, 2).len()), (0, 50));
    assert!(trace.join("notes").exists() && !region_path(&trace, 1).exists());
    let mode = |name: &str| trace.join(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(EVENTS_FILE), mode(MANIFEST_FILE)), (0o600, 0o600));
    std::fs::remove_dir_all(live).unwrap();
    std::fs::remove_dir_all(trace).unwrap();
}

#[test]
fn a_trace_at_its_size_takes_no_more_events_but_every_state() {
    let (live, trace) = (directory("size-live"), directory("size-trace"));
    for id in 1..=5 {
        dead(id, 900).write(&live);
    }
    let manifest = collector(&live, &trace, Existing::Replace, Some(1)).finish();
    assert!(manifest.collector.problems.iter().any(|line| line.contains("--max-bytes")));
    assert_eq!(manifest.collector.frames, 1, "the one that reached the size");
    assert!((1..=5).all(|id| region_path(&trace, id).exists()));
    std::fs::remove_dir_all(live).unwrap();
    std::fs::remove_dir_all(trace).unwrap();
}

#[test]
fn one_process_and_its_descendants_can_be_picked() {
    let (live, trace) = (directory("only-live"), directory("only-trace"));
    for (id, pid, parent) in [(1, DEAD, 1), (2, DEAD - 1, 1), (3, DEAD - 2, DEAD)] {
        let mut fixture = Fixture::new(pid, id);
        fixture.header(|header| header.parent_pid = parent);
        fixture.write(&live);
    }
    let mut collector = Collector::open(Options {
        live: live.clone(),
        trace: trace.clone(),
        existing: Existing::Replace,
        manifest: Manifest::default(),
        max_bytes: None,
        only: HashSet::from([DEAD]),
    })
    .unwrap();
    collector.round();
    collector.finish();
    let stored: Vec<u64> = (1..=3).filter(|id| region_path(&trace, *id).exists()).collect();
    assert_eq!(stored, [1, 3]);
    std::fs::remove_dir_all(live).unwrap();
    std::fs::remove_dir_all(trace).unwrap();
}

#[test]
fn files_that_are_no_regions_are_told_of_and_stay() {
    let (live, trace) = (directory("junk-live"), directory("junk-trace"));
    let unmade = live.join(format!("{DEAD}-0000000000000001.region"));
    std::fs::write(&unmade, vec![0; 5000]).unwrap();
    let junk = live.join(format!("{DEAD}-0000000000000002.region"));
    std::fs::write(&junk, b"#!/bin/sh\n".repeat(2000)).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", live.join("1-0000000000000003.region")).unwrap();
    let mut collector = collector(&live, &trace, Existing::Replace, None);
    for _ in 0..250 {
        collector.round();
    }
    let manifest = collector.finish();
    assert!(!unmade.exists() && junk.exists() && !manifest.complete);
    assert_eq!(manifest.collector.problems.len(), 2, "{:?}", manifest.collector.problems);
    std::fs::remove_dir_all(live).unwrap();
    std::fs::remove_dir_all(trace).unwrap();
}
