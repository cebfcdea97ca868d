//! Rows of the region's tables: what is true now, whatever happened to the event history.
//!
//! Rows are made of single words that may be read at any moment; a reader may see a row half
//! way between two states and must make sense of it (`state` is written last when a row begins
//! and first when it ends). Row 0 of a dense table is never used, so that index 0 means none.

use core::sync::atomic::{AtomicU32, AtomicU64};
use zerocopy::{FromBytes, IntoBytes, KnownLayout};

/// What a table of the directory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum TableType {
    /// [`SiteRow`], dense.
    Sites = 1,
    /// [`FdRow`], by descriptor number.
    Fds = 2,
    /// [`ThreadRow`], by slot.
    Threads = 3,
    /// [`ChildRow`], by slot.
    Children = 4,
    /// [`HeapRow`], by slot.
    Heap = 5,
    /// [`AnnotatedRow`], by slot.
    Annotated = 6,
    /// [`KindRow`], dense from 0.
    Kinds = 7,
    /// [`ModuleRow`], dense.
    Modules = 8,
    /// Stacks: 16-byte units; see [`StackHead`]. A stack's id is the index of its first unit.
    Stacks = 9,
    /// [`MappingRow`], by slot.
    Mappings = 10,
    /// [`FailureRow`], dense.
    Failures = 11,
    /// [`CodeRow`], dense.
    Codes = 12,
}

/// Bytes of a label in a live row; longer ones are cut from the left with `…` kept out of it.
pub const LABEL_BYTES: usize = 64;
/// Time buckets of a site.
pub const BUCKETS: usize = 32;

/// Totals of a site: a stack that acquires resources of one kind.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(C, align(64))]
pub struct SiteRow {
    /// Stack id of the acquisition, 0 = row not in use.
    pub stack: AtomicU32,
    /// Kind number.
    pub kind: AtomicU32,
    /// Not used yet.
    pub reserved0: AtomicU32,
    /// Operation of the first acquisition.
    pub op: AtomicU32,
    /// Acquired so far (heap: estimated from samples, in blocks).
    pub acquired: AtomicU64,
    /// Released so far.
    pub released: AtomicU64,
    /// Bytes acquired so far (heap, mappings; heap: estimated).
    pub acquired_bytes: AtomicU64,
    /// Bytes released so far.
    pub released_bytes: AtomicU64,
    /// Not used yet: failed calls are [`FailureRow`]s.
    pub reserved1: AtomicU64,
    /// Highest live count.
    pub peak: AtomicU64,
    /// Counter at the first acquisition: start of bucket 0.
    pub first_tsc: AtomicU64,
    /// Counter at the last acquisition.
    pub last_tsc: AtomicU64,
    /// Longest lifetime of a released one, counter ticks.
    pub longest: AtomicU64,
    /// A bucket spans `1 << bucket_shift` ticks; grows by one when the last bucket is passed, and pairs are merged.
    pub bucket_shift: AtomicU32,
    /// Buckets were being merged when the process died, if 1.
    pub merging: AtomicU32,
    /// Samples behind the estimates (heap).
    pub samples: AtomicU64,
    /// Sum of the squares of the samples' weights in units of 1/256 (heap), for the standard error.
    pub weight_squares: AtomicU64,
    /// Not used yet.
    pub reserved2: [AtomicU64; 2],
    /// Acquired and released in each bucket: low half acquired, high half released.
    pub flow: [AtomicU64; BUCKETS],
    /// Live at the last event of each bucket (heap, mappings: KiB).
    pub live: [AtomicU32; BUCKETS],
}

