//! What one process image told: the facts of its region's header and the rows of its tables.
//!
//! The model's input beside the events. It holds plain values only, so that tests build it by hand.

use std::collections::HashMap;
use std::path::PathBuf;

use resshim_format::header::End;

use super::runtimes;
use super::uses::Uses;
use crate::source::clock::ClockFacts;
use crate::source::rows;
use crate::source::trace::{TraceRegion, clock_facts};

/// One process image.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Region id, 0 = it made none.
    pub region: u64,
    /// Region of the process that forked it, 0 = it came by exec.
    pub parent_region: u64,
    /// Which fork of that process.
    pub parent_fork: u32,
    /// Process.
    pub pid: u32,
    /// Its parent.
    pub parent_pid: u32,
    /// Which image of the process: 1, 2, … in the order in which they began.
    pub image: u32,
    /// Start of the process in clock ticks since boot.
    pub start_ticks: u64,
    /// `CLOCK_REALTIME` at the start, ns since 1970.
    pub started_realtime_ns: u64,
    /// Clock at the start and at the end.
    pub clock: ClockFacts,
    /// Path of the executable.
    pub exe: String,
    /// Arguments that were stored.
    pub args: Vec<String>,
    /// Name of the service.
    pub service: String,
    /// Name of the profile.
    pub profile: String,
    /// What the shim could not see.
    pub not_visible: Vec<String>,
    /// What it had to say about its configuration.
    pub diagnostics: Vec<String>,
    /// How it ended, as it said itself.
    pub end: Option<End>,
    /// Status it gave to `exit`.
    pub end_status: u32,
    /// Whether the process lives now; `None` = nobody looked.
    pub alive: Option<bool>,
    /// When the collector found it ended, `CLOCK_MONOTONIC` ns, 0 = it did not.
    pub found_ended_ns: u64,
    /// Whether `SIGCHLD` was ignored when the collector last looked; when (`CLOCK_MONOTONIC` ns).
    pub ignored_sigchld: Option<(bool, u64)>,
    /// Mean bytes between heap samples, 1 = every block.
    pub heap_mean: u64,
    /// Counters of what was lost.
    pub losses: Losses,
    /// Soft RLIMIT_NOFILE at the start.
    pub limit_nofile: u64,
    /// Time spent in the shim's slow paths, counter ticks.
    pub own_ticks: u64,
    /// A managed runtime whose frames are read is in it: what it frees as it ends is its own memory.
    pub has_runtime: bool,
    /// Bytes that its region takes.
    pub region_bytes: u64,
    /// How it stamps the uses of its descriptors.
    pub uses: Uses,
    /// Its tables.
    pub tables: Tables,
}

/// Counters of what was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Acquisitions without a record.
    pub acquisitions: u64,
    /// Releases without a record.
    pub releases: u64,
    /// Other records.
    pub other: u64,
    /// Chunks that were overwritten before they were drained.
    pub overwritten_chunks: u64,
    /// Resources that no row was free for.
    pub untracked: u64,
    /// Events in vfork children or before the region could be made.
    pub unseen: u64,
    /// Stacks that did not fit.
    pub stacks: u64,
    /// Words, rows and records that made no sense.
    pub anomalies: u64,
}

/// The rows of a region's tables.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// Sites.
    pub sites: Vec<rows::Site>,
    /// Descriptors.
    pub fds: Vec<rows::Fd>,
    /// Threads.
    pub threads: Vec<rows::Thread>,
    /// Children.
    pub children: Vec<rows::Child>,
    /// Heap blocks.
    pub heap: Vec<rows::HeapBlock>,
    /// Mappings.
    pub mappings: Vec<rows::Mapping>,
    /// Annotated resources.
    pub annotated: Vec<rows::Annotated>,
    /// Failing calls.
    pub failures: Vec<rows::Failure>,
    /// Names of the kinds that the program brought, by kind number.
    pub kind_names: HashMap<u32, String>,
}

impl Image {
    /// What a region of a trace says.
    pub fn of(region: &TraceRegion) -> Image {
        let (header, state) = (&region.state.header, &region.state);
        let strings = &state.strings;
        let mut not_visible = strings.not_visible.clone();
        for (kind, count) in
            region.facts.iter().flat_map(|facts| &facts.reconciliation.not_seen_opened)
        {
            if *count > 0 {
                let were = if *count == 1 { "was" } else { "were" };
                not_visible.push(format!("{kind}: {count} {were} not seen being opened"));
            }
        }
        not_visible.extend(runtimes::not_visible(header, &strings.exe));
        let losses = Losses {
            acquisitions: header.lost_acquisitions,
            releases: header.lost_releases,
            other: header.lost_other,
            overwritten_chunks: header.overwritten_chunks,
            untracked: header.untracked,
            unseen: header.unseen,
            stacks: header.stacks_lost,
            anomalies: state.anomalies.total(),
        };
        Image {
            region: header.region_id,
            parent_region: header.parent_region,
            parent_fork: header.parent_fork,
            pid: header.pid,
            parent_pid: header.parent_pid,
            // No image knows how many were before it: they are numbered when all are known.
            image: 0,
            start_ticks: header.start_ticks,
            started_realtime_ns: header.start_realtime_ns,
            clock: clock_facts(region),
            exe: strings.exe.clone(),
            args: strings.args.clone(),
            service: strings.service.clone(),
            profile: strings.profile.clone(),
            not_visible,
            diagnostics: strings.diagnostics.clone(),
            end: Some(header.end),
            end_status: header.end_status,
            alive: region.is_alive,
            found_ended_ns: region.facts.as_ref().map_or(0, |facts| facts.ended_monotonic_ns),
            ignored_sigchld: region
                .facts
                .as_ref()
                .and_then(|facts| Some((facts.last.ignores_sigchld?, facts.last.monotonic_ns))),
            heap_mean: header.heap_mean,
            losses,
            limit_nofile: header.limit_nofile,
            own_ticks: header.own_ticks,
            has_runtime: runtimes::has_frames(header),
            region_bytes: header.chunks_populated as u64 * header.chunk_bytes as u64
                + state.tables.iter().map(|t| t.rows as u64 * t.row_bytes as u64).sum::<u64>(),
            uses: Uses::of(state),
            tables: Tables {
                sites: state.sites().collect(),
                fds: state.fds().collect(),
                threads: state.threads().collect(),
                children: state.children().collect(),
                heap: state.heap().collect(),
                mappings: state.mappings().collect(),
                annotated: state.annotated().collect(),
                failures: state.failures().collect(),
                kind_names: state.kind_names().collect(),
            },
        }
    }

    /// Last part of the executable's path.
    pub fn exe_name(&self) -> String {
        PathBuf::from(&self.exe)
            .file_name()
            .map_or(String::new(), |name| name.to_string_lossy().into_owned())
    }

    /// Every block was recorded, not a sample of them.
    pub fn has_every_block(&self) -> bool {
        self.heap_mean == 1
    }

    /// Made by fork, and not by exec.
    pub fn is_fork_child(&self) -> bool {
        self.parent_region != 0
    }
}
