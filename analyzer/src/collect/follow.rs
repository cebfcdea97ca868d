//! One region that is followed: its chunks are drained while its process runs, its state is stored
//! when it has ended.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use resshim_format::op::Op;
use resshim_format::record::HeaderWord;
use resshim_format::ring::copy::settled;
use resshim_format::ring::reader::Records;
use resshim_format::ring::{CHUNK_HEADER, ChunkState, StateWord, word};
use rustix::fs::FlockOperation;

use super::code_maps::CodeMaps;
use super::proc::{self, ProcessId};
use super::reconcile::{self, Doubt, Inherited};
use super::store::{Part, Place, Store};
use crate::error::Result;
use crate::source::manifest::ProcessFacts;
use crate::source::open::Access;
use crate::source::region::{Drain, Drainer, RegionFile};

/// A chunk that its thread left stays for the next one this long before it is drained.
const PARKED: Duration = Duration::from_secs(1);
/// Between two readings of `/proc/PID`.
const READING: Duration = Duration::from_secs(1);
/// From the first look for maps of generated code to the second; each later wait is twice as long, up to
/// [`READING`]. A map in the process's own `/tmp` can be opened only while it lives.
const FIRST_MAPS: Duration = Duration::from_millis(10);
/// Between two comparisons of the descriptors.
const COMPARISON: Duration = Duration::from_secs(10);
/// A process younger than this is not compared: most end before.
const FIRST_COMPARISON: Duration = Duration::from_millis(100);
/// A comparison costs at most this share of the time to the next.
const COST_SHARE: u32 = 500;

/// What is known of one chunk.
struct Chunk {
    /// Fill number of what was stored.
    fill: u64,
    /// What was stored up to here.
    done: Place,
    /// State word when it was looked at last, and since when it stands.
    seen: StateWord,
    since: Instant,
}

/// A region and its process.
pub struct Followed {
    file: RegionFile,
    drain: Option<Drain>,
    process: ProcessId,
    pidfd: Option<OwnedFd>,
    /// It was seen alive.
    lived: bool,
    chunks: HashMap<u32, Chunk>,
    facts: ProcessFacts,
    inherited: Option<Inherited>,
    /// What differed at the last look, until the second.
    doubt: Option<Doubt>,
    code_maps: CodeMaps,
    next_reading: Instant,
    next_maps: (Instant, Duration),
    next_comparison: Instant,
}

/// Why a region is not followed.
pub enum Refusal {
    /// Another collector drains it.
    Taken,
    /// Not ready, or not a region.
    Unreadable(crate::error::Error),
}

impl Followed {
    /// Opens the region at `path` and claims its drainer's role.
    ///
    /// # Errors
    /// Where it cannot be followed (yet).
    pub fn new(path: &Path, me: ProcessId) -> Result<Followed, Refusal> {
        let file = RegionFile::open(path, Access::Drain).map_err(Refusal::Unreadable)?;
        let alive =
            |other: Drainer| ProcessId { pid: other.pid, start_ticks: other.start }.is_alive();
        let me = Drainer { pid: me.pid, start: me.start_ticks };
        let drain = match Drain::claim(&file, me, alive) {
            Ok(None) => return Err(Refusal::Taken),
            Ok(drain) => drain,
            // Without the mapping it is stored at its end all the same.
            Err(_) => None,
        };
        Followed::keep(&file);
        let header = file.header();
        let process = ProcessId { pid: header.pid, start_ticks: header.start_ticks };
        let pidfd = process.pidfd();
        let now = Instant::now();
        let facts = ProcessFacts {
            region: header.region_id,
            pid: header.pid,
            start_ticks: header.start_ticks,
            ..ProcessFacts::default()
        };
        Ok(Followed {
            lived: pidfd.is_some(),
            drain,
            process,
            pidfd,
            chunks: HashMap::new(),
            facts,
            inherited: None,
            doubt: None,
            code_maps: CodeMaps::of(file.header()),
            next_reading: now,
            next_maps: (now, FIRST_MAPS),
            next_comparison: now + FIRST_COMPARISON,
            file,
        })
    }

    /// Its region file.
    pub fn file(&self) -> &RegionFile {
        &self.file
    }

    /// Its process.
    pub fn process(&self) -> ProcessId {
        self.process
    }

    /// Becomes readable when the process has ended.
    pub fn pidfd(&self) -> Option<&OwnedFd> {
        self.pidfd.as_ref()
    }

    /// Says that the region is not stored yet. Else a new process that finds the directory full would
    /// unlink it when its owner is dead: this collector could still read it, the next one, after a
    /// kill of this one, could not.
    fn keep(file: &RegionFile) {
        let _ = rustix::fs::flock(file.file(), FlockOperation::NonBlockingLockShared);
    }

