//! Names of code that compilers made at run time, from the maps that runtimes write for profilers.
//!
//! Owns the finding of a process's maps (`perf-PID.map`, `jit-PID.dump`), the reading of what has grown,
//! and the removal of those that are there because of us. What was read goes into the trace
//! ([`crate::source::generated`]), since the files go, and the numbers with them.
//!
//! A map is a file with a name that anybody can guess, in a directory where anybody can write: it is
//! opened through no link, if it is regular, owned by root or the process's user, and written to since the
//! process began; no more than [`MOST_BYTES`] of it are read. As long as the process lives, it is looked
//! for in the process's own root directory.

mod batch;
mod jitdump;
mod perf_map;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use resshim_format::header::FACT_OWN_MAP;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};

use self::batch::Filling;
use self::jitdump::JitDump;
use self::perf_map::PerfMap;
use super::proc::{ProcessId, monotonic_ns};
use crate::source::generated::Batch;
use crate::source::region::{Region, RegionHeader};

/// Bytes of maps that are read of one process. A perf map takes some 60 bytes a function.
pub const MOST_BYTES: u64 = 256 << 20;
/// Bytes of names that go into one batch.
const BATCH_BYTES: usize = 8 << 20;
/// Read from a perf map at a time.
const PIECE: usize = 1 << 20;
/// Maps of one process: a hostile one can open any number.
const MOST_MAPS: usize = 8;
/// Time stamps of files are those of the last tick.
const GRANULARITY_NS: u64 = 1_000_000_000;

enum Reader {
    PerfMap(PerfMap, u64),
    JitDump(JitDump),
}

/// A map that is open.
struct Map {
    directory: OwnedFd,
    path: PathBuf,
    file: File,
    reader: Reader,
    /// When it was read before, `CLOCK_MONOTONIC` nanoseconds.
    since_ns: u64,
}

/// The maps of one process image.
pub struct CodeMaps {
    process: ProcessId,
    user: u32,
    started_ns: u64,
    is_ours: bool,
    maps: Vec<Map>,
    bytes: u64,
}

impl CodeMaps {
    /// Of the image that this header is of.
    pub fn of(header: &RegionHeader) -> CodeMaps {
        CodeMaps {
            process: ProcessId { pid: header.pid, start_ticks: header.start_ticks },
            user: header.euid,
            started_ns: header.start_realtime_ns,
            is_ours: header.facts & FACT_OWN_MAP != 0,
            maps: Vec::new(),
            bytes: 0,
        }
    }

    /// Bytes of maps that were read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Looks for maps in their usual places, and gives what has come since to `store`; false from it ends
    /// the reading.
    pub fn look(&mut self, store: &mut dyn FnMut(&Batch) -> bool) {
        self.find(&usual_places(self.process.pid));
        self.read(false, store);
    }

    /// What there is left to read. `region` is the state at the end: it knows of maps in unusual places.
    pub fn close(&mut self, region: &Region, store: &mut dyn FnMut(&Batch) -> bool) {
        let mut places = usual_places(self.process.pid);
        places.extend(opened_places(region));
        self.find(&places);
        self.read(true, store);
    }

    /// Removes the map that is there because `run` asked for it. To be called when its process is gone.
    pub fn remove(&self) {
        let usual = usual_places(self.process.pid);
        let own = usual.first().filter(|_| self.is_ours);
        for map in self.maps.iter().filter(|map| own == Some(&map.path)) {
            if let Some(name) = map.path.file_name().filter(|_| map.is_in_place()) {
                let _ = rustix::fs::unlinkat(&map.directory, name, AtFlags::empty());
            }
        }
    }

    fn find(&mut self, places: &[PathBuf]) {
        for place in places {
            let known = self.maps.iter().position(|map| map.path == *place);
            if let Some(known) = known {
                if self.maps[known].is_in_place() {
                    continue;
                }
                self.maps.remove(known);
            }
            if self.maps.len() < MOST_MAPS {
                self.maps.extend(self.open(place));
            }
        }
    }

