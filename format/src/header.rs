//! The first three pages of a region: header, control page, table directory.
//!
//! ```text
//! 0x0000  Header      who, when, geometry, loss; strings (tag, length, value) from 0x0400
//! 0x1000  Control     what may be changed from outside while the process runs
//! 0x2000  Directory   up to 32 tables: type, row size, rows, offset
//! 0x3000  chunk states, 8 bytes a chunk (see ring)
//! ...     tables, stacks, chunks, at the offsets that the directory and the header name
//! ```
//!
//! Crash states: `magic` is stored last, with release order, when everything else of the header and
//! the directory is written. A region whose magic is 0 was being made when its process died: it has
//! nothing to tell. Every other field is either constant from then on or one atomic word.

use core::sync::atomic::{AtomicU32, AtomicU64};
use zerocopy::{FromBytes, IntoBytes, KnownLayout};

/// First eight bytes of a complete region.
pub const MAGIC: u64 = u64::from_le_bytes(*b"resshim1");
/// Version of what this crate describes. A reader refuses a larger one, and says so.
pub const VERSION: u32 = 1;
/// Size of a page of the region, whatever the machine's.
pub const PAGE: usize = 4096;
/// Where the strings of the header begin.
pub const STRINGS_OFFSET: usize = 0x400;
/// Where they end.
pub const STRINGS_END: usize = PAGE;
/// Offset of [`Control`].
pub const CONTROL_OFFSET: usize = PAGE;
/// Offset of the directory.
pub const DIRECTORY_OFFSET: usize = 2 * PAGE;
/// Entries of the directory.
pub const DIRECTORY_ENTRIES: usize = 32;
/// Offset of the chunk states.
pub const STATES_OFFSET: usize = 3 * PAGE;

/// Strings of the header: `tag: u16, length: u16, bytes`, one after the other; tag 0 ends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Tag {
    /// Path of the executable (`/proc/self/exe`).
    Exe = 1,
    /// One argument, in order; which ones is a matter of `RESSHIM_ARGS`.
    Arg = 2,
    /// `RESSHIM_SERVICE`, or the executable's name.
    Service = 3,
    /// Name of the profile.
    Profile = 4,
    /// One problem with the configuration that was met: shown by the report.
    Diagnostic = 5,
    /// Something that this shim cannot see here: shown in `not_visible`.
    NotVisible = 6,
    /// Working directory at the start.
    Cwd = 7,
}

