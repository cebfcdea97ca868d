use std::mem::offset_of;

use resshim_format::header::{CONTROL_OFFSET, DIRECTORY_OFFSET, Tag};
use resshim_format::op::{Kind, Op};
use resshim_format::ring::ChunkState;
use resshim_format::table::{ModuleRow, RowState, SiteRow, TableType};

use super::fixture::{Fixture, directory};
use super::*;
use crate::source::open::Access;

fn fixture() -> Fixture {
    let mut fixture = Fixture::new(42, 0xabc);
    fixture.string(Tag::Exe, "/bin/cat").string(Tag::Arg, "cat").string(Tag::Service, "shop");
    fixture.string(Tag::NotVisible, "heap: the executable defines malloc");
    fixture.fd(3, Kind::File, "/etc/motd");
    fixture.fd(5, Kind::Tcp, "127.0.0.1:80");
    let stack = fixture.stack(&[0x1000, 0x2000, 0x3000]);
    fixture.row(TableType::Sites, 1, |row: &mut SiteRow| {
        *row.stack.get_mut() = stack;
        *row.kind.get_mut() = Kind::Tcp as u32;
        *row.acquired.get_mut() = 9;
        *row.flow[0].get_mut() = 3 << 32 | 9;
    });
    fixture.row(TableType::Modules, 1, |row: &mut ModuleRow| {
        *row.start.get_mut() = 0x1000;
        *row.end.get_mut() = 0x5000;
        *row.path[0].get_mut() = u64::from_le_bytes(*b"/lib/x\0\0");
    });
    fixture
}

#[test]
fn a_region_says_what_was_put_into_it() {
    let live = directory("region-says");
    let path = fixture().write(&live);
    let region = RegionFile::open(&path, Access::Read).unwrap().read().unwrap();
    assert_eq!((region.header.pid, region.header.region_id), (42, 0xabc));
    assert_eq!(region.strings.exe, "/bin/cat");
    assert_eq!(region.strings.args, ["cat"]);
    assert_eq!(region.strings.not_visible.len(), 1);
    let fds: Vec<_> = region.fds().map(|fd| (fd.number, fd.state, fd.label)).collect();
    assert_eq!(fds[0], (3, RowState::Live, "/etc/motd".into()));
    assert_eq!(fds[1], (5, RowState::Live, "127.0.0.1:80".into()));
    let site = region.sites().next().unwrap();
    assert_eq!((site.row, site.acquired, site.flow[0]), (1, 9, (9, 3)));
    assert_eq!(region.stack(site.stack).unwrap().frames, [0x1000, 0x2000, 0x3000]);
    assert_eq!(region.modules().next().unwrap().path, Path::new("/lib/x"));
    assert_eq!((region.stack(0), region.stack(60), region.stack(u32::MAX)), (None, None, None));
    assert_eq!(region.anomalies.total(), 0);
    std::fs::remove_dir_all(live).unwrap();
}

#[test]
fn a_stored_state_says_the_same_as_the_live_one() {
    let live = directory("region-stored");
    let path = fixture().write(&live);
    let region = RegionFile::open(&path, Access::Read).unwrap().read().unwrap();
    let mut stored = Vec::new();
    region.store(&mut stored).unwrap();
    let again = Region::load(&path, &stored[..]).unwrap();
    assert_eq!(again.header, region.header);
    assert_eq!(again.strings, region.strings);
    assert_eq!(again.fds().collect::<Vec<_>>(), region.fds().collect::<Vec<_>>());
    assert_eq!(again.sites().collect::<Vec<_>>(), region.sites().collect::<Vec<_>>());
    assert_eq!(again.stack(1), region.stack(1));
    assert_eq!(again.anomalies.total(), 0);
    std::fs::remove_dir_all(live).unwrap();
}

