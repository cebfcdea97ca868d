//! Blocks and streams that nothing in a process points to any more: nobody can give them back.
//!
//! Memory is read from outside while the process runs, so a pointer that moves can be missed: only what
//! was unreachable in each of [`SCANS`] looks over [`LEAST_TIME`] is a candidate. Garbage stays garbage; what
//! only seemed so is found in the last look, for which the process is stopped, and which reads what was
//! written to since. Any word counts as a pointer: what is reported is unreachable, not all of it is.
//!
//! Roots are writable memory outside of the known blocks, stacks above their stack pointers, registers, and what
//! the kernel keeps ([`kernel`]). A block that only unreachable ones point to is unreachable itself.

pub mod kernel;
pub mod memory;
pub mod stop;
pub mod targets;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use self::memory::{Memory, Range, live_from};
use self::targets::{Target, Targets};
use super::traced::region_file;
use crate::source::open::Access;
use crate::source::region::{Region, RegionFile};

/// Looks before the process is stopped.
pub const SCANS: u32 = 3;
/// From the first of them to the last.
pub const LEAST_TIME: Duration = Duration::from_secs(10);
/// Pointers from block to block that are kept; of more, each counts as one from outside.
const MOST_EDGES: usize = 1 << 24;

/// What a scan found.
#[derive(Debug, Default)]
pub struct Found {
    /// Blocks and streams that were looked for.
    pub looked_for: usize,
    /// Every block was recorded, not a sample.
    pub has_every_block: bool,
    /// Unreachable in every look.
    pub unreachable: Vec<Target>,
    /// Bytes that one look reads.
    pub bytes: u64,
    /// How long the process was stopped; `None`: it was not, so that nothing is certain.
    pub stopped: Option<Duration>,
    /// What could not be seen.
    pub unseen: Vec<String>,
}

/// Scans a traced process; `None`: it is not traced, or has ended.
///
/// # Errors
/// Without ptrace rights.
pub fn scan(pid: u32) -> std::io::Result<Option<Found>> {
    let Some(file) = region_file(pid).and_then(|p| RegionFile::open(&p, Access::Read).ok()) else {
        return Ok(None);
    };
    let Ok(region) = file.read() else { return Ok(None) };
    let memory = Memory::open(pid)?;
    let mut found = Found {
        has_every_block: region.header.heap_mean == 1,
        unseen: not_seen(pid),
        ..Found::default()
    };
    let first = Targets::of(&region);
    found.looked_for = first.len();
    let mut candidates: Option<HashSet<(u64, u64)>> = None;
    let mut notes_writes = false;
    let start = Instant::now();
    let mut last = Look::default();
    let mut targets = first;
    for number in 0..SCANS {
        let due = start + LEAST_TIME * number / (SCANS - 1);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if number > 0 {
            let Ok(region) = file.read() else { return Ok(None) };
            targets = Targets::of(&region);
        }
        if number + 1 == SCANS {
            notes_writes = memory.note_writes();
        }
        last = Look::at(pid, &memory, &targets, false, &stack_pointers(pid), &[]);
        found.bytes = last.bytes;
        let unreachable = last.unreachable(&targets);
        let names = unreachable.iter().filter_map(|at| Some(name(targets.get(*at)?)));
        candidates = Some(match candidates {
            Some(before) => names.filter(|name| before.contains(name)).collect(),
            None => names.collect(),
        });
    }
    let candidates = candidates.unwrap_or_default();
    if candidates.is_empty() {
        found.stopped = Some(Duration::ZERO);
        return Ok(Some(found));
    }
    let began = Instant::now();
    match stop::stop(pid) {
        Ok(stopped) => {
            let now = file.read();
            let (registers, pointers) = (&stopped.registers, &stopped.stack_pointers);
            let mut look = Look::at(pid, &memory, &targets, notes_writes, pointers, registers);
            drop(stopped);
            found.stopped = Some(began.elapsed());
            // What was not written to since is as the last look has it.
            if notes_writes {
                look.join(last);
            }
            let Ok(now) = now else { return Ok(None) };
            found.unreachable = confirmed(&look, &targets, &candidates, &now);
        }
        Err(error) => {
            found.unseen.push(format!("what moves: the process could not be stopped ({error})"));
            let is_candidate = |at: &usize| {
                targets.get(*at).is_some_and(|target| candidates.contains(&name(target)))
            };
            let all = last.unreachable(&targets);
            let all = all.iter().filter(|at| is_candidate(at));
            found.unreachable = all.filter_map(|at| targets.get(*at).copied()).collect();
        }
    }
    Ok(Some(found))
}

/// Candidates that are unreachable in the look under stop too, and live.
fn confirmed(
    look: &Look,
    targets: &Targets,
    candidates: &HashSet<(u64, u64)>,
    now: &Region,
) -> Vec<Target> {
    let live = Targets::of(now);
    let live: HashSet<(u64, u64)> =
        (0..live.len()).filter_map(|at| Some(name(live.get(at)?))).collect();
    let unreachable = look.unreachable(targets);
    let all = unreachable.iter().filter_map(|at| targets.get(*at).copied());
    all.filter(|target| candidates.contains(&name(target)) && live.contains(&name(target)))
        .collect()
}

/// One lifetime at an address.
fn name(target: &Target) -> (u64, u64) {
    (target.start, target.acquired)
}

/// What may hold pointers and cannot be read.
fn not_seen(pid: u32) -> Vec<String> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let has_rings = maps.contains("[io_uring]");
    has_rings
        .then(|| {
            "requests that io_uring holds: what only they point to would look unreachable".into()
        })
        .into_iter()
        .collect()
}