/// State of an [`FdRow`], a [`ThreadRow`], …: the low byte of its `state` word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RowState {
    /// Nothing lives here.
    Free = 0,
    /// A live resource.
    Live = 1,
    /// A release has begun; whether it happened is unknown. Never a leak.
    Closing = 2,
    /// A thread that has ended and was not joined yet.
    Ended = 3,
    /// A thread that was detached while it ran.
    Detached = 4,
    /// Being filled: not to be read yet.
    Claimed = 5,
}
impl RowState {
    /// The state in the low byte of a `state` word; unknown ones are `Closing`.
    pub const fn from_word(word: u64) -> RowState {
        match word as u8 {
            0 => RowState::Free,
            1 => RowState::Live,
            3 => RowState::Ended,
            4 => RowState::Detached,
            5 => RowState::Claimed,
            _ => RowState::Closing,
        }
    }
    /// The word of this state and generation: `generation:32 | 0:24 | state:8`.
    pub const fn word(self, generation: u32) -> u64 {
        (generation as u64) << 32 | self as u64
    }
}
/// The generation of a `state` word.
pub const fn generation(word: u64) -> u32 {
    (word >> 32) as u32
}

/// A descriptor number.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(C, align(128))]
pub struct FdRow {
    /// `generation:32 | 0:24 | state:8`. The generation stays when the row is freed: it is that of the last lifetime.
    pub state: AtomicU64,
    /// [`crate::record::FdArgs`].
    pub args: AtomicU64,
    /// Counter at the acquisition.
    pub acquired: AtomicU64,
    /// When it was last used, by a coarse clock: see [`crate::header::Control::use_clock`]. 0 = not since it was
    /// acquired, or uses are not stamped here ([`crate::header::FACT_USES`]).
    ///
    /// A use is a call of libc's read, write, send, recv, poll, select, epoll_wait, sendfile, splice,
    /// copy_file_range and accept families that succeeded (poll and select: what they report ready, of
    /// the first 64). Not seen: what libc does inside itself (streams, `dprintf`), system calls that do not
    /// go through these functions, io_uring, memory mappings ([`crate::record::FD_MAPPED`]).
    pub last_use: AtomicU64,
    /// Site row of the acquisition.
    pub site: AtomicU32,
    /// Stack of the last release of this number (for double close).
    pub released_by: AtomicU32,
    /// [`crate::record::FdHandle`] whose open file description this shares (itself, if it was not duplicated).
    pub description: AtomicU64,
    /// Address of the `FILE` or `DIR` that owns it, 0 = none.
    pub stream: AtomicU64,
    /// Thread of the last release.
    pub released_tid: AtomicU32,
    /// Operation of the acquisition.
    pub op: AtomicU32,
    /// Path, address: NUL-padded, as eight words.
    pub label: [AtomicU64; LABEL_BYTES / 8],
}

/// A thread that this process made.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(C, align(128))]
pub struct ThreadRow {
    /// As [`FdRow::state`].
    pub state: AtomicU64,
    /// Its `pthread_t`.
    pub pthread: AtomicU64,
    /// Counter at the creation.
    pub acquired: AtomicU64,
    /// Counter at its end, 0 = has not ended.
    pub ended: AtomicU64,
    /// Site row of the creation.
    pub site: AtomicU32,
    /// Kernel id, 0 = has not started yet.
    pub tid: AtomicU32,
    /// Address of the start routine.
    pub start: AtomicU64,
    /// Its argument.
    pub argument: AtomicU64,
    /// Operation it is blocked in (number), 0 = none. This and the next two are not written yet.
    pub blocked_op: AtomicU32,
    /// Thread that created it.
    pub creator: AtomicU32,
    /// Handle it is blocked on.
    pub blocked_on: AtomicU64,
    /// Counter when it began to block.
    pub blocked_since: AtomicU64,
    /// Kernel name, NUL-padded. Not written yet.
    pub name: [AtomicU64; 2],
    /// Not used yet.
    pub reserved: [AtomicU64; 4],
}

/// A child process.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(C, align(64))]
pub struct ChildRow {
    /// As [`FdRow::state`]: `Live` = not reaped.
    pub state: AtomicU64,
    /// Its pid.
    pub pid: AtomicU32,
    /// Site row of the fork.
    pub site: AtomicU32,
    /// Counter at the fork.
    pub acquired: AtomicU64,
    /// Fork sequence number of this region.
    pub fork: AtomicU32,
    /// Operation that made it.
    pub op: AtomicU32,
    /// Wait status when it was reaped.
    pub status: AtomicU32,
    /// Not used yet.
    pub reserved: AtomicU32,
    /// Not used yet.
    pub reserved2: [AtomicU64; 3],
}

