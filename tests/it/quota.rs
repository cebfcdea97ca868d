//! How much is left behind, and what gives where there is no room: tables before history, history
//! before the program, which runs on unchanged.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use resshim_tests::launch::{Ending, Launch, Outcome};
use resshim_tests::program;
use resshim_tests::scratch::Scratch;
use resshim_tests::trace::Traces;

fn whole() -> Outcome {
    Outcome { stdout: b"whole\n".to_vec(), stderr: Vec::new(), ending: Ending::Exit(0) }
}

fn works_hard() -> Launch {
    let program = program::named("scribbled/works_hard");
    Launch::of(&program).args(["1"]).env("RESSHIM_HEAP_SAMPLE", "1")
}

/// Bytes that a directory's files take.
fn bytes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).expect("directory");
    entries.map(|entry| entry.expect("entry").metadata().map_or(0, |m| m.blocks() * 512)).sum()
}

#[test]
fn regions_of_the_dead_make_room_for_new_ones() {
    let out = Scratch::for_regions("quota");
    let script = "i=0; while [ $i -lt 120 ]; do ls > /dev/null; i=$((i+1)); done";
    let launch = Launch::new("sh").args(["-c", script]).env("RESSHIM_MAX_BYTES", "2MiB");
    let outcome = launch.preloaded(out.path()).run();
    assert_eq!(outcome.ending, Ending::Exit(0));
    assert!(bytes(out.path()) <= 2 << 20, "{} bytes are left", bytes(out.path()));
    let traces = Traces::of(out.path());
    // The shell lived all the while: its region is the oldest and stays.
    let shell = traces.images.first().expect("regions");
    assert_eq!(shell.region.header.growth_refused, 0, "the dead gave way");
    assert_eq!(shell.region.children().count(), 0, "all of its children were waited for");
    assert!(traces.images.len() > 5, "the youngest are still there");
    assert!(traces.index.len() >= 240, "the index tells of all");
}

#[test]
fn a_small_limit_is_kept_to_by_one_that_writes_much() {
    let program = program::named("behaviours/streams_and_numbers");
    for (limit, most) in [("300KiB", 300 << 10), ("2MiB", 2 << 20)] {
        let out = Scratch::for_regions("small-limit");
        let launch = Launch::of(&program).env("RESSHIM_MAX_BYTES", limit);
        assert_eq!(launch.preloaded(out.path()).run().ending, Ending::Exit(0));
        let region = bytes(out.path());
        // What a region begins with is less; a quarter for the quota's own page and tables that grow.
        assert!((most / 2..most + most / 4).contains(&region), "{region} of {limit}");
    }
}

#[test]
fn without_room_for_history_tables_are_exact() {
    let out = Scratch::for_regions("no-history");
    let program = program::named("behaviours/double_close");
    let launch = Launch::of(&program).env("RESSHIM_MAX_BYTES", "1KiB");
    assert_eq!(launch.preloaded(out.path()).run(), launch.run());
    let traces = Traces::of(out.path());
    let header = &traces.images[0].region.header;
    assert_eq!((header.chunks_populated, header.growth_refused & 4), (0, 4));
    assert!(header.lost_acquisitions > 0, "what was lost is counted");
    let acquired: u64 = traces.images[0].region.sites().map(|site| site.acquired).sum();
    assert!(acquired > 0, "the totals are there");
    assert_eq!(traces.events().count(), 0);
}

#[test]
fn before_linux_5_14_a_region_has_a_megabyte_and_keeps_it() {
    let out = Scratch::for_regions("old-kernel");
    let old_kernel = program::named("scribbled/old_kernel").path;
    let outer = [old_kernel.to_str().expect("a path of letters")];
    assert_eq!(works_hard().inside(&outer).preloaded(out.path()).run(), whole());
    let traces = Traces::of(out.path());
    let works = traces.images.iter().find(|image| image.events.len() > 1000).expect("a history");
    let header = &works.region.header;
    assert_eq!((header.chunks_populated, header.growth_refused & 16), (32, 16));
    assert!(header.overwritten_chunks > 0, "the oldest records gave way");
    let largest = fs::read_dir(out.path())
        .expect("directory")
        .map(|entry| entry.expect("entry").metadata().map_or(0, |m| m.blocks() * 512))
        .max();
    assert!(largest <= Some(1280 << 10), "{largest:?} bytes");
}

#[test]
fn a_full_file_system_hurts_nobody() {
    let out = Scratch::new("full");
    let launch = works_hard().preloaded(out.path());
    let script = format!(
        "mount -t tmpfs -o size=1m,mode=700 tmpfs '{}' && exec \"$@\"",
        out.path().display()
    );
    if !can("unshare", &["-m", "mount", "-t", "tmpfs", "tmpfs", &out.path().to_string_lossy()]) {
        eprintln!("no file system of one's own can be made here");
        return;
    }
    let outcome = launch.inside(&["unshare", "-m", "sh", "-c", &script, "sh"]).run();
    assert_eq!(outcome, whole());
}

/// Growth stops where less than 32 MiB are left: when 8 are used.
const LIMIT: u64 = 40 << 20;

#[test]
fn a_memory_group_is_not_driven_to_its_limit() {
    let group = format!("/sys/fs/cgroup/memory/resshim-tests-{}", std::process::id());
    let group = Path::new(&group);
    if fs::create_dir(group).is_err()
        || fs::write(group.join("memory.limit_in_bytes"), LIMIT.to_string()).is_err()
    {
        eprintln!("no memory group can be made here");
        return;
    }
    let out = Scratch::for_regions("group");
    let script = format!("echo $$ > '{}/cgroup.procs'; exec \"$@\"", group.display());
    let launch = works_hard().env("RESSHIM_MAX_BYTES", "1GiB").env("RESSHIM_RING", "64MiB");
    let outcome = launch.preloaded(out.path()).inside(&["sh", "-c", &script, "sh"]).run();
    let most = fs::read_to_string(group.join("memory.max_usage_in_bytes")).expect("usage");
    fs::remove_dir(group).expect("an empty group");
    assert_eq!(outcome, whole());
    let most: u64 = most.trim().parse().expect("bytes");
    assert!(most < LIMIT - (16 << 20), "{most} bytes of 40 MiB were used");
    let traces = Traces::of(out.path());
    let refused = traces.images.iter().any(|i| i.region.header.growth_refused & 2 != 0);
    assert!(refused, "it says that it stopped growing");
}

fn can(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
}