/// Stack pointers of threads that wait; of one that runs its whole stack counts.
fn stack_pointers(pid: u32) -> Vec<u64> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let pointer = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(path.join("syscall")).ok()?;
        let mut fields = text.split_whitespace().rev();
        let (_pc, sp) = (fields.next()?, fields.next()?);
        u64::from_str_radix(sp.strip_prefix("0x")?, 16).ok()
    };
    entries.filter_map(|entry| pointer(entry.path())).collect()
}

/// What one look at the memory saw.
#[derive(Debug, Default)]
struct Look {
    /// Pointed to from outside of all blocks.
    rooted: Vec<bool>,
    /// Pointers from block to block.
    edges: Vec<(u32, u32)>,
    bytes: u64,
}

impl Look {
    fn at(
        pid: u32,
        memory: &Memory,
        targets: &Targets,
        written_only: bool,
        stack_pointers: &[u64],
        registers: &[u64],
    ) -> Look {
        let mut look = Look { rooted: vec![false; targets.len()], ..Look::default() };
        for range in memory.ranges() {
            let from = live_from(&range, stack_pointers);
            let mut bytes = 0;
            bytes += memory.read(&range, written_only, &mut |at, piece| {
                look.piece(targets, &range, from, at, piece);
            });
            look.bytes += bytes;
        }
        for word in kernel::words(pid).iter().chain(registers) {
            look.root(targets, *word);
        }
        look
    }

    fn root(&mut self, targets: &Targets, word: u64) {
        for at in targets.pointed_at(word).into_iter().flatten() {
            self.rooted[at] = true;
        }
    }

    /// Words at every fourth byte: packed structures hold pointers too.
    fn piece(&mut self, targets: &Targets, range: &Range, from: u64, at: u64, piece: &[u8]) {
        let skipped = from.saturating_sub(at).min(piece.len() as u64) as usize & !3;
        let mut place = skipped;
        while let Some(bytes) = piece.get(place..place + 8) {
            let mut word = [0; 8];
            word.copy_from_slice(bytes);
            let pointed = targets.pointed_at(u64::from_ne_bytes(word));
            if pointed != [None; 2] {
                self.pointer(targets, range, at + place as u64, pointed);
            }
            place += 4;
        }
    }

    fn pointer(
        &mut self,
        targets: &Targets,
        range: &Range,
        address: u64,
        pointed: [Option<usize>; 2],
    ) {
        let source = targets.block_at(address);
        for (at, is_stream) in pointed.into_iter().zip([false, true]) {
            let Some(at) = at.filter(|at| !self.rooted[*at]) else { continue };
            // libc lists all streams; a stream points to itself.
            if is_stream {
                let own = targets.get(at).is_some_and(|t| address.wrapping_sub(t.start) < 1024);
                if range.is_libc || own || targets.is_chain(address) {
                    continue;
                }
            }
            match source {
                Some(source) if source == at => {}
                Some(source) if self.edges.len() < MOST_EDGES => {
                    self.edges.push((source as u32, at as u32));
                }
                _ => self.rooted[at] = true,
            }
        }
    }

    /// Takes what another look saw too.
    fn join(&mut self, other: Look) {
        self.rooted.iter_mut().zip(other.rooted).for_each(|(own, other)| *own |= other);
        self.edges.extend(other.edges);
    }

    /// Indices of what no way leads to.
    fn unreachable(&self, targets: &Targets) -> Vec<usize> {
        let mut reached = self.rooted.clone();
        let mut next: HashMap<u32, Vec<u32>> = HashMap::new();
        for (from, to) in &self.edges {
            next.entry(*from).or_default().push(*to);
        }
        let mut open: Vec<u32> =
            (0..reached.len() as u32).filter(|at| reached[*at as usize]).collect();
        while let Some(at) = open.pop() {
            for to in next.remove(&at).into_iter().flatten() {
                if !std::mem::replace(&mut reached[to as usize], true) {
                    open.push(to);
                }
            }
        }
        (0..targets.len()).filter(|at| !reached[*at]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_whose_head_is_lost_is_unreachable_as_a_whole_and_a_ring_too() {
        let block = |start| Target {
            start,
            bytes: 16,
            kind: 23,
            stack: 1,
            acquired: 0,
            weight: 1.0,
            is_stream: false,
        };
        let targets = Targets::from((1..=5).map(|n| block(n * 0x1000)).collect(), Vec::new());
        let look = Look {
            rooted: vec![true, false, false, false, false],
            edges: vec![(0, 1), (2, 3), (3, 2), (4, 3)],
            bytes: 0,
        };
        assert_eq!(look.unreachable(&targets), [2, 3, 4]);
    }

    #[test]
    fn packed_pointers_are_seen_and_what_is_below_a_stack_pointer_is_not() {
        let block = Target {
            start: 0x7000,
            bytes: 16,
            kind: 23,
            stack: 1,
            acquired: 0,
            weight: 1.0,
            is_stream: false,
        };
        let targets = Targets::from(vec![block], Vec::new());
        let range = Range { start: 0x100, end: 0x200, is_stack: true, is_libc: false };
        let mut piece = vec![0; 32];
        piece[12..20].copy_from_slice(&0x7008_u64.to_ne_bytes());
        let rooted = |from: u64| {
            let mut look = Look { rooted: vec![false], ..Look::default() };
            look.piece(&targets, &range, from, 0x100, &piece);
            look.rooted[0]
        };
        assert!(rooted(0x100) && rooted(0x10c) && !rooted(0x110));
    }
}
