//! The header of a region as plain values.

use resshim_format::header::{self, End, STRINGS_END, STRINGS_OFFSET, Tag};

use super::Anomalies;
use super::image::Image;

/// Fixed fields of the header; times as in [`resshim_format::header::Header`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the fields are those of `resshim_format::header::Header`, described there"
)]
pub struct RegionHeader {
    pub region_id: u64,
    pub parent_region: u64,
    pub parent_fork: u32,
    pub pid: u32,
    pub parent_pid: u32,
    pub start_ticks: u64,
    pub start_tsc: u64,
    pub start_monotonic_ns: u64,
    pub start_realtime_ns: u64,
    pub tsc_hz: u64,
    pub clock: u32,
    pub chunks_offset: u32,
    pub chunk_bytes: u32,
    pub chunk_limit: u32,
    pub euid: u32,
    pub heap_mean: u64,
    pub limit_nofile: u64,
    pub limit_nproc: u64,
    pub chunks_populated: u32,
    pub end: End,
    pub end_status: u32,
    pub fork_sequence: u32,
    pub end_tsc: u64,
    pub end_monotonic_ns: u64,
    pub lost_acquisitions: u64,
    pub lost_releases: u64,
    pub lost_other: u64,
    pub overwritten_chunks: u64,
    pub untracked: u64,
    pub stacks_lost: u64,
    pub stacks_truncated: u64,
    pub growth_refused: u32,
    pub nested: u32,
    pub own_ticks: u64,
    /// Processor time of the process at its end, nanoseconds; 0 = not known.
    pub end_cpu_ns: u64,
    pub heap_bytes_seen: u64,
    pub unseen: u64,
    pub vforks: u32,
    pub facts: u32,
    pub runtimes: u32,
    pub managed_lost: u32,
    pub use_clock_gap: u64,
}

impl From<header::Header> for RegionHeader {
    fn from(header: header::Header) -> RegionHeader {
        RegionHeader {
            region_id: header.region_id,
            parent_region: header.parent_region,
            parent_fork: header.parent_fork,
            pid: header.pid,
            parent_pid: header.parent_pid,
            start_ticks: header.start_ticks,
            start_tsc: header.start_tsc,
            start_monotonic_ns: header.start_monotonic_ns,
            start_realtime_ns: header.start_realtime_ns,
            tsc_hz: header.tsc_hz,
            clock: header.clock,
            chunks_offset: header.chunks_offset,
            chunk_bytes: header.chunk_bytes,
            chunk_limit: header.chunk_limit,
            euid: header.euid,
            heap_mean: header.heap_mean,
            limit_nofile: header.limit_nofile,
            limit_nproc: header.limit_nproc,
            chunks_populated: header.chunks_populated.into_inner(),
            end: End::from_number(header.end.into_inner()),
            end_status: header.end_status.into_inner(),
            fork_sequence: header.fork_sequence.into_inner(),
            end_tsc: header.end_tsc.into_inner(),
            end_monotonic_ns: header.end_monotonic_ns.into_inner(),
            lost_acquisitions: header.lost_acquisitions.into_inner(),
            lost_releases: header.lost_releases.into_inner(),
            lost_other: header.lost_other.into_inner(),
            overwritten_chunks: header.overwritten_chunks.into_inner(),
            untracked: header.untracked.into_inner(),
            stacks_lost: header.stacks_lost.into_inner(),
            stacks_truncated: header.stacks_truncated.into_inner(),
            growth_refused: header.growth_refused.into_inner(),
            nested: header.nested.into_inner(),
            own_ticks: header.own_ticks.into_inner(),
            end_cpu_ns: header.end_cpu_ns.into_inner(),
            heap_bytes_seen: header.heap_bytes_seen.into_inner(),
            unseen: header.unseen.into_inner(),
            vforks: header.vforks.into_inner(),
            facts: header.facts.into_inner(),
            runtimes: header.runtimes.into_inner(),
            managed_lost: header.managed_lost.into_inner(),
            use_clock_gap: header.use_clock_gap.into_inner(),
        }
    }
}

/// Strings of the header: data of the traced process, not escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings {
    /// Path of the executable.
    pub exe: String,
    /// Arguments that were stored.
    pub args: Vec<String>,
    /// Name of the service.
    pub service: String,
    /// Name of the profile.
    pub profile: String,
    /// Problems with the configuration.
    pub diagnostics: Vec<String>,
    /// What the shim cannot see in this image.
    pub not_visible: Vec<String>,
    /// Working directory at the start.
    pub cwd: String,
}

impl Strings {
    pub(super) fn read(image: &Image, anomalies: &mut Anomalies) -> Strings {
        let mut strings = Strings::default();
        let Some(mut rest) = image.at(STRINGS_OFFSET as u64, STRINGS_END - STRINGS_OFFSET) else {
            anomalies.bad_strings += 1;
            return strings;
        };
        while let [tag_low, tag_high, length_low, length_high, tail @ ..] = rest {
            let tag = u16::from_le_bytes([*tag_low, *tag_high]);
            let length = u16::from_le_bytes([*length_low, *length_high]) as usize;
            if tag == 0 {
                return strings;
            }
            let Some((bytes, next)) = tail.split_at_checked(length) else {
                anomalies.bad_strings += 1;
                return strings;
            };
            let text = String::from_utf8_lossy(bytes).into_owned();
            match tag {
                tag if tag == Tag::Exe as u16 => strings.exe = text,
                tag if tag == Tag::Arg as u16 => strings.args.push(text),
                tag if tag == Tag::Service as u16 => strings.service = text,
                tag if tag == Tag::Profile as u16 => strings.profile = text,
                tag if tag == Tag::Diagnostic as u16 => strings.diagnostics.push(text),
                tag if tag == Tag::NotVisible as u16 => strings.not_visible.push(text),
                tag if tag == Tag::Cwd as u16 => strings.cwd = text,
                _ => anomalies.unknown_strings += 1,
            }
            rest = next;
        }
        strings
    }
}