/// A sampled (or, with mean 1, every) live heap block.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(C, align(8))]
pub struct HeapRow {
    /// Address of the block, 0 = free row.
    pub address: AtomicU64,
    /// Bytes asked for.
    pub size: AtomicU64,
    /// Counter at the allocation.
    pub acquired: AtomicU64,
    /// Site row.
    pub site: AtomicU32,
    /// How many blocks it stands for, in units of 1/256.
    pub weight: AtomicU32,
}

/// A live mapping, by start address. Approximate: the event stream decides.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(C, align(8))]
pub struct MappingRow {
    /// Start address, 0 = free row.
    pub address: AtomicU64,
    /// Length in bytes.
    pub length: AtomicU64,
    /// Counter when it was made.
    pub acquired: AtomicU64,
    /// `prot:8, flags:24, fd:32` as in the record.
    pub args: AtomicU64,
    /// Site row.
    pub site: AtomicU32,
    /// Not used yet.
    pub reserved: AtomicU32,
}

/// A live annotated resource.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(C, align(64))]
pub struct AnnotatedRow {
    /// As [`FdRow::state`].
    pub state: AtomicU64,
    /// The program's number.
    pub handle: AtomicU64,
    /// Counter at the acquisition.
    pub acquired: AtomicU64,
    /// Kind number.
    pub kind: AtomicU32,
    /// Site row.
    pub site: AtomicU32,
    /// State as the program named it, NUL-padded.
    pub named_state: [AtomicU64; 4],
    /// Label, NUL-padded.
    pub label: [AtomicU64; LABEL_BYTES / 8],
}

/// Name of a kind that the program brought.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct KindRow {
    /// UTF-8, NUL-padded; written once, word 0 last.
    pub name: [AtomicU64; 4],
}

/// A loaded module.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(C, align(64))]
pub struct ModuleRow {
    /// Lowest address of its image; 0 = row not complete.
    pub start: AtomicU64,
    /// One past its highest address.
    pub end: AtomicU64,
    /// What is added to its own addresses (`dlpi_addr`).
    pub bias: AtomicU64,
    /// Epoch (number of `dlclose` calls so far) from which it is known.
    pub epoch: AtomicU32,
    /// Bytes of the build id, at most 20.
    pub build_id_bytes: AtomicU32,
    /// Build id.
    pub build_id: [AtomicU64; 3],
    /// Inode of the file, 0 = not known. Not written yet.
    pub inode: AtomicU64,
    /// Path, NUL-padded, cut at the right; empty = the executable.
    pub path: [AtomicU64; 24],
}

/// Words of a [`CodeRow`]'s name.
pub const CODE_NAME_WORDS: usize = 12;

/// A function of a managed language whose frames were met: a code object of CPython, a method of Java.
///
/// Its name is copied once, at the first stack that it is in; from then on it may be gone, or another one
/// may stand at its address: that one has another key and another row.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(C, align(64))]
pub struct CodeRow {
    /// Hash of what tells it from every other function of this process; written last, 0 = row not complete.
    pub key: AtomicU64,
    /// Where the runtime keeps it: address of the code object, `jmethodID`.
    pub address: AtomicU64,
    /// Number of the [`Runtime`].
    pub runtime: AtomicU32,
    /// Line where it begins, 0 = not known.
    pub first_line: AtomicU32,
    /// Not used yet.
    pub reserved: AtomicU64,
    /// Qualified name (`Class.method`), NUL-padded; of a longer one the end.
    pub name: [AtomicU64; CODE_NAME_WORDS],
    /// Source file as the runtime names it, NUL-padded; of a longer path the end.
    pub file: [AtomicU64; 24],
}

/// Whose functions a [`CodeRow`] and a [`managed`] word tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Runtime {
    /// CPython.
    CPython = 1,
    /// A Java virtual machine.
    Java = 2,
}
impl Runtime {
    /// The runtime of a number.
    pub const fn from_number(number: u32) -> Option<Runtime> {
        match number {
            1 => Some(Runtime::CPython),
            2 => Some(Runtime::Java),
            _ => None,
        }
    }
}