#[test]
fn chunks_are_copied_and_freed_once_nobody_writes_them() {
    let live = directory("region-chunks");
    let mut fixture = fixture();
    for index in 0..1500 {
        assert!(fixture.push(1000 + index * 64, 7, Op::Close, &[3], &[]));
    }
    assert!(fixture.push_shared(5000, 8, Op::Close, &[4]));
    let path = fixture.write(&live);
    let region = RegionFile::open(&path, Access::Drain).unwrap();
    let states: Vec<ChunkState> = region.states().iter().map(|state| state.state).collect();
    assert_eq!(states[..3], [ChunkState::Full, ChunkState::Owned, ChunkState::Shared]);
    let full = region.copy_chunk(0).unwrap();
    let owned = region.copy_chunk(1).unwrap();
    let shared = region.copy_chunk(2).unwrap();
    let count = |copy: &ChunkCopy| copy.records().count();
    assert_eq!(count(&full) + count(&owned), 1500);
    assert_eq!(count(&shared), 1);
    assert_eq!(region.copy_chunk(3), None);
    assert_eq!(region.copy_chunk(u32::MAX), None);
    let me = drainer(std::process::id());
    let drain = Drain::claim(&region, me, |_| true).unwrap().unwrap();
    assert!(drain.free(&region, &full));
    assert!(!drain.free(&region, &full), "freed once");
    assert!(!drain.free(&region, &owned), "its thread writes it");
    assert_eq!(region.states()[0].state, ChunkState::Free);
    fixture.park();
    let region = RegionFile::open(&fixture.write(&live), Access::Drain).unwrap();
    assert_eq!(region.copy_chunk(1).unwrap().state.state, ChunkState::Parked);
    std::fs::remove_dir_all(live).unwrap();
}

fn drainer(pid: u32) -> Drainer {
    Drainer { pid, start: 1 }
}

#[test]
fn one_drainer_at_a_time_and_a_dead_one_is_replaced() {
    let live = directory("region-drainer");
    let path = fixture().write(&live);
    let region = RegionFile::open(&path, Access::Drain).unwrap();
    let first = Drain::claim(&region, drainer(10), |_| true).unwrap().unwrap();
    assert!(Drain::claim(&region, drainer(11), |other| other == drainer(10)).unwrap().is_none());
    let second = Drain::claim(&region, drainer(11), |_| false).unwrap().unwrap();
    second.release(&region);
    first.release(&region);
    assert!(Drain::claim(&region, drainer(12), |_| true).unwrap().is_some());
    std::fs::remove_dir_all(live).unwrap();
}

#[test]
fn a_file_that_is_no_region_is_refused_in_one_line() {
    let live = directory("region-foreign");
    let path = live.join("1-00000000000000aa.region");
    let mut future = fixture();
    future.header(|header| header.version = VERSION + 1);
    let mut unmade = fixture();
    unmade.header(|header| *header.magic.get_mut() = 0);
    let mut outside = fixture();
    outside.header(|header| header.chunk_limit = u32::MAX);
    let cases: [(Vec<u8>, &str); 6] = [
        (Vec::new(), "too short"),
        (b"#!/bin/sh\n".repeat(1000), "no region"),
        (fixture().bytes()[..100].to_vec(), "too short"),
        (future.bytes(), "format version"),
        (unmade.bytes(), "died while it was made"),
        (outside.bytes(), "do not fit"),
    ];
    for (bytes, why) in cases {
        std::fs::write(&path, bytes).unwrap();
        let error = RegionFile::open(&path, Access::Read).unwrap_err().to_string();
        assert!(error.contains(why) && !error.contains('\n'), "{error}");
    }
    std::fs::remove_dir_all(live).unwrap();
}

#[test]
fn tables_that_do_not_fit_the_file_are_cut_and_counted() {
    let live = directory("region-tables");
    let mut fixture = fixture();
    // Rows of the descriptor table (second entry) up to the end of the address space.
    fixture.put(DIRECTORY_OFFSET + 32 + 8, &u32::MAX.to_le_bytes());
    fixture.put(DIRECTORY_OFFSET + 32 + 12, &u32::MAX.to_le_bytes());
    let path = fixture.write(&live);
    let region = RegionFile::open(&path, Access::Read).unwrap().read().unwrap();
    assert!(region.anomalies.bad_tables > 0);
    assert_eq!(region.fd(3).unwrap().label, "/etc/motd");
    assert!(region.fds().count() < 100_000);
    std::fs::remove_dir_all(live).unwrap();
}

