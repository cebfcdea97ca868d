//! The collector: drains the regions of a live directory into a trace while their processes run.
//!
//! Owns the trace that it writes and the drainer's role of the regions that it follows. It runs with
//! the user's own rights, in a process of its own or inside `run`; no writer ever waits for it. A
//! kill at any moment leaves a trace that reads: live regions stay where they are until what they
//! hold is stored, and a collector that starts again goes on with its own trace.

pub mod code_maps;
pub mod follow;
pub mod live;
pub mod proc;
pub mod reconcile;
pub mod store;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use resshim_format::index::IndexEvent;

use self::follow::{Followed, Refusal};
use self::live::Names;
use self::proc::ProcessId;
use self::store::{Existing, Store};
use crate::error::Result;
use crate::source::chosen::Chosen;
use crate::source::index::IndexReader;
use crate::source::manifest::Manifest;
use crate::source::region::parse_file_name;

/// Shortest and longest time between two rounds.
const SHORTEST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(100);
/// A small ring (1 MiB) is full after some 20 ms of a busy loop: with few processes a round is cheap
/// enough for that. Each process makes it longer by a millisecond.
const IDLE: Duration = Duration::from_millis(15);
/// Between two writes of the manifest.
const MANIFEST: Duration = Duration::from_secs(2);

/// What to collect, and where to.
pub struct Options {
    /// Directory of the regions.
    pub live: PathBuf,
    /// Directory of the trace.
    pub trace: PathBuf,
    /// What to do with a trace that is there.
    pub existing: Existing,
    /// Manifest of a new trace.
    pub manifest: Manifest,
    /// The trace takes no more events when it is this large.
    pub max_bytes: Option<u64>,
    /// Only these processes and their descendants; empty = all.
    pub only: HashSet<u32>,
}

/// What the index says of images that were met.
#[derive(Default)]
struct Images {
    /// Regions whose end the index tells.
    ended: HashSet<u64>,
    /// Last image of each process: its region, and when it began.
    last: HashMap<ProcessId, (u64, u64)>,
}

/// A collector at work.
pub struct Collector {
    live: PathBuf,
    store: Store,
    index: IndexReader,
    images: Images,
    names: Names,
    followed: HashMap<u64, Followed>,
    chosen: Chosen,
    me: ProcessId,
    interval: Duration,
    next_manifest: Instant,
}

impl Collector {
    /// Makes the trace or goes on with it.
    ///
    /// # Errors
    /// Where the trace cannot be made.
    pub fn open(options: Options) -> Result<Collector> {
        let me = ProcessId::own();
        let mut manifest = options.manifest;
        manifest.live_dir = Some(options.live.clone());
        manifest.collected_dir = Some(options.live.clone());
        let start = |pid: &u32| (*pid, proc::stat(*pid).map_or(0, |stat| stat.start_ticks));
        let chosen: BTreeMap<u32, u64> = options.only.iter().map(start).collect();
        manifest.chosen = chosen.clone();
        let mut store = Store::open(&options.trace, options.existing, manifest, options.max_bytes)?;
        let collector = &mut store.manifest.collector;
        collector.pid = me.pid;
        collector.start_ticks = me.start_ticks;
        collector.starts += 1;
        // A disk that was full may have room again.
        collector.stopped = None;
        store.write_manifest();
        Ok(Collector {
            index: IndexReader::new(&options.live, 0),
            images: Images::default(),
            names: Names::new(&options.live),
            live: options.live,
            store,
            followed: HashMap::new(),
            chosen: Chosen::of(chosen),
            me,
            interval: SHORTEST,
            next_manifest: Instant::now() + MANIFEST,
        })
    }

    /// The manifest as it will be written next.
    pub fn manifest(&mut self) -> &mut Manifest {
        &mut self.store.manifest
    }

    /// Where the trace is.
    pub fn trace(&self) -> &Path {
        self.store.path()
    }

    /// Bytes of the trace.
    pub fn bytes(&self) -> u64 {
        self.store.bytes()
    }

    /// Processes whose regions are followed and that have not ended.
    pub fn living(&self) -> usize {
        self.followed.len()
    }

    /// Whether processes live that write, or may yet write, into the live directory of a run: a fork
    /// child has no region before it has something to tell. Not cheap: it looks through `/proc`.
    pub fn has_descendants(&self) -> bool {
        use std::os::unix::ffi::OsStrExt;
        let mut variable = b"RESSHIM_OUT=".to_vec();
        variable.extend(self.live.as_os_str().as_bytes());
        self.living() > 0 || proc::any_with_variable(&variable)
    }

