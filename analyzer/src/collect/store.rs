//! The trace on disk: what is written, in which order, and what happens when the disk is full.
//!
//! Every moment is a good one to be killed: frames are appended (a torn one is cut off by the next
//! collector), states and manifest are replaced whole. The first write that fails ends the
//! collecting: it is said once, the traced programs run on, what is stored stays readable.

use std::collections::HashSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use resshim_format::index::{INDEX_FILE, IndexRow};
use resshim_format::ring::{CHUNK_HEADER, word};

use crate::error::{Error, Result};
use crate::source::frame::{EVENTS_FILE, FrameHead, FrameWriter, Frames};
use crate::source::generated::{self, Batch};
use crate::source::manifest::{
    MANIFEST_FILE, Manifest, ProcessFacts, REGIONS_DIRECTORY, region_path, replace,
};
use crate::source::open::{self, Access};
use crate::source::region::{Region, RegionFile};

/// What to do with a trace that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// `run`: a new trace takes its place.
    Replace,
    /// `record`: go on with it.
    Continue,
}

/// Words of a chunk that are to become a frame.
pub struct Part<'a> {
    /// Region of the chunk.
    pub region: u64,
    /// Which chunk.
    pub index: u32,
    /// Its words from the first on.
    pub words: &'a [u64],
    /// First word that is stored; base and thread there.
    pub from: Place,
    /// One past the last.
    pub to: usize,
    /// Times of its first and last record.
    pub times: (u64, u64),
}

/// A place in a chunk: where, and what a reader knows there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of the word.
    pub at: usize,
    /// Base of the records' times.
    pub base: u64,
    /// Word of the chunk's header that names the thread.
    pub owner: u64,
}

/// An open trace.
pub struct Store {
    path: PathBuf,
    events: File,
    event_bytes: u64,
    index: File,
    index_bytes: u64,
    /// The directory, locked as long as it is open.
    _lock: File,
    writer: FrameWriter,
    max_bytes: Option<u64>,
    /// Bytes of stored states.
    state_bytes: u64,
    /// Regions whose names of generated code end with a whole part.
    repaired: HashSet<u64>,
    /// The manifest as it will be written next.
    pub manifest: Manifest,
}

impl Store {
    /// Makes the trace, or takes up the one that is there; `manifest` is that of a new one.
    ///
    /// # Errors
    /// Where the directory is there and no trace, or cannot be written.
    pub fn open(
        path: &Path,
        existing: Existing,
        manifest: Manifest,
        max_bytes: Option<u64>,
    ) -> Result<Store> {
        let io = |source| Error::io(path, source);
        let found = make_or_check(path)?;
        let lock = lock(path)?;
        let mut manifest = manifest;
        match (found, existing) {
            (true, Existing::Replace) => clear(path).map_err(io)?,
            (true, Existing::Continue) => {
                let before = Manifest::read(path)?;
                let known = before.collected_dir.as_ref().or(before.live_dir.as_ref());
                let elsewhere = known.is_some() && known != manifest.live_dir.as_ref();
                if elsewhere {
                    return Err(Error::Usage {
                        what: path.display().to_string(),
                        why: "this trace is of another directory".into(),
                        hint: "choose another trace with -o".into(),
                    });
                }
                let mut chosen = before.chosen.clone();
                chosen.extend(&manifest.chosen);
                if before.chosen.is_empty() || manifest.chosen.is_empty() {
                    // All of the directory, once or twice.
                    chosen.clear();
                }
                manifest = Manifest {
                    chosen,
                    live_dir: manifest.live_dir,
                    collected_dir: manifest.collected_dir,
                    collector: before.collector,
                    complete: false,
                    ..before
                };
            }
            (false, _) => {}
        }
        let regions = path.join(REGIONS_DIRECTORY);
        if !regions.is_dir() {
            DirBuilder::new().mode(0o700).create(&regions).map_err(io)?;
        }
        let append = |name: &str| {
            let file = path.join(name);
            let mut options = OpenOptions::new();
            options.create(true).append(true).mode(0o600);
            options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32);
            options.open(&file).map_err(|source| Error::io(&file, source))
        };
        let events = append(EVENTS_FILE)?;
        let index = append(INDEX_FILE)?;
        // What a killed collector left half written.
        let event_bytes = Frames::open(path)?.list()?.end;
        events.set_len(event_bytes).map_err(io)?;
        let row = size_of::<IndexRow>() as u64;
        let index_bytes = index.metadata().map_err(io)?.len() / row * row;
        index.set_len(index_bytes).map_err(io)?;
        manifest.collector.event_bytes = event_bytes;
        let store = Store {
            path: path.to_owned(),
            events,
            event_bytes,
            index,
            index_bytes,
            _lock: lock,
            writer: FrameWriter::new().map_err(io)?,
            max_bytes,
            state_bytes: 0,
            repaired: HashSet::new(),
            manifest,
        };
        store.manifest.write(path).map_err(io)?;
        Ok(store)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of what is stored.
    pub fn bytes(&self) -> u64 {
        self.event_bytes + self.index_bytes + self.state_bytes
    }

    /// Whether nothing more is stored.
    pub fn is_stopped(&self) -> bool {
        self.manifest.collector.stopped.is_some()
    }

    /// Whether events are still stored: not when the trace has reached its size.
    pub fn takes_events(&self) -> bool {
        !self.is_stopped() && self.max_bytes.is_none_or(|most| self.bytes() < most)
    }

