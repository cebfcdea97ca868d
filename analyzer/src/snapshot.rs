//! The public types of a snapshot: what `resshim snapshot --format json` prints, and what its views show.
//!
//! Scripts outside this repository read these keys: add freely, rename or remove nothing.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::live::memory::Memory;
use crate::report::{Limit, Site};

/// Value of [`Snapshot::schema`].
pub const SCHEMA: &str = "resshim.snapshot/1";

/// What a process holds and waits for.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Snapshot {
    /// `resshim.snapshot/1`.
    pub schema: String,
    /// Process.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// Its executable.
    pub exe: String,
    /// Whether the shim is in it: then there are call sites.
    pub traced: bool,
    /// Seconds between the first and the last look, 0 = one look.
    pub watched_s: f64,
    /// Looks.
    pub looks: u32,
    /// What is worth acting on, worst first.
    pub signs: Vec<Sign>,
    /// Open descriptors by kind.
    pub kinds: BTreeMap<String, u64>,
    /// Descriptors that have kind and place in common, most first.
    pub groups: Vec<Group>,
    /// What call sites hold, most first; of a traced process.
    pub sites: Vec<SiteHeld>,
    /// What nothing in the process points to any more (`--scan`).
    pub scan: Option<Scan>,
    /// What grew while it was watched, fastest first.
    pub growth: Vec<Growth>,
    /// Threads by what they wait in, most first.
    pub waits: Vec<Waiting>,
    /// Threads.
    pub threads: Vec<Thread>,
    /// Children that run.
    pub children: u64,
    /// Children that ended and were not waited for: pids.
    pub zombies: Vec<u32>,
    /// Limits, the nearest first.
    pub limits: Vec<Limit>,
    /// Memory.
    pub memory: Memory,
    /// Every descriptor, by number.
    pub descriptors: Vec<Descriptor>,
    /// What could not be seen, and why.
    pub unseen: Vec<String>,
}

/// Something worth acting on.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sign {
    /// `unreachable`, `growth`, `limit`, `close-wait`, `deleted-open`, `zombies`.
    pub rule: String,
    /// One line.
    pub text: String,
    /// What to do.
    pub advice: String,
}

/// Descriptors of one kind and place.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Group {
    /// Kind.
    pub kind: String,
    /// Directory, peer, name.
    pub place: String,
    /// How many.
    pub count: u64,
    /// The first of them.
    pub numbers: Vec<u32>,
}

/// What a call site holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SiteHeld {
    /// Kind.
    pub kind: String,
    /// How many.
    pub count: u64,
    /// Bytes, where the kind has a size.
    pub bytes: u64,
    /// Age of the oldest, seconds.
    pub oldest_s: f64,
    /// Call stack.
    pub site: Site,
}

/// What a scan of the memory found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scan {
    /// Blocks and streams that were looked for.
    pub looked_for: u64,
    /// Every block was recorded, not a sample.
    pub every_block: bool,
    /// Bytes of memory that one look reads.
    pub bytes: u64,
    /// Seconds that the process was stopped for the last look; `null`: it could not be stopped.
    pub stopped_s: Option<f64>,
    /// `definite`, or `probable` where the process could not be stopped.
    pub verdict: String,
    /// What is unreachable, by call site, most first.
    pub unreachable: Vec<SiteHeld>,
}

/// What grew.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Growth {
    /// `kind`, `place`, `site`, `threads`, `memory`.
    pub what: String,
    /// Kind.
    pub kind: String,
    /// Which place.
    pub place: String,
    /// How many there were at each look (bytes for memory).
    pub counts: Vec<u64>,
    /// More an hour, from the first to the last look.
    pub per_hour: f64,
    /// More at each look than at the one before.
    pub is_steady: bool,
    /// Opened since the first look and still open (descriptors).
    pub new: u64,
    /// Call stack, where it is a site.
    pub site: Option<Site>,
}

/// Threads that wait for the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Waiting {
    /// How many.
    pub count: u64,
    /// System call, or what can be said.
    pub waits_in: String,
    /// Descriptor and what it is, if the call is about one.
    pub on: String,
    /// Names of some of them.
    pub names: Vec<String>,
}

/// A thread.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Thread {
    /// Kernel id.
    pub tid: u32,
    /// Name.
    pub name: String,
    /// `R`, `S`, `D`, …
    pub state: String,
    /// System call; empty where it runs or that may not be seen.
    pub waits_in: String,
    /// Descriptor of that call.
    pub descriptor: Option<u32>,
    /// Where in the kernel.
    pub channel: String,
}

/// A descriptor.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Descriptor {
    /// `fd:7`.
    pub handle: String,
    /// Kind.
    pub kind: String,
    /// Path, addresses and state.
    pub label: String,
    /// Its file was removed.
    pub deleted: bool,
    /// Seconds since it was acquired, if that was seen.
    pub age_s: Option<f64>,
    /// Seconds since data came or went (tcp), if the kernel says so.
    pub idle_s: Option<f64>,
    /// Index in `sites`, of a traced process.
    pub site: Option<usize>,
}