/// The header page's fixed part. All integers little-endian as the machine has them.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`], written last.
    pub magic: AtomicU64,
    /// [`VERSION`].
    pub version: u32,
    /// Bytes of this header that this version knows.
    pub header_bytes: u32,
    /// 64 random bits; names the region in every other place.
    pub region_id: u64,
    /// Region of the process that forked this one, 0 = none (came by exec).
    pub parent_region: u64,
    /// Which fork of the parent's (its [`Header::fork_sequence`] at that moment), 0 = none.
    pub parent_fork: u32,
    /// This process.
    pub pid: u32,
    /// Its parent when the region was made.
    pub parent_pid: u32,
    /// Reserved: readers number the images of a process in the order in which they began.
    pub reserved: u32,
    /// Start of the process in clock ticks since boot (`/proc/PID/stat`, field 22): with `pid` it names a process.
    pub start_ticks: u64,
    /// Time stamp counter when the image began.
    pub start_tsc: u64,
    /// `CLOCK_MONOTONIC` at `start_tsc`, nanoseconds.
    pub start_monotonic_ns: u64,
    /// `CLOCK_REALTIME` at `start_tsc`, nanoseconds since 1970.
    pub start_realtime_ns: u64,
    /// Ticks of the counter a second; 0 = not known, as every shim so far says: readers fit it to the
    /// pairs of counter and time. 1 000 000 000 with `clock` = 1.
    pub tsc_hz: u64,
    /// 0 = the records' time is the processor's counter, 1 = `CLOCK_MONOTONIC` nanoseconds (as
    /// no shim writes so far).
    pub clock: u32,
    /// Reserved bytes of the file.
    pub reserve_bytes: u32,
    /// Offset of the first chunk.
    pub chunks_offset: u32,
    /// Bytes of a chunk.
    pub chunk_bytes: u32,
    /// Chunks that may ever be used.
    pub chunk_limit: u32,
    /// Effective user when the region was made.
    pub euid: u32,
    /// Mean bytes between heap samples at the start, 1 = every block.
    pub heap_mean: u64,
    /// Soft RLIMIT_NOFILE at the start.
    pub limit_nofile: u64,
    /// Soft RLIMIT_NPROC at the start.
    pub limit_nproc: u64,

    // What changes while the process runs. Each is one word, each may be read at any moment.
    /// Chunks that are promised by the kernel.
    pub chunks_populated: AtomicU32,
    /// [`End`] of the image.
    pub end: AtomicU32,
    /// Exit status as given to `exit`.
    pub end_status: AtomicU32,
    /// Forks so far.
    pub fork_sequence: AtomicU32,
    /// Counter and monotonic time at the end (or at the last occasion), to fit the counter's rate.
    pub end_tsc: AtomicU64,
    /// See `end_tsc`.
    pub end_monotonic_ns: AtomicU64,
    /// Acquisitions that got no record (tables know them).
    pub lost_acquisitions: AtomicU64,
    /// Releases that got no record (tables know them).
    pub lost_releases: AtomicU64,
    /// Other records lost.
    pub lost_other: AtomicU64,
    /// Records in chunks that the flight recorder overwrote before a drainer came.
    pub overwritten_chunks: AtomicU64,
    /// Resources that no table row was free for: unknown from then on.
    pub untracked: AtomicU64,
    /// Stacks that did not fit the stack table.
    pub stacks_lost: AtomicU64,
    /// Stacks that were cut short (unwinder busy, no rule, unreadable).
    pub stacks_truncated: AtomicU64,
    /// Growth refused: 1 = no memory or full file system, 2 = cgroup headroom, 4 = quota, 8 = a seccomp
    /// filter was installed, 16 = a kernel (before Linux 5.14) that can promise nothing later on,
    /// 32 = nothing is recorded any more: the processor's counter was forbidden.
    pub growth_refused: AtomicU32,
    /// Times that a hook ran while this thread was inside the shim already (signal handlers).
    pub nested: AtomicU32,
    /// Time spent in slow paths of the shim, counter ticks.
    pub own_ticks: AtomicU64,
    /// Bytes of heap allocations that passed, counted at each sample. Not written yet.
    pub heap_bytes_seen: AtomicU64,
    /// Events dropped in a vfork child or before the region could be made.
    pub unseen: AtomicU64,
    /// Children made by vfork so far.
    pub vforks: AtomicU32,
    /// [`FACT_CENSUS`], [`FACT_OWN_MAP`], [`FACT_USES`].
    pub facts: AtomicU32,
    /// Processor time of the process when it ended, nanoseconds; 0 = not known.
    pub end_cpu_ns: AtomicU64,
    /// Eight bits a [`crate::table::Runtime`] (number 1 in the lowest): [`RUNTIME_FRAMES`] and why not.
    pub runtimes: AtomicU32,
    /// Stacks whose managed frames are not whole: no row was free for a function, or none could be read.
    pub managed_lost: AtomicU32,
    /// Most ticks that ever passed between two steps of [`Control::use_clock`].
    pub use_clock_gap: AtomicU64,
}

/// A bit of [`Header::facts`]: the census of descriptors was taken.
pub const FACT_CENSUS: u32 = 1;
/// A bit of [`Header::facts`]: a perf map of this process is there because `resshim run` asked for it, and
/// is to be removed when the process has ended.
pub const FACT_OWN_MAP: u32 = 2;
/// A bit of [`Header::facts`]: uses of descriptors are stamped ([`crate::table::FdRow::last_use`]).
pub const FACT_USES: u32 = 4;

