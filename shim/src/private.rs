//! What the shim knows of this process and keeps to itself.
//!
//! Nobody else can write here, so only from here come sizes, indices and loop bounds. All of it is
//! page-aligned and marked `MADV_WIPEONFORK`: a child of any kind of fork, the raw system call too,
//! finds zeros, which mean "nothing yet", and makes its own region. A vfork child shares it and is
//! told apart by its thread's `in_vfork`.

#![allow(unsafe_code, reason = "the static is defined in assembly")]

use crate::index::{FreeList, Index};
use crate::layout::{PAGE, RESERVE, rows};
use crate::stack::{Walks, apart};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Words of the map of promised pages.
const PAGE_WORDS: usize = RESERVE / PAGE / 64;
/// Shared chunks in use at once.
pub const SHARED_PLACES: usize = 8;
/// Frames of CPython that are kept in mind: a power of two.
pub const PYTHON_WORDS: usize = 4096;
/// Where the region stands.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    /// Nothing yet.
    None = 0,
    /// One thread makes it.
    Making = 1,
    /// It is there.
    Live = 2,
    /// It cannot be had: runs untracked.
    Refused = 3,
}

/// The state. See the module's documentation. What every process touches stands first, on few pages.
#[repr(C, align(4096))]
pub struct Private {
    /// A [`Status`].
    pub status: AtomicU32,
    /// Number of this incarnation; threads compare it with their own.
    pub incarnation: AtomicU32,
    /// Address of the region.
    pub base: AtomicUsize,
    /// Address of its table of descriptors, for the hooks of uses.
    pub use_rows: AtomicUsize,
    /// That table's rows below this may be touched by them; 0 = they are to look closer.
    pub use_end: AtomicU32,
    /// Children of vfork that run now: they share this, and their uses are not this process's.
    pub vforks: AtomicU32,
    /// Its id.
    pub region_id: AtomicU64,
    /// Process start, clock ticks since boot.
    pub start_ticks: AtomicU64,
    /// Process id.
    pub pid: AtomicU32,
    /// Events that came while the region was being made, or could not be.
    pub unseen: AtomicU64,
    /// Number of its layout.
    pub layout: AtomicU32,
    /// Whether the kernel may be asked about sockets: 0 = not known, 1 = yes, 2 = no.
    pub may_ask_sockets: AtomicU32,
    /// The region could not be had for want of a descriptor: to be tried again.
    pub may_come_later: AtomicU32,
    /// Bit a page: promised by the kernel.
    pub pages: [AtomicU64; PAGE_WORDS],
    /// Bytes promised.
    pub promised: AtomicU64,
    /// Bytes up to which the cgroup's headroom has been checked.
    pub headroom_checked: AtomicU64,
    /// Growth has been refused for good.
    pub no_growth: AtomicU32,
    /// Bytes that stand for this region in the quota page.
    pub accounted: AtomicU64,
    /// The quota leaves no room for the event history.
    pub no_chunks: AtomicU32,
    /// Chunks promised.
    pub chunks: AtomicU32,
    /// Chunks that may ever be promised.
    pub chunk_limit: AtomicU32,
    /// Threads that own a chunk, about.
    pub owners: AtomicU32,
    /// Where many threads write together.
    pub shared_places: [AtomicU32; SHARED_PLACES],
    /// Fill numbers that are not overwritten: from, to.
    pub frozen: [AtomicU64; 2],
    /// Bit a kind: its first shortage has frozen the ring.
    pub frozen_kinds: AtomicU64,
    /// Rows handed out of each dense table.
    pub used: [AtomicU32; 16],
    /// One more than the highest row that was ever in use, of each table.
    pub ends: [AtomicU32; 16],
    /// Heap blocks that may be in the index: bit by hash of the address.
    pub heap_filter: [AtomicU64; 512],
    /// Free rows.
    pub free_threads: FreeList<{ rows::THREADS }>,
    /// Free rows.
    pub free_children: FreeList<{ rows::CHILDREN }>,
    /// Free rows.
    pub free_heap: FreeList<{ rows::HEAP }>,
    /// Free rows.
    pub free_mappings: FreeList<{ rows::MAPPINGS }>,
    /// Free rows.
    pub free_annotated: FreeList<{ rows::ANNOTATED }>,
    /// Frames → stack id.
    pub stacks: Index<{ 1 << 17 }>,
    /// (stack, kind) → site.
    pub sites: Index<{ 1 << 14 }>,
    /// (operation, errno, stack) → failure row.
    pub failures: Index<{ 1 << 12 }>,
    /// Address → heap row.
    pub heap: Index<{ 1 << 18 }>,
    /// Address → mapping row.
    pub mappings: Index<{ 1 << 15 }>,
    /// (kind, handle) → annotated row.
    pub annotated: Index<{ 1 << 15 }>,
    /// `pthread_t` → thread row.
    pub threads: Index<{ 1 << 14 }>,
    /// pid → child row.
    pub children: Index<{ 1 << 14 }>,
    /// What tells a function of a managed language → its code row.
    pub codes: Index<{ 1 << 14 }>,
    /// Every block is recorded: every bit of the filter is set and stays set.
    pub heap_all: AtomicU32,
    /// How many live samples share a filter bit.
    pub heap_counts: [AtomicU32; 512 * 64],
    /// Start routine (0 = nobody is on the way), argument and asked stack size of threads that were made, by row.
    pub starts: [[AtomicUsize; 3]; rows::THREADS],
    /// Kinds that the program named: hash of the name.
    pub kind_hashes: [AtomicU64; 128],
    /// Kinds by their names: `hash: 56 | number: 8`, in the place that the hash says.
    pub kind_cache: [AtomicU64; 64],
    /// Java frames met before, by hash: check, word of a stack.
    pub java_words: [[AtomicU64; 2]; 4096],
    /// The same of CPython.
    pub python_words: [[AtomicU64; 2]; PYTHON_WORDS],
    /// The same in the order of walks.
    pub python_trails: [[AtomicU64; 2]; PYTHON_WORDS],
    /// Native stacks met before.
    pub walks: Walks,
}

apart! {
    /// The one instance.
    pub static PRIVATE: Private = "resshim_private";
}

impl Private {
    /// The region's status.
    #[inline(always)]
    pub fn status(&self) -> Status {
        match self.status.load(Ordering::Acquire) {
            0 => Status::None,
            1 => Status::Making,
            2 => Status::Live,
            _ => Status::Refused,
        }
    }
}