    fn open(&self, path: &Path) -> Option<Map> {
        let (parent, name) = (path.parent()?, path.file_name()?);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = || {
            let own = format!("/proc/{}/root", self.process.pid);
            let root = rustix::fs::openat(CWD, own, flags, Mode::empty()).ok()?;
            // Asked afterwards: the number could have gone to another process before.
            self.process.is_alive().then_some(root)
        };
        let root = root().or_else(|| rustix::fs::openat(CWD, c"/", flags, Mode::empty()).ok())?;
        let resolve =
            ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let directory = rustix::fs::openat2(&root, parent, flags, Mode::empty(), resolve).ok()?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = rustix::fs::openat(&directory, name, flags | OFlags::CLOEXEC, Mode::empty());
        let file = File::from(file.ok()?);
        let data = file.metadata().ok()?;
        let changed_ns = (data.mtime().max(0) as u64)
            .saturating_mul(1_000_000_000)
            .saturating_add(data.mtime_nsec().max(0) as u64);
        let is_trusted = data.is_file()
            && (data.uid() == 0 || data.uid() == self.user)
            && changed_ns.saturating_add(GRANULARITY_NS) >= self.started_ns;
        let reader = match name.as_bytes().ends_with(b".dump") {
            true => Reader::JitDump(JitDump::default()),
            false => Reader::PerfMap(PerfMap::default(), 0),
        };
        let path = path.to_owned();
        is_trusted.then_some(Map { directory, path, file, reader, since_ns: 0 })
    }

    fn read(&mut self, last: bool, store: &mut dyn FnMut(&Batch) -> bool) {
        for map in &mut self.maps {
            let now = monotonic_ns();
            loop {
                let mut filling = Filling::default();
                let left = MOST_BYTES.saturating_sub(self.bytes);
                let (bytes, more) = map.read(&mut filling, left, last);
                self.bytes += bytes;
                let batch = filling.finish(map.since_ns);
                if !batch.is_empty() && !store(&batch) || !more {
                    break;
                }
            }
            map.since_ns = now;
        }
    }
}

impl Map {
    /// Whether its name still leads to this file.
    fn is_in_place(&self) -> bool {
        let Some(name) = self.path.file_name() else { return false };
        let there = rustix::fs::statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW);
        let own = rustix::fs::fstat(&self.file);
        let same = |(a, b): (rustix::fs::Stat, rustix::fs::Stat)| {
            (a.st_ino, a.st_dev) == (b.st_ino, b.st_dev)
        };
        there.and_then(|there| Ok((there, own?))).is_ok_and(same)
    }

    /// Reads on; gives the bytes that were read, and whether there is more.
    fn read(&mut self, into: &mut Filling, most: u64, last: bool) -> (u64, bool) {
        match &mut self.reader {
            Reader::JitDump(dump) => {
                let before = dump.bytes();
                if before >= most {
                    return (0, false);
                }
                let more = dump.read(&self.file, into, BATCH_BYTES);
                let bytes = dump.bytes() - before;
                (bytes, more && bytes > 0)
            }
            Reader::PerfMap(map, offset) => {
                let length = self.file.metadata().map_or(0, |data| data.len());
                if length < *offset {
                    // Begun anew, by a later image of the process.
                    (*map, *offset) = (PerfMap::default(), 0);
                }
                let mut piece = vec![0; (length - *offset).min(most).min(PIECE as u64) as usize];
                let read = self.file.read_at(&mut piece, *offset).unwrap_or(0);
                map.feed(&piece[..read], into);
                *offset += read as u64;
                let more = read > 0 && *offset < length && most > read as u64;
                if last && !more {
                    map.finish(into);
                }
                (read as u64, more)
            }
        }
    }
}

/// Where runtimes write their maps, what V8 is asked for by `run` first.
fn usual_places(pid: u32) -> Vec<PathBuf> {
    vec![format!("/tmp/perf-{pid}.map").into(), format!("/tmp/jit-{pid}.dump").into()]
}

/// Whether this is the path of a map that a runtime writes for profilers.
pub fn is_map(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let between = |start: &str, end: &str| {
        let middle = name.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
        middle.is_some_and(|pid| !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()))
    };
    between("perf-", ".map") || between("jit-", ".dump")
}

/// Maps that the process has opened elsewhere, whether or not it has closed them since. A label that was
/// cut has no begin, and cannot be opened.
fn opened_places(region: &Region) -> Vec<PathBuf> {
    let cwd = Path::new(&region.strings.cwd);
    let labels = region.fd_history().map(|fd| fd.label);
    let paths = labels.filter(|label| is_map(label)).map(|label| cwd.join(label));
    // V8's, which is closed before the end, so that its number may be another file's by now.
    let paths = paths.chain([cwd.join(format!("jit-{}.dump", region.header.pid))]);
    paths.filter(|path| path.is_absolute()).collect()
}

#[cfg(test)]
mod tests;
