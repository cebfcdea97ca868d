//! A trace as a whole: what `run` or `record` stored, or a directory that a bare shim filled.
//!
//! The state of a region comes from its live file where there is one (it is newer), else from the
//! stored copy. A region that cannot be read costs itself, not the trace: it is told in
//! [`Trace::problems`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use resshim_format::index::IndexRow;
use resshim_format::ring::word;

use super::chosen::Chosen;
use super::clock::{Clock, ClockFacts};
use super::frame::{FrameAt, Frames};
use super::index::read_index;
use super::manifest::{MANIFEST_FILE, Manifest, ProcessFacts, REGIONS_DIRECTORY, region_path};
use super::open::{self, Access};
use super::region::{Region, RegionFile, parse_file_name};
use crate::error::{Error, Result};

/// Regions of one trace, at most: each is read whole.
const MOST_REGIONS: usize = 1 << 20;

/// One region of a trace.
#[derive(Debug)]
pub struct TraceRegion {
    /// State of it.
    pub state: Region,
    /// Its live file, if it is there.
    pub file: Option<RegionFile>,
    /// What the collector knew about the process.
    pub facts: Option<ProcessFacts>,
    /// Whether its process lives now; `None` = cannot be known.
    pub is_alive: Option<bool>,
}

/// Where a piece of the history stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// A frame of `events`.
    Frame(FrameAt),
    /// A chunk of a live region.
    Chunk(u32),
}

/// A piece of the history: a chunk, or a part of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// Time of its first record, or before it.
    pub first: u64,
    /// Index of the region.
    pub region: usize,
    /// Where it stands.
    pub place: Place,
}

/// A trace that is open.
#[derive(Debug)]
pub struct Trace {
    /// Directory.
    pub path: PathBuf,
    /// What `run` or `record` wrote; a bare directory has none.
    pub manifest: Option<Manifest>,
    /// Regions, in order of their images' start.
    pub regions: Vec<TraceRegion>,
    /// Rows of the index.
    pub index: Vec<IndexRow>,
    /// Its clock.
    pub clock: Clock,
    /// What could not be read, one line each.
    pub problems: Vec<String>,
    /// Bytes of all files that were looked at.
    pub bytes: u64,
    pub(super) frames: Option<Frames>,
    pub(super) pieces: Vec<Piece>,
}

impl Trace {
    /// Opens a directory.
    ///
    /// # Errors
    /// Where it is no trace, or nothing of it can be read.
    pub fn open(path: &Path) -> Result<Trace> {
        open::directory(path)?;
        let has_manifest = path.join(MANIFEST_FILE).symlink_metadata().is_ok();
        let manifest = if has_manifest { Some(Manifest::read(path)?) } else { None };
        let mut trace = Trace {
            path: path.to_owned(),
            manifest,
            regions: Vec::new(),
            index: Vec::new(),
            clock: Clock::fit(&[]),
            problems: Vec::new(),
            bytes: 0,
            frames: None,
            pieces: Vec::new(),
        };
        let live = trace.manifest.as_ref().map_or(Some(path.to_owned()), |m| m.live_dir.clone());
        let mut regions = BTreeMap::new();
        trace.stored_regions(&mut regions);
        if let Some(live) = live.filter(|live| live.is_dir()) {
            trace.live_regions(&live, &mut regions);
            if trace.manifest.is_some() {
                trace.read_index(&live);
            }
        }
        trace.read_index(path);
        trace.leave_others_out(&mut regions);
        if trace.manifest.is_none() && regions.is_empty() && trace.index.is_empty() {
            let why = trace.problems.first().map_or("is no trace", String::as_str);
            return Err(Error::input(
                path,
                why,
                "a trace is a directory that `resshim run`, `record` or the shim filled",
            ));
        }
        let mut regions: Vec<TraceRegion> = regions.into_values().collect();
        regions.sort_by_key(|region| {
            let header = &region.state.header;
            (header.start_monotonic_ns, header.region_id)
        });
        trace.regions = regions;
        let mut facts: Vec<ClockFacts> = trace.regions.iter().map(clock_facts).collect();
        if facts.is_empty() {
            // Nobody had anything to tell: the index alone says when.
            let rows = trace.index.iter().map(|row| row.monotonic_ns).min();
            let only = |start_ns| ClockFacts { start_ns, is_monotonic: true, ..<_>::default() };
            facts.extend(rows.map(only));
        }
        trace.clock = Clock::fit(&facts);
        trace.find_frames();
        trace.find_chunks();
        // Last first: they are taken from the end.
        trace.pieces.sort_by_key(|piece| std::cmp::Reverse(piece.first));
        Ok(trace)
    }

    fn problem(&mut self, what: impl std::fmt::Display) {
        if self.problems.len() < 100 {
            self.problems.push(what.to_string());
        }
    }

    fn read_index(&mut self, directory: &Path) {
        match read_index(directory) {
            Ok((rows, damaged)) => {
                if damaged > 0 {
                    self.problem(format!("{damaged} damaged rows in the index"));
                }
                if self.index.is_empty() {
                    self.index = rows;
                } else {
                    let known: std::collections::HashSet<u64> =
                        self.index.iter().map(|row| row.check).collect();
                    self.index.extend(rows.into_iter().filter(|row| !known.contains(&row.check)));
                }
            }
            Err(error) => self.problem(error),
        }
    }

