//! Maps in their places: what is read of them, what is refused, what is removed.

use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A number that no process has (`pid_max` is at most 2^22), and the perf map of it.
struct Gone {
    pid: u32,
    map: PathBuf,
}

impl Gone {
    fn new() -> Gone {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let pid = (1 << 23) + (std::process::id() << 4) + NEXT.fetch_add(1, Ordering::Relaxed);
        let gone = Gone { pid, map: usual_places(pid).remove(0) };
        let _ = std::fs::remove_file(&gone.map);
        gone
    }

    fn maps(&self) -> CodeMaps {
        CodeMaps {
            process: ProcessId { pid: self.pid, start_ticks: 1 },
            user: rustix::process::geteuid().as_raw(),
            started_ns: 1,
            is_ours: true,
            maps: Vec::new(),
            bytes: 0,
        }
    }

    fn write(&self, text: &str) {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.create(true).append(true).mode(0o600).open(&self.map).unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    }
}

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.map);
    }
}

fn names(maps: &mut CodeMaps) -> Vec<String> {
    let mut names = Vec::new();
    maps.look(&mut |batch| {
        assert!(batch.is_whole());
        let strings = batch.names.iter().map(|name| batch.strings[*name as usize].clone());
        names.extend(strings);
        true
    });
    names
}

#[test]
fn what_has_grown_is_read_once_and_with_the_time_of_the_reading_before() {
    let gone = Gone::new();
    let mut maps = gone.maps();
    assert!(names(&mut maps).is_empty());
    gone.write("10 10 first\n20 10 sec");
    assert_eq!(names(&mut maps), ["first"]);
    gone.write("ond\n");
    let mut since = 0;
    maps.look(&mut |batch| {
        since = batch.since_ns;
        batch.strings == ["second"]
    });
    assert!(since > 0 && since <= monotonic_ns());
    assert!(names(&mut maps).is_empty());
    assert_eq!(maps.bytes(), 25);
}

#[test]
fn a_map_that_was_begun_anew_or_replaced_is_read_from_its_begin() {
    let gone = Gone::new();
    let mut maps = gone.maps();
    gone.write("10 10 a_long_name\n");
    assert_eq!(names(&mut maps), ["a_long_name"]);
    std::fs::write(&gone.map, "20 10 b\n").unwrap();
    assert_eq!(names(&mut maps), ["b"]);
    std::fs::remove_file(&gone.map).unwrap();
    gone.write("30 10 c\n40 10 another\n");
    assert_eq!(names(&mut maps), ["c", "another"]);
}

#[test]
fn links_pipes_files_of_others_and_old_ones_are_refused() {
    let gone = Gone::new();
    let other = Gone::new();
    other.write("10 10 f\n");
    symlink(&other.map, &gone.map).unwrap();
    assert!(names(&mut gone.maps()).is_empty(), "a link");
    std::fs::remove_file(&gone.map).unwrap();
    rustix::fs::mknodat(CWD, &gone.map, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
    assert!(names(&mut gone.maps()).is_empty(), "a pipe");
    std::fs::remove_file(&gone.map).unwrap();
    gone.write("10 10 f\n");
    let mut later = gone.maps();
    later.started_ns = u64::MAX / 2;
    assert!(names(&mut later).is_empty(), "one that an earlier process of this number left");
    let mut foreign = gone.maps();
    foreign.user = 12345;
    let is_root = rustix::process::geteuid().is_root();
    assert_eq!(names(&mut foreign).is_empty(), !is_root, "root's are read, others' are not");
    if is_root {
        std::os::unix::fs::chown(&gone.map, Some(54321), None).unwrap();
        assert!(names(&mut foreign).is_empty(), "somebody else's");
    }
    assert_eq!(names(&mut other.maps()), ["f"]);
}

#[test]
fn only_the_map_that_is_there_because_of_us_is_removed() {
    let gone = Gone::new();
    gone.write("10 10 f\n");
    let mut maps = gone.maps();
    maps.is_ours = false;
    names(&mut maps);
    maps.remove();
    assert!(gone.map.exists(), "the user's own");
    let unread = gone.maps();
    unread.remove();
    assert!(gone.map.exists(), "one that was never opened");
    let mut maps = gone.maps();
    names(&mut maps);
    std::fs::remove_file(&gone.map).unwrap();
    gone.write("20 10 another\n");
    maps.remove();
    assert!(gone.map.exists(), "another file by now");
    names(&mut maps);
    maps.remove();
    assert!(!gone.map.exists());
}

#[test]
fn maps_are_told_by_their_names() {
    for path in ["/tmp/perf-1.map", "perf-77.map", "./jit-5.dump", "ug/jit/x/jit-5.dump"] {
        assert!(is_map(path), "{path}");
    }
    for path in ["/tmp/perf-.map", "/tmp/perf-1x.map", "/tmp/perf-1.map/x", "jit-5.dumps", ""] {
        assert!(!is_map(path), "{path}");
    }
}