/// Set in a stack's word that is no return address but a [`managed`] frame.
pub const FRAME_MANAGED: u64 = 1 << 63;
/// Highest line that a managed frame can name; a higher one is 0, not known.
pub const MOST_LINES: u32 = (1 << 24) - 1;
const FRAME_ENTRY: u64 = 1 << 62;

/// A frame of a managed language in a stack: `1 | entry:1 | 0:6 | line:24 | code row:32`.
///
/// `entry` marks the outermost one that the same activation of the interpreter's native loop runs: the
/// native frame of that loop stands for this frame and for those inside it, up to the next `entry`.
pub const fn managed(code: u32, line: u32, entry: bool) -> u64 {
    let line = if line > MOST_LINES { 0 } else { line as u64 };
    FRAME_MANAGED | (entry as u64) << 62 | line << 32 | code as u64
}
/// Code row, line (0 = not known) and `entry` of a word that has [`FRAME_MANAGED`].
pub const fn unpack_managed(word: u64) -> (u32, u32, bool) {
    (word as u32, (word >> 32) as u32 & MOST_LINES, word & FRAME_ENTRY != 0)
}

/// A stack in the stack table: this head (one 16-byte unit), then `frames` words, padded to a unit.
///
/// Frames are return addresses as found (the call is before them), innermost first; the epoch of
/// `dlclose` says which modules they are of. Behind them come [`managed`] frames, innermost first, where
/// the thread runs such code. Written once; `frames` is stored last, with release order.
///
/// Native frames inside an interpreter are no part of a stack's key if it has managed ones: an adaptive
/// interpreter comes to one line by several ways. Those of the first time are the ones that are kept.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct StackHead {
    /// Frames in the low 16 bits (0 = not complete); bit 16 = frames were left out between the inner
    /// three quarters and the outer quarter, bit 17 = cut short, bit 18 = ends in code without unwind data.
    pub frames: AtomicU32,
    /// Not used yet.
    pub reserved: AtomicU32,
    /// Hash of the frames that are part of the key.
    pub hash: AtomicU32,
    /// Epoch of `dlclose` when it was taken.
    pub epoch: AtomicU32,
}
/// Unit of the stack table.
pub const STACK_UNIT: usize = 16;
/// Flag of [`StackHead::frames`].
pub const STACK_FOLDED: u32 = 1 << 16;
/// Flag of [`StackHead::frames`].
pub const STACK_CUT: u32 = 1 << 17;
/// Flag of [`StackHead::frames`].
pub const STACK_NO_UNWIND_DATA: u32 = 1 << 18;

/// A failing call: how often, since failures come in storms.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(C, align(64))]
pub struct FailureRow {
    /// `op:16 | errno:16 | stack:32`, the operation in the highest bits; 0 = free row.
    pub key: AtomicU64,
    /// How often.
    pub count: AtomicU64,
    /// Counter at the first.
    pub first: AtomicU64,
    /// Counter at the last.
    pub last: AtomicU64,
    /// Kind number that was asked for.
    pub kind: AtomicU32,
    /// Not used yet.
    pub reserved: AtomicU32,
    /// Not used yet.
    pub reserved2: [AtomicU64; 3],
}

const _: () = {
    assert!(core::mem::size_of::<SiteRow>() == 512);
    assert!(core::mem::size_of::<FdRow>() == 128);
    assert!(core::mem::size_of::<ThreadRow>() == 128);
    assert!(core::mem::size_of::<ChildRow>() == 64);
    assert!(core::mem::size_of::<HeapRow>() == 32);
    assert!(core::mem::size_of::<MappingRow>() == 40);
    assert!(core::mem::size_of::<AnnotatedRow>() == 128);
    assert!(core::mem::size_of::<KindRow>() == 32);
    assert!(core::mem::size_of::<ModuleRow>() == 256);
    assert!(core::mem::size_of::<StackHead>() == STACK_UNIT);
    assert!(core::mem::size_of::<FailureRow>() == 64);
    assert!(core::mem::size_of::<CodeRow>() == 320);
};