    /// Whether nobody else has the region mapped.
    fn is_unmapped(&self) -> bool {
        // Asking takes the shared lock away, whatever the answer.
        let lock = rustix::fs::flock(self.file.file(), FlockOperation::NonBlockingLockExclusive);
        Followed::keep(&self.file);
        lock.is_ok()
    }

    /// Whether nothing more will be written. `said`: the index has a row of its end; `followed_by`:
    /// the index has a later image of the same process.
    ///
    /// A process of another pid namespace is not in our `/proc`: its lock tells. A fork child that
    /// has made no region of its own holds the lock of its parent: there `/proc` tells.
    pub fn has_ended(&mut self, said: bool, followed_by: bool) -> bool {
        if followed_by {
            return self.is_unmapped();
        }
        let dead = match &self.pidfd {
            Some(pidfd) => is_readable(pidfd),
            None => {
                let alive = self.process.is_alive();
                self.lived |= alive;
                !alive
            }
        };
        dead && (self.lived || said || self.is_unmapped())
    }

    /// Stores what is full, frees it; with `last` everything that is there. True: something was full.
    pub fn drain(&mut self, store: &mut Store, last: bool) -> bool {
        let mut busy = false;
        let now = Instant::now();
        for (index, state) in self.file.states().into_iter().enumerate() {
            let index = index as u32;
            if state.state == ChunkState::Free {
                continue;
            }
            let wanted = match state.state {
                _ if last => true,
                ChunkState::Full => true,
                ChunkState::Parked => self.has_rested(index, state, now),
                _ => false,
            };
            if wanted && store.takes_events() {
                busy |= self.store_chunk(store, index) && state.state == ChunkState::Full;
            } else if wanted && !store.is_stopped() {
                store.note("the trace has reached --max-bytes: later events were not stored");
            }
        }
        busy
    }

    fn has_rested(&mut self, index: u32, state: StateWord, now: Instant) -> bool {
        let none = Place { at: CHUNK_HEADER, base: 0, owner: 0 };
        let chunk = self.chunks.entry(index).or_insert(Chunk {
            fill: u64::MAX,
            done: none,
            seen: state,
            since: now,
        });
        if chunk.seen != state {
            (chunk.seen, chunk.since) = (state, now);
        }
        now.duration_since(chunk.since) >= PARKED
    }

    /// Stores what is new in a chunk and frees it if nobody writes it.
    fn store_chunk(&mut self, store: &mut Store, index: u32) -> bool {
        let Some(copy) = self.file.copy_chunk(index) else { return false };
        let fill = copy.state.fill;
        let known = self.chunks.get(&index).filter(|chunk| chunk.fill == fill);
        let start = Place {
            at: CHUNK_HEADER,
            base: copy.words[word::BASE_TSC],
            owner: copy.words[word::OWNER],
        };
        let from = known.map_or(start, |chunk| chunk.done);
        let to = settled(&copy.copied(), &copy.words);
        let done = if to > from.at {
            let part = Part {
                region: self.facts.region,
                index,
                words: &copy.words,
                from,
                to,
                times: times(&copy.words, from, to),
            };
            if !store.frame(&part) {
                return false;
            }
            place_at(&copy.words, from, to)
        } else {
            from
        };
        let chunk = Chunk { fill, done, seen: copy.state, since: Instant::now() };
        self.chunks.insert(index, chunk);
        if let Some(drain) = &self.drain {
            drain.free(&self.file, &copy);
        }
        true
    }

    /// Reads `/proc/PID` and what names of generated code have come, and compares the descriptors, each
    /// when it is time.
    pub fn look(&mut self, store: &mut Store) {
        let now = Instant::now();
        if now >= self.next_reading {
            self.next_reading = now + READING;
            self.read_process();
            if let Some(drain) = &self.drain {
                drain.step_uses(&self.file);
            }
        }
        if now >= self.next_maps.0 {
            let wait = self.next_maps.1;
            self.next_maps = (now + wait, (wait * 2).min(READING));
            let region = self.facts.region;
            self.code_maps.look(&mut |batch| store.code(region, batch));
        }
        if now >= self.next_comparison {
            self.compare(now);
        }
    }

    fn read_process(&mut self) {
        let Some(reading) = self.process.reading(proc::monotonic_ns()) else { return };
        self.lived = true;
        if self.facts.last.monotonic_ns == 0 {
            self.facts.cgroup = self.process.cgroup();
        }
        let limits = self.process.limits();
        if !limits.is_empty() {
            self.facts.limits = limits;
        }
        let highest = &mut self.facts.highest;
        highest.monotonic_ns = reading.monotonic_ns;
        highest.rss_bytes = highest.rss_bytes.max(reading.rss_bytes);
        highest.threads = highest.threads.max(reading.threads);
        highest.fd_size = highest.fd_size.max(reading.fd_size);
        highest.cpu_ticks = highest.cpu_ticks.max(reading.cpu_ticks);
        self.facts.last = reading;
    }

