//! Where the shim may write, and where it must not: the program runs unchanged either way.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use resshim_tests::launch::{Ending, Launch, Outcome};
use resshim_tests::program;
use resshim_tests::scratch::Scratch;
use resshim_tests::trace::Traces;

/// The outcome of a program of a few calls whose traces go to `out`, and the same untraced.
fn outcomes(out: &Path) -> (Outcome, Outcome) {
    let program = program::named("behaviours/double_close");
    let directory = Scratch::new("place");
    let launch = Launch::of(&program).directory(directory.path());
    (launch.preloaded(out).run(), launch.run())
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).expect("directory").next().is_none()
}

#[test]
fn an_absent_directory_is_made_for_its_owner_alone() {
    let base = Scratch::for_regions("absent");
    let out = base.path().join("made");
    let (traced, untraced) = outcomes(&out);
    assert_eq!(traced, untraced);
    assert_eq!(fs::metadata(&out).expect("made").permissions().mode() & 0o7777, 0o700);
    let traces = Traces::of(&out);
    assert_eq!(traces.images.len(), 1);
    for entry in fs::read_dir(&out).expect("made") {
        let metadata = entry.expect("entry").metadata().expect("metadata");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_directory_below_an_absent_one_cannot_be_made() {
    let base = Scratch::for_regions("below");
    let (traced, untraced) = outcomes(&base.path().join("absent/below"));
    assert_eq!(traced, untraced);
    assert!(is_empty(base.path()));
}

#[test]
fn a_directory_that_others_may_write_is_not_used() {
    let base = Scratch::for_regions("open-to-all");
    fs::set_permissions(base.path(), Permissions::from_mode(0o777)).expect("permissions");
    let (traced, untraced) = outcomes(base.path());
    assert_eq!(traced, untraced);
    assert!(is_empty(base.path()));
}

#[test]
fn a_link_to_a_directory_is_not_followed() {
    let base = Scratch::for_regions("link");
    let target = base.path().join("target");
    fs::create_dir(&target).expect("target");
    fs::set_permissions(&target, Permissions::from_mode(0o700)).expect("permissions");
    let link = base.path().join("link");
    symlink(&target, &link).expect("link");
    let (traced, untraced) = outcomes(&link);
    assert_eq!(traced, untraced);
    assert!(is_empty(&target));
}

#[test]
fn a_file_in_place_of_the_directory_is_left_alone() {
    let base = Scratch::for_regions("file");
    let file = base.path().join("file");
    fs::write(&file, "content").expect("file");
    let (traced, untraced) = outcomes(&file);
    assert_eq!(traced, untraced);
    assert_eq!(fs::read(&file).expect("file"), b"content");
}

#[test]
fn a_directory_of_another_user_is_not_used() {
    let base = Scratch::for_regions("foreign");
    if std::os::unix::fs::chown(base.path(), Some(1), None).is_err() {
        eprintln!("only root can give a directory away");
        return;
    }
    let (traced, untraced) = outcomes(base.path());
    assert_eq!(traced, untraced);
    assert!(is_empty(base.path()));
}

#[test]
fn where_nothing_can_be_written_the_program_runs_untracked() {
    let out = Scratch::new("read-only");
    let script = |command: &str| {
        format!(
            "mount -t tmpfs -o ro tmpfs /dev/shm && mount -t tmpfs -o ro tmpfs '{}' && {command}",
            out.path().display()
        )
    };
    let outer = |command: &str| {
        ["unshare", "-m", "sh", "-c", &script(command), "sh"].map(str::to_owned).to_vec()
    };
    let probe = outer("true");
    if Launch::new("unshare").args(&probe[1..]).run().ending != Ending::Exit(0) {
        eprintln!("no file system of one's own can be mounted here");
        return;
    }
    let program = program::named("behaviours/double_close");
    let directory = Scratch::new("place");
    let launch = Launch::of(&program).directory(directory.path());
    let outer = outer("exec \"$@\"");
    let outer: Vec<&str> = outer.iter().map(String::as_str).collect();
    assert_eq!(launch.inside(&outer).preloaded(out.path()).run(), launch.run());
}

#[test]
fn a_profile_of_off_writes_nothing() {
    let base = Scratch::for_regions("off");
    let program = program::named("behaviours/double_close");
    let launch = Launch::of(&program).directory(base.path()).env("RESSHIM_PROFILE", "off");
    let out = base.path().join("out");
    assert_eq!(launch.preloaded(&out).run(), launch.run());
    assert!(is_empty(base.path()));
}

#[test]
fn programs_with_nothing_to_tell_leave_next_to_nothing() {
    const RUNS: u32 = 100;
    let out = Scratch::for_regions("true");
    let script = format!("i=0; while [ $i -lt {RUNS} ]; do /bin/true; i=$((i+1)); done");
    Launch::new("sh").args(["-c", &script]).preloaded(out.path()).run();
    let blocks = |path: &Path| {
        std::os::unix::fs::MetadataExt::blocks(&fs::metadata(path).expect("metadata")) * 512
    };
    let entries = fs::read_dir(out.path()).expect("directory");
    let bytes: u64 = entries.map(|entry| blocks(&entry.expect("entry").path())).sum();
    // 10 000 may leave 16 MiB behind; a share of it, and one region of the shell.
    let share = (16 << 20) * RUNS as u64 / 10_000;
    assert!(bytes <= share + (512 << 10), "{bytes} bytes are left of {RUNS} programs");
    assert!(Traces::of(out.path()).index.len() >= 2 * RUNS as usize, "each image has its rows");
}