    /// What the directory of the shim holds beside the processes that the trace is of.
    fn leave_others_out(&mut self, regions: &mut BTreeMap<u64, TraceRegion>) {
        let chosen = self.manifest.as_ref().map(|manifest| manifest.chosen.clone());
        let mut chosen = Chosen::of(chosen.unwrap_or_default());
        if chosen.is_all() {
            return;
        }
        self.index.sort_by_key(|row| row.monotonic_ns);
        self.index.retain(|row| chosen.takes(row.into()));
        let mut by_start: Vec<(u64, u64)> = regions
            .iter()
            .map(|(id, region)| (region.state.header.start_monotonic_ns, *id))
            .collect();
        by_start.sort_unstable();
        for (_, id) in by_start {
            if !chosen.takes((&regions[&id].state.header).into()) {
                regions.remove(&id);
            }
        }
    }

    fn stored_regions(&mut self, into: &mut BTreeMap<u64, TraceRegion>) {
        for name in names(&self.path.join(REGIONS_DIRECTORY)) {
            let id = Some(&name).filter(|name| name.len() == 16);
            let Some(id) = id.and_then(|name| u64::from_str_radix(name, 16).ok()) else { continue };
            match load_stored(&self.path, id) {
                Ok((state, bytes)) => {
                    self.bytes += bytes;
                    let facts = ProcessFacts::read(&self.path, id).ok();
                    let is_alive = facts.as_ref().and_then(|facts| facts.ended.then_some(false));
                    into.insert(id, TraceRegion { state, file: None, facts, is_alive });
                }
                Err(error) => self.problem(error),
            }
            if into.len() >= MOST_REGIONS {
                return;
            }
        }
    }

    fn live_regions(&mut self, live: &Path, into: &mut BTreeMap<u64, TraceRegion>) {
        for name in names(live) {
            let Some((_, id)) = parse_file_name(&name) else { continue };
            let path = live.join(&name);
            let read = RegionFile::open(&path, Access::Read)
                .and_then(|file| file.read().map(|state| (file, state)));
            match read {
                Ok((file, state)) => {
                    let facts = into.remove(&id).and_then(|known| known.facts);
                    let is_alive = Some(lives(state.header.pid, state.header.start_ticks));
                    let region = TraceRegion { state, file: Some(file), facts, is_alive };
                    into.insert(id, region);
                }
                // It went away between the listing and now: its process ended with nothing to tell.
                Err(error) if open::is_missing(&error) => {}
                Err(error) => self.problem(error),
            }
            if into.len() >= MOST_REGIONS {
                return;
            }
        }
    }

    fn find_frames(&mut self) {
        let Some(manifest) = &self.manifest else { return };
        // Of a trace that was not closed, the last frame may be torn: its events are still in the region.
        let written = if manifest.complete { manifest.collector.event_bytes } else { 0 };
        let frames = match Frames::open(&self.path) {
            Ok(frames) => frames,
            Err(error) if open::is_missing(&error) && written == 0 => return,
            Err(error) => return self.problem(error),
        };
        match frames.list() {
            Ok(list) => {
                self.bytes += list.end;
                if list.end < written {
                    let missing = written - list.end;
                    self.problem(format!(
                        "events: bytes that are missing or unreadable: {missing}"
                    ));
                }
                if list.damaged_bytes > 0 {
                    self.problem(format!("events: damaged bytes: {}", list.damaged_bytes));
                }
                let by_id: std::collections::HashMap<u64, usize> = self
                    .regions
                    .iter()
                    .enumerate()
                    .map(|(index, region)| (region.state.header.region_id, index))
                    .collect();
                let mut orphans = 0;
                for at in list.frames {
                    match by_id.get(&at.head.region) {
                        Some(region) => self.pieces.push(Piece {
                            first: at.head.first_tsc,
                            region: *region,
                            place: Place::Frame(at),
                        }),
                        None => orphans += 1,
                    }
                }
                if orphans > 0 {
                    self.problem(format!("events: pieces whose region is missing: {orphans}"));
                }
            }
            Err(error) => self.problem(error),
        }
        self.frames = Some(frames);
    }

    fn find_chunks(&mut self) {
        for (region, of) in self.regions.iter().enumerate() {
            let Some(file) = &of.file else { continue };
            for index in 0..file.chunks() {
                let Some(copy) = file.copy_chunk(index) else { continue };
                self.bytes += copy.words.len() as u64 * 8;
                let first = copy.words.get(word::BASE_TSC).copied().unwrap_or(0);
                self.pieces.push(Piece { first, region, place: Place::Chunk(index) });
            }
        }
    }
}

/// What a region says about the clock.
pub fn clock_facts(region: &TraceRegion) -> ClockFacts {
    let header = &region.state.header;
    ClockFacts {
        start_ticks: header.start_tsc,
        start_ns: header.start_monotonic_ns,
        end_ticks: header.end_tsc,
        end_ns: header.end_monotonic_ns,
        hz: header.tsc_hz,
        is_monotonic: header.clock == 1,
    }
}

fn load_stored(trace: &Path, id: u64) -> Result<(Region, u64)> {
    let path = region_path(trace, id);
    let file = open::regular(&path, Access::Read)?;
    let bytes = file.metadata().map_or(0, |metadata| metadata.len());
    Ok((Region::load(&path, file)?, bytes))
}

/// Names in a directory, in order; none where it cannot be read.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

/// Whether this process lives: a zombie does not.
fn lives(pid: u32, start_ticks: u64) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The name in parentheses can hold anything.
    let Some((_, rest)) = stat.rsplit_once(')') else { return false };
    let mut fields = rest.split_whitespace();
    let state = fields.next();
    let started = fields.nth(18).and_then(|field| field.parse::<u64>().ok());
    !matches!(state, Some("Z" | "X")) && started == Some(start_ticks)
}