/// Every reader of a region, over whatever stands in it.
fn read_everything(file: &RegionFile) {
    for index in 0..file.chunks().min(16) {
        if let Some(copy) = file.copy_chunk(index) {
            for record in copy.records() {
                record.text(0, &mut [0; 64]);
            }
        }
    }
    let Ok(region) = file.read() else { return };
    region.fd_history().count();
    region.threads().count();
    region.heap().count();
    region.modules().count();
    region.kind_names().count();
    for site in region.sites() {
        region.stack(site.stack);
        assert!(region.stack_ids().count() < 1 << 20);
    }
    let mut stored = Vec::new();
    region.store(&mut stored).unwrap();
    Region::load(Path::new("stored"), &stored[..]).unwrap();
}

#[test]
fn mutated_regions_are_read_or_refused_without_a_panic() {
    let live = directory("region-mutated");
    let mut fixture = fixture();
    for index in 0..600 {
        fixture.push(1000 + index * 64, 7, Op::Open, &[3, 1], &[b"/etc/hosts"]);
    }
    let whole = fixture.bytes();
    let path = live.join("1-00000000000000aa.region");
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as usize
    };
    for round in 0..150 {
        let mut bytes = whole.clone();
        for _ in 0..1 + random() % 8 {
            // Mostly where the structure is: header, control page, directory, states.
            let at = random() % if round % 3 == 0 { bytes.len() } else { 4 * 4096 };
            bytes[at] = [0, 0xff, 0x80, random() as u8][random() % 4];
        }
        if round % 5 == 0 {
            bytes.truncate(random() % whole.len());
        }
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(file) = RegionFile::open(&path, Access::Read) {
            read_everything(&file);
        }
    }
    std::fs::remove_dir_all(live).unwrap();
}

#[test]
fn names_of_region_files_are_a_pid_and_an_id() {
    assert_eq!(parse_file_name("12-00000000000000ff.region"), Some((12, 255)));
    for name in ["12-ff.region", "x-00000000000000ff.region", "12-00000000000000ff", "index"] {
        assert_eq!(parse_file_name(name), None, "{name}");
    }
}

#[test]
fn a_row_that_lost_the_race_for_its_site_is_passed_over() {
    let mut fixture = fixture();
    fixture.row(TableType::Sites, 2, |row: &mut SiteRow| {
        *row.stack.get_mut() = 1;
        *row.kind.get_mut() = Kind::Tcp as u32;
    });
    let path = fixture.write(&directory("region-site-race"));
    let region = RegionFile::open(&path, Access::Read).unwrap().read().unwrap();
    assert_eq!(region.sites().map(|site| site.row).collect::<Vec<_>>(), [1]);
}

#[test]
fn stacks_are_found_one_behind_the_other() {
    let ids_in = |fixture: &Fixture| {
        let path = fixture.write(&directory("region-stacks"));
        let region = RegionFile::open(&path, Access::Read).unwrap().read().unwrap();
        region.stack_ids().collect::<Vec<_>>()
    };
    let mut fixture = Fixture::new(7, 1);
    let ids = [&[1_u64, 2, 3][..], &[4], &[5, 6]].map(|frames| fixture.stack(frames));
    assert_eq!(ids_in(&fixture), ids);
    // Its process was killed while it wrote this one.
    fixture.stack(&[]);
    fixture.stack(&[7]);
    assert_eq!(ids_in(&fixture), ids);
}

#[test]
fn the_clock_of_uses_is_moved_on_where_uses_are_stamped_and_its_rest_is_kept() {
    let live = directory("use-clock");
    let clock_at = CONTROL_OFFSET + offset_of!(Control, use_clock);
    for before in [0, 1000_u64] {
        let mut fixture = Fixture::new(7, 1);
        fixture.put(clock_at, &before.to_le_bytes());
        let region = RegionFile::open(&fixture.write(&live), Access::Drain).unwrap();
        let drain = Drain::claim(&region, drainer(10), |_| true).unwrap().unwrap();
        drain.step_uses(&region);
        let after = region.read().unwrap();
        let gap = after.header.use_clock_gap;
        if before == 0 {
            assert_eq!((after.use_clock, gap), (0, 0), "this process stamps none");
        } else {
            assert!(after.use_clock > before);
            assert_eq!(gap, after.use_clock - before);
        }
        drain.release(&region);
    }
    std::fs::remove_dir_all(live).unwrap();
}