    /// Says once that a size was reached.
    pub fn note(&mut self, problem: &str) {
        let problems = &mut self.manifest.collector.problems;
        if problems.len() < 64 && !problems.iter().any(|known| known == problem) {
            problems.push(problem.to_owned());
        }
    }

    /// Keeps the result of a write; the first failure ends the collecting.
    fn kept(&mut self, result: std::io::Result<()>) -> bool {
        if let Err(error) = &result {
            let why = format!("{}: {error}", self.path.display());
            self.manifest.collector.stopped.get_or_insert(why);
        }
        result.is_ok()
    }

    /// Appends a frame; true when it is stored whole.
    pub fn frame(&mut self, part: &Part) -> bool {
        if self.is_stopped() {
            return false;
        }
        let head = FrameHead {
            magic: 0,
            region: part.region,
            fill: part.words.first().copied().unwrap_or(0),
            from: part.from.at as u32,
            to: part.to as u32,
            payload_bytes: 0,
            checksum: 0,
            first_tsc: part.times.0,
            last_tsc: part.times.1,
            chunk_index: part.index,
            flags: 0,
        };
        let mut words = part.words.get(..CHUNK_HEADER).unwrap_or(&[]).to_vec();
        words.resize(CHUNK_HEADER, 0);
        words[word::BASE_TSC] = part.from.base;
        words[word::OWNER] = part.from.owner;
        words.extend(part.words.get(part.from.at..part.to).unwrap_or(&[]));
        let result = self.writer.frame(head, &words).and_then(|bytes| {
            self.events.write_all(&bytes)?;
            self.event_bytes += bytes.len() as u64;
            Ok(())
        });
        if result.is_err() {
            // A torn frame in the middle would cost a reader a search.
            let _ = self.events.set_len(self.event_bytes);
        }
        let stored = self.kept(result);
        self.manifest.collector.frames += u64::from(stored);
        self.manifest.collector.event_bytes = self.event_bytes;
        stored
    }

    /// Copies what is new in the index of the live directory.
    pub fn copy_index(&mut self, live: &Path) {
        if self.is_stopped() {
            return;
        }
        let Ok(from) = open::regular(&live.join(INDEX_FILE), Access::Read) else { return };
        let row = size_of::<IndexRow>();
        let mut buffer = vec![0; row * 1024];
        loop {
            let read = from.read_at(&mut buffer, self.index_bytes).unwrap_or(0) / row * row;
            if read == 0 {
                return;
            }
            let written = self.index.write_all(&buffer[..read]);
            if !self.kept(written) {
                let _ = self.index.set_len(self.index_bytes);
                return;
            }
            self.index_bytes += read as u64;
        }
    }

    /// Stores the state of a region and what is known of its process; true when both are stored.
    pub fn region(&mut self, file: &RegionFile, region: &Region, facts: &ProcessFacts) -> bool {
        if self.is_stopped() {
            return false;
        }
        let path = region_path(&self.path, file.header().region_id);
        let result = replace(&path, |file| {
            let mut out = std::io::BufWriter::new(file);
            region.store(&mut out)?;
            out.flush()
        });
        let result = result.and_then(|()| facts.write(&self.path));
        let stored = self.kept(result);
        if stored {
            self.state_bytes += path.metadata().map_or(0, |data| data.len());
            self.manifest.collector.regions += 1;
        }
        stored
    }

    /// Appends names of generated code; true when they are stored.
    pub fn code(&mut self, region: u64, batch: &Batch) -> bool {
        if !self.takes_events() {
            return false;
        }
        if self.repaired.insert(region) {
            // What a killed collector left half written would hide what follows.
            let _ = generated::repair(&self.path, region);
        }
        let appended = generated::append(&self.path, region, batch);
        self.state_bytes += appended.as_ref().copied().unwrap_or(0);
        self.kept(appended.map(drop))
    }

    /// Replaces the manifest. A full disk may keep the old one: it says nothing wrong.
    pub fn write_manifest(&mut self) {
        let written = self.manifest.write(&self.path);
        self.kept(written);
    }
}

/// One collector a trace: a second one would cut off what the first is about to write.
fn lock(path: &Path) -> Result<File> {
    let directory = File::open(path).map_err(|source| Error::io(path, source))?;
    match rustix::fs::flock(&directory, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::input(
            path,
            "is being written by another collector",
            "choose another trace with -o, or end that `resshim` first",
        )),
        // A file system without locks has no second collector either, as far as anybody can tell.
        _ => Ok(directory),
    }
}

/// True: the directory is a trace. False: it is new or empty.
fn make_or_check(path: &Path) -> Result<bool> {
    let io = |source| Error::io(path, source);
    match std::fs::read_dir(path) {
        Ok(mut entries) => {
            // Owner and links are asked here: it is written to.
            open::directory(path)?;
            if path.join(MANIFEST_FILE).is_file() {
                return Ok(true);
            }
            if entries.next().is_some() {
                let hint = "choose a new name with -o, or an empty directory";
                return Err(Error::input(path, "is there already and is no trace", hint));
            }
            Ok(false)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
            Ok(false)
        }
        Err(error) => Err(io(error)),
    }
}

/// Removes what a trace is made of, and nothing else that may lie there.
fn clear(path: &Path) -> std::io::Result<()> {
    for name in [EVENTS_FILE, INDEX_FILE, "names", REGIONS_DIRECTORY, MANIFEST_FILE] {
        let file = path.join(name);
        let removed = match file.symlink_metadata() {
            Ok(data) if data.is_dir() => std::fs::remove_dir_all(&file),
            Ok(_) => std::fs::remove_file(&file),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