    /// One look, and a second one a while later where something differs: nobody waits here.
    fn compare(&mut self, now: Instant) {
        if self.doubt.is_none() && self.doubts() {
            self.next_comparison = now + reconcile::DOUBT;
            return;
        }
        self.settle();
        self.next_comparison = now + COMPARISON.max(now.elapsed() * COST_SHARE);
    }

    /// The first look at the descriptors. True: something differs, and a second one has to be later.
    pub fn doubts(&mut self) -> bool {
        let read = || self.file.read().ok();
        self.doubt = reconcile::look(self.process, read, &mut self.inherited);
        self.doubt.as_ref().is_some_and(|doubt| !doubt.is_empty())
    }

    fn settle(&mut self) {
        if let Some(doubt) = self.doubt.take() {
            let read = || self.file.read().ok();
            doubt.settle(self.process, read, &mut self.facts.reconciliation);
        }
    }

    /// Stores the rest of the events and the state, and what [`Self::doubts`] found a while ago if it is still so.
    /// True: all is stored, the live file can go.
    pub fn close(&mut self, store: &mut Store, ended: bool) -> bool {
        if !ended {
            self.read_process();
            self.settle();
        }
        self.drain(store, true);
        // A parked chunk becomes full first: once more, so that it is free for who takes over.
        self.facts.ended = ended;
        self.facts.ended_monotonic_ns = if ended { proc::monotonic_ns() } else { 0 };
        match self.file.read() {
            Ok(region) => {
                let id = self.facts.region;
                self.code_maps.close(&region, &mut |batch| store.code(id, batch));
                self.facts.code_map_bytes = self.code_maps.bytes();
                let stored = store.region(&self.file, &region, &self.facts);
                if ended && stored {
                    self.code_maps.remove();
                }
                stored
            }
            Err(error) => {
                store.note(&error.to_string());
                false
            }
        }
    }

    /// Gives the drainer's role back: the process lives on.
    pub fn release(mut self) {
        if let Some(drain) = self.drain.take() {
            drain.release(&self.file);
        }
    }
}

/// Whether the process of a pidfd has ended.
fn is_readable(pidfd: &OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

/// Times of the first and the last record between two places.
fn times(words: &[u64], from: Place, to: usize) -> (u64, u64) {
    let mut times = None;
    for record in Records::new(&words[..to]).filter(|record| record.at >= from.at) {
        let (first, last) = times.unwrap_or((record.tsc, record.tsc));
        times = Some((record.tsc.min(first), record.tsc.max(last)));
    }
    times.unwrap_or((from.base, from.base))
}

/// What a reader knows at `to` that starts at `from`. In a shared chunk each slot brings its own.
fn place_at(words: &[u64], from: Place, to: usize) -> Place {
    let mut place = Place { at: to, ..from };
    if from.owner >> 32 == 1 {
        return place;
    }
    let mut at = from.at;
    while at < to {
        let header = HeaderWord::unpack(words[at]);
        let length = header.words as usize;
        if length == 0 || at + length > to {
            break;
        }
        let tells_time = [Op::Time.number(), Op::Context.number()].contains(&header.op);
        if tells_time && length > 1 {
            place.base = words[at + 1];
        }
        if header.op == Op::Context.number() && length > 2 {
            place.owner = words[at + 2] & u32::MAX as u64;
        }
        at += length;
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_and_thread_are_known_in_the_middle_of_a_chunk() {
        let head = |op: Op, words| HeaderWord::new(op, words, 0, 1).pack();
        let mut words = vec![1, 1000, 0, 7, 0, 0, 0, 0];
        words.extend([head(Op::Close, 2), 3]);
        words.extend([head(Op::Time, 2), 5000]);
        words.extend([head(Op::Context, 3), 9000, 8]);
        words.extend([head(Op::Close, 2), 4]);
        let start = Place { at: CHUNK_HEADER, base: 1000, owner: 7 };
        assert_eq!(place_at(&words, start, 10), Place { at: 10, base: 1000, owner: 7 });
        assert_eq!(place_at(&words, start, 12), Place { at: 12, base: 5000, owner: 7 });
        assert_eq!(place_at(&words, start, 17), Place { at: 17, base: 9000, owner: 8 });
        assert_eq!(times(&words, start, 17), (1064, 9064));
        assert_eq!(times(&words, Place { at: 12, base: 5000, owner: 7 }, 17), (9064, 9064));
    }
}