    /// How long to wait until the next round.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Descriptors that become readable when there is something to do before that.
    pub fn wakers(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.followed.values().filter_map(|followed| Some(followed.pidfd()?.as_fd()))
    }

    /// One round: new regions, full chunks, ended processes.
    pub fn round(&mut self) {
        self.read_index();
        self.find_regions();
        let mut busy = false;
        for followed in self.followed.values_mut() {
            busy |= followed.drain(&mut self.store, false);
            followed.look(&mut self.store);
        }
        let ended = self.close_ended();
        let now = Instant::now();
        if now >= self.next_manifest {
            self.next_manifest = now + MANIFEST;
            self.write_manifest();
        }
        let idle = (IDLE + Duration::from_millis(self.followed.len() as u64)).min(LONGEST);
        self.interval =
            if busy || ended { SHORTEST } else { (self.interval * 2).clamp(SHORTEST, idle) };
    }

    /// The last round: what has ended is stored and gone, what lives on is stored as it is. The
    /// live directory goes if nothing is left in it.
    pub fn finish(mut self) -> Manifest {
        self.round();
        let living =
            live::is_of_one_run(&self.live) && self.has_descendants() || !self.followed.is_empty();
        let mut followed = std::mem::take(&mut self.followed);
        let doubtful = followed.values_mut().filter_map(|one| one.doubts().then_some(())).count();
        if doubtful > 0 {
            std::thread::sleep(reconcile::DOUBT);
        }
        for (_, mut followed) in followed {
            followed.close(&mut self.store, false);
            followed.release();
        }
        self.store.copy_index(&self.live);
        let stopped = self.store.is_stopped();
        self.store.manifest.complete = !living && !stopped && self.names.waiting() == 0;
        if self.store.manifest.complete {
            live::remove(&self.live);
            // What others will write there is not of this trace.
            self.store.manifest.live_dir = None;
        }
        self.write_manifest();
        self.store.manifest
    }

    /// Replaces the manifest.
    pub fn write_manifest(&mut self) {
        self.store.manifest.ended_monotonic_ns = proc::monotonic_ns();
        self.store.manifest.collector.cpu_ns = proc::own_cpu_ns();
        self.store.write_manifest();
    }

    fn read_index(&mut self) {
        self.store.copy_index(&self.live);
        let rows = match self.index.new_rows() {
            Ok(rows) => rows,
            Err(error) => return self.store.note(&error.to_string()),
        };
        for row in rows {
            let process = ProcessId { pid: row.pid, start_ticks: row.start_ticks };
            if row.event == IndexEvent::End as u16 && row.region != 0 {
                self.images.ended.insert(row.region);
            }
            if row.event == IndexEvent::Begin as u16 || row.event == IndexEvent::Child as u16 {
                self.images.last.insert(process, (row.region, row.monotonic_ns));
                // A parent that has nothing to tell is known by its row alone.
                self.chosen.takes((&row).into());
            }
        }
    }

    fn find_regions(&mut self) {
        for name in self.names.new_names() {
            let Some((pid, id)) = parse_file_name(&name) else { continue };
            if self.followed.contains_key(&id) {
                continue;
            }
            let path = self.live.join(&name);
            match Followed::new(&path, self.me) {
                Ok(followed) => {
                    if self.chosen.takes(followed.file().header().into()) {
                        self.followed.insert(id, followed);
                    } else {
                        followed.release();
                    }
                }
                Err(Refusal::Taken) => self.store.note("another collector drains some processes"),
                // It is being made, or its process died while it was, or it is something else.
                Err(Refusal::Unreadable(error)) => {
                    let gone = proc::stat(pid).is_none();
                    if gone && live::is_unmade(&path) {
                        let _ = std::fs::remove_file(&path);
                    } else if !self.names.retry(name) && path.exists() {
                        self.names.keep();
                        self.store.note(&error.to_string());
                    }
                }
            }
        }
    }

    fn close_ended(&mut self) -> bool {
        let images = &self.images;
        let ended: Vec<u64> = self
            .followed
            .iter_mut()
            .filter_map(|(id, followed)| {
                let started = followed.file().header().start_monotonic_ns;
                let later = images.last.get(&followed.process());
                let later = later.is_some_and(|(region, at)| region != id && *at > started);
                followed.has_ended(images.ended.contains(id), later).then_some(*id)
            })
            .collect();
        for id in &ended {
            let Some(mut followed) = self.followed.remove(id) else { continue };
            let path = followed.file().path().to_owned();
            if followed.close(&mut self.store, true) {
                let _ = std::fs::remove_file(path);
            } else {
                // It stays where it is, for a reader of the live directory.
                self.names.keep();
            }
            self.images.ended.remove(id);
        }
        !ended.is_empty()
    }
}