/// A bit of [`Header::runtimes`]: the runtime is in the process, its frames are read.
pub const RUNTIME_FRAMES: u8 = 1;
/// A bit of [`Header::runtimes`]: its version is not one whose structures are known.
pub const RUNTIME_UNKNOWN_VERSION: u8 = 2;
/// A bit of [`Header::runtimes`]: it is built in a way whose structures are not known.
pub const RUNTIME_UNKNOWN_BUILD: u8 = 4;
/// A bit of [`Header::runtimes`]: it does not let itself be asked (the agent is not loaded).
pub const RUNTIME_NO_AGENT: u8 = 8;

/// How an image ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum End {
    /// It runs, or died without a word (a signal).
    Running = 0,
    /// `exit` or return from `main`; `end_status` is known.
    Exited = 1,
    /// `exec` was called; counts if a new image followed.
    Exec = 2,
    /// `_exit`, `quick_exit`; `end_status` is known.
    QuickExited = 3,
    /// `abort`.
    Aborted = 4,
}
impl End {
    /// The value with this number; unknown ones are `Running`.
    pub const fn from_number(number: u32) -> End {
        match number {
            1 => End::Exited,
            2 => End::Exec,
            3 => End::QuickExited,
            4 => End::Aborted,
            _ => End::Running,
        }
    }
}

/// Ticks between two steps of [`Control::use_clock`] at least: 20 to 40 ms. An event at `t` leaves that clock no
/// more than this behind `t`.
pub const USE_CLOCK_STEP: u64 = 1 << 26;

/// The control page: written from outside, read by the shim, which trusts none of it.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct Control {
    /// Raised with each change of the fields below.
    pub epoch: AtomicU64,
    /// The one drainer: see [`crate::ring::drain`].
    pub drainer: AtomicU64,
    /// 0.
    pub reserved: AtomicU64,
    /// Mean bytes between heap samples, as it stands now.
    pub heap_mean: AtomicU64,
    /// Level of each kind: see [`Level`].
    pub levels: [AtomicU32; crate::op::KIND_LEVELS],
    /// Next fill number of a chunk.
    pub next_fill: AtomicU64,
    /// Full chunks with a fill number from `freeze_from` up to `freeze_to` are not overwritten.
    pub freeze_from: AtomicU64,
    /// See `freeze_from`; 0 = nothing is frozen.
    pub freeze_to: AtomicU64,
    /// What a use of a descriptor is stamped with: the counter as it was when somebody last looked. Events
    /// of the process and waits that end without result move it on, and a drainer about once a second.
    ///
    /// So a descriptor with stamp `s` was last used between `s` and the step after it, which came at most
    /// [`Header::use_clock_gap`] later; one with `s` = this clock, between `s` and now.
    pub use_clock: AtomicU64,
}

/// How closely a kind is tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Level {
    /// Not at all.
    Off = 0,
    /// Totals of the site only.
    Counters = 1,
    /// Records and rows, with the innermost frames only.
    Short = 2,
    /// Everything.
    Full = 3,
}

/// One entry of the directory.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct Table {
    /// Number of the [`crate::table::TableType`]; 0 = end of the directory. Unknown ones are passed over.
    pub kind: u32,
    /// Bytes of a row.
    pub row_bytes: u32,
    /// Rows that may ever be used.
    pub capacity: u32,
    /// Rows that are promised by the kernel: only these may be read through a mapping.
    pub populated: AtomicU32,
    /// Offset of row 0 in the region.
    pub offset: u64,
    /// Rows ever handed out (dense tables), or highest index in use plus one.
    pub used: AtomicU32,
    /// Acquisitions that found the table full.
    pub refused: AtomicU32,
}

const _: () = {
    assert!(core::mem::size_of::<Header>() <= STRINGS_OFFSET);
    assert!(core::mem::size_of::<Control>() <= PAGE);
    assert!(core::mem::size_of::<Table>() == 32);
    assert!(core::mem::size_of::<Table>() * DIRECTORY_ENTRIES <= PAGE);
};
