//! The region: makes it, grows it, and hands out its rows and words.
//!
//! Safety rests on three rules. The mapping is never given back while the process lives (a fork
//! child keeps its parent's mapping and makes its own). Only steps whose bit is set in the private
//! map are touched, and a bit is set only after the kernel has promised the step: no `SIGBUS`.
//! Everything in a region is atomic words, so that whatever others scribble is a value, not a fault.
//!
//! What went wrong is a status and an index row, never an error of the traced program.
#![allow(unsafe_code, reason = "maps the region and makes references into it")]

use crate::config::Text;
use crate::private::{PRIVATE, RESERVE, STEP, Status, rows};
use crate::{start, sys};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use resshim_format::header::{
    CONTROL_OFFSET, Control, DIRECTORY_OFFSET, Header, MAGIC, STATES_OFFSET, STRINGS_END,
    STRINGS_OFFSET, Table, Tag, VERSION,
};
use resshim_format::index::{IndexEvent, REGION_SUFFIX};
use resshim_format::ring::writer::{Grow, Ring};
use resshim_format::ring::{CHUNK_BYTES, CHUNK_WORDS};
use resshim_format::table::{
    AnnotatedRow, ChildRow, FailureRow, FdRow, HeapRow, KindRow, MappingRow, ModuleRow, SiteRow,
    StackHead, TableType, ThreadRow,
};

/// Chunks there is room for in the reserve.
const CHUNKS: usize = 1024;
/// Chunks that are used without a look at the machine's memory.
const CHUNKS_UNASKED: u32 = 64;

/// A type of row: where its table lies.
pub trait Row: Sized {
    /// Index of the table in the directory.
    const TABLE: usize;
}

/// The tables in the order of the directory: type, row size, rows.
macro_rules! tables {
    ($($index:literal $row:ty, $kind:ident, $rows:expr;)*) => {
        $(impl Row for $row { const TABLE: usize = $index; })*
        const TABLES: &[(TableType, usize, usize)] =
            &[$((TableType::$kind, core::mem::size_of::<$row>(), $rows)),*];
    };
}
tables! {
    0 SiteRow, Sites, 8192;
    1 FdRow, Fds, 65536;
    2 StackHead, Stacks, 1 << 20;
    3 ModuleRow, Modules, 2048;
    4 ThreadRow, Threads, rows::THREADS;
    5 ChildRow, Children, rows::CHILDREN;
    6 FailureRow, Failures, 2048;
    7 KindRow, Kinds, 128;
    8 HeapRow, Heap, rows::HEAP;
    9 MappingRow, Mappings, rows::MAPPINGS;
    10 AnnotatedRow, Annotated, rows::ANNOTATED;
}

/// Where each table begins; the entry behind the last one is where the chunks do.
const OFFSETS: [usize; TABLES.len() + 1] = {
    let mut offsets = [0; TABLES.len() + 1];
    // Header, control, directory and chunk states come first.
    let mut at = (STATES_OFFSET + CHUNKS * 8).next_multiple_of(4096);
    let mut index = 0;
    while index < TABLES.len() {
        offsets[index] = at;
        at = (at + TABLES[index].1 * TABLES[index].2).next_multiple_of(4096);
        index += 1;
    }
    offsets[index] = at.next_multiple_of(STEP);
    offsets
};
const CHUNKS_OFFSET: usize = OFFSETS[TABLES.len()];
const _: () = assert!(CHUNKS_OFFSET + CHUNKS * CHUNK_BYTES <= RESERVE);
const _: () = assert!(CHUNK_BYTES == STEP);

/// A live region of this process. All methods are safe to call at any moment and from any thread.
#[derive(Clone, Copy)]
pub struct Region {
    base: *mut u8,
}

/// The region if there is one.
#[inline(always)]
pub fn live() -> Option<Region> {
    if PRIVATE.status() == Status::Live {
        return Some(Region { base: PRIVATE.base.load(Ordering::Relaxed) as *mut u8 });
    }
    None
}

/// The region; made now if there is none yet.
#[inline(always)]
pub fn get() -> Option<Region> {
    live().or_else(make)
}

#[cold]
fn make() -> Option<Region> {
    let none = Status::None as u32;
    let claimed = PRIVATE.status.compare_exchange(
        none,
        Status::Making as u32,
        Ordering::AcqRel,
        Ordering::Acquire,
    );
    if claimed.is_err() {
        // Another thread makes it (nobody waits), or it cannot be had.
        if PRIVATE.status() != Status::Live {
            PRIVATE.unseen.fetch_add(1, Ordering::Relaxed);
        }
        return live();
    }
    let status = if create().is_some() { Status::Live } else { Status::Refused };
    PRIVATE.status.store(status as u32, Ordering::Release);
    let region = live();
    if let Some(region) = region {
        crate::state::begin(region);
    }
    region
}

fn create() -> Option<()> {
    let identity = start::identity();
    let seen = start::settings();
    // SAFETY: `PRIVATE` is whole pages of our own zero-initialised memory. Where the kernel has no
    // such advice, only children of raw `clone` would be mistaken for their parent.
    let _ = unsafe {
        sys::wipe_on_fork((&raw const PRIVATE).cast_mut().cast(), core::mem::size_of_val(&PRIVATE))
    };
    let pid = sys::pid();
    let ticks = start::start_ticks();
    PRIVATE.pid.store(pid, Ordering::Relaxed);
    PRIVATE.start_ticks.store(ticks, Ordering::Relaxed);
    let id = identity.region_for(pid);
    PRIVATE.region_id.store(id, Ordering::Relaxed);

    let refuse = |errno: i32| {
        start::append_index(IndexEvent::Refused, 0, errno as u32);
        None
    };
    if sys::file_size_limit() < RESERVE as u64 {
        // A longer file would raise SIGXFSZ here; the index would too.
        return None;
    }
    let Some(directory) = start::directory() else { return refuse(libc::EACCES) };
    let mut name: Text<64> = Text::EMPTY;
    let _ = name.push_decimal(pid as u64)
        && name.push(b"-")
        && name.push_hex(id)
        && name.push(REGION_SUFFIX.as_bytes());
    let name = name.c_str()?;
    let base = {
        use rustix::fd::AsFd;
        let file = match sys::create(directory.as_fd(), name) {
            Ok(file) => file,
            Err(errno) => return refuse(errno.raw_os_error()),
        };
        // The lock lives as long as the mapping: who finds the file asks it whether its owner lives.
        let _ = sys::lock_shared(&file);
        let mapped =
            sys::set_length(&file, RESERVE as u64).and_then(|()| sys::map_shared(&file, RESERVE));
        match mapped {
            Ok(base) => base,
            Err(errno) => {
                let _ = sys::unlink(directory.as_fd(), name);
                return refuse(errno.raw_os_error());
            }
        }
    };
    PRIVATE.base.store(base.as_ptr() as usize, Ordering::Relaxed);
    let region = Region { base: base.as_ptr() };
    let head = CHUNKS_OFFSET.min(STATES_OFFSET + CHUNKS * 8);
    if !region.ensure(0, head) {
        // SAFETY: nobody has seen this mapping yet.
        unsafe { sys::unmap(base, RESERVE) };
        use rustix::fd::AsFd;
        let _ = sys::unlink(directory.as_fd(), name);
        return refuse(libc::ENOSPC);
    }
    let chunk_limit = match seen.ring_bytes {
        0 => CHUNKS as u32,
        bytes => (bytes / CHUNK_BYTES as u64).clamp(4, CHUNKS as u64) as u32,
    };
    PRIVATE.chunk_limit.store(chunk_limit, Ordering::Relaxed);
    PRIVATE.incarnation.store(start::next_incarnation(), Ordering::Relaxed);
    region.write_head(&identity, pid, ticks, id, chunk_limit);
    if identity.is_fork_child(pid) {
        start::append_index(IndexEvent::Child, id, 0);
    }
    Some(())
}

impl Region {
    /// Whether `bytes` at `offset` may be touched; has the kernel promise them if not yet.
    #[inline(always)]
    fn ensure(self, offset: usize, bytes: usize) -> bool {
        let first = offset / STEP;
        let last = (offset + bytes - 1) / STEP;
        if first == last { self.step(first) } else { (first..=last).all(|step| self.step(step)) }
    }

    #[inline(always)]
    fn step(self, step: usize) -> bool {
        let Some(word) = PRIVATE.steps.get(step / 64) else { return false };
        let bit = 1 << (step % 64);
        word.load(Ordering::Acquire) & bit != 0 || self.promise(step, word, bit)
    }

    #[cold]
    fn promise(self, step: usize, word: &AtomicU64, bit: u64) -> bool {
        if PRIVATE.no_growth.load(Ordering::Relaxed) != 0 {
            return false;
        }
        let refusal = if !crate::headroom::allows(PRIVATE.promised.load(Ordering::Relaxed)) {
            2
        } else {
            // SAFETY: `step` is inside the reserve: its bit is in the map.
            let promised = unsafe { sys::populate(self.base.add(step * STEP), STEP) };
            u32::from(promised.is_err())
        };
        if refusal != 0 {
            PRIVATE.no_growth.store(refusal, Ordering::Relaxed);
            if PRIVATE.steps[0].load(Ordering::Relaxed) & 1 != 0 {
                self.header().growth_refused.fetch_or(refusal, Ordering::Relaxed);
            }
            return false;
        }
        if word.fetch_or(bit, Ordering::AcqRel) & bit == 0 {
            PRIVATE.promised.fetch_add(STEP as u64, Ordering::Relaxed);
        }
        true
    }

    /// A row of a table; `None` beyond its end, or where the region cannot grow.
    #[inline(always)]
    pub fn row<T: Row>(self, index: u32) -> Option<&'static T> {
        let (_, bytes, rows) = *TABLES.get(T::TABLE)?;
        let start = *OFFSETS.get(T::TABLE)?;
        if index as usize >= rows {
            return None;
        }
        let offset = start + index as usize * bytes;
        if !self.ensure(offset, bytes) {
            return None;
        }
        // SAFETY: inside the mapping by the constants, promised by `ensure`, aligned since tables
        // begin at pages and rows are multiples of their alignment; `T` is atomic words.
        Some(unsafe { &*self.base.add(offset).cast::<T>() })
    }

    /// Takes the next row of a dense table.
    pub fn next_row<T: Row>(self) -> Option<(u32, &'static T)> {
        let used = PRIVATE.used.get(T::TABLE)?;
        // Row 0 means none.
        let index = used.fetch_add(1, Ordering::Relaxed) + 1;
        let row = self.row::<T>(index);
        if row.is_none() {
            used.fetch_sub(1, Ordering::Relaxed);
        }
        self.note_used::<T>(index + 1, row.is_none());
        Some((index, row?))
    }

    /// Says in the directory that rows below `end` may be in use.
    pub fn note_used<T: Row>(self, end: u32, refused: bool) {
        let table = self.table(T::TABLE);
        if refused {
            table.refused.fetch_add(1, Ordering::Relaxed);
            self.header().untracked.fetch_add(1, Ordering::Relaxed);
        } else if table.used.load(Ordering::Relaxed) < end {
            table.used.fetch_max(end, Ordering::Relaxed);
            table.populated.fetch_max(end, Ordering::Relaxed);
        }
    }

    /// One more than the highest row that may be in use; by the private count for loops over rows.
    pub fn used<T: Row>(self) -> u32 {
        let (_, _, rows) = TABLES.get(T::TABLE).copied().unwrap_or((TableType::Sites, 0, 0));
        // A word that others can write: only a bound, cut to the constant.
        self.table(T::TABLE).used.load(Ordering::Relaxed).min(rows as u32)
    }

    /// Words of the stack table: `units` 16-byte units from `unit` on.
    pub fn stack_words(self, unit: u32, units: u32) -> Option<&'static [AtomicU64]> {
        let start = *OFFSETS.get(<StackHead as Row>::TABLE)?;
        let (_, bytes, rows) = *TABLES.get(<StackHead as Row>::TABLE)?;
        let end = (unit as usize).checked_add(units as usize)?;
        if end > rows || units == 0 {
            return None;
        }
        let offset = start + unit as usize * bytes;
        if !self.ensure(offset, units as usize * bytes) {
            return None;
        }
        // SAFETY: as in `row`.
        Some(unsafe {
            core::slice::from_raw_parts(self.base.add(offset).cast(), units as usize * bytes / 8)
        })
    }

    /// The header; its promise is the first thing that is made sure of.
    #[inline(always)]
    pub fn header(self) -> &'static Header {
        // SAFETY: page 0 is promised before a `Region` is handed out; see the module's rules. The
        // fields that are not atomic are written once, before the first reference to them is made.
        unsafe { &*self.base.cast::<Header>() }
    }

    /// The control page.
    #[inline(always)]
    pub fn control(self) -> &'static Control {
        // SAFETY: as in `header`; all fields are atomic.
        unsafe { &*self.base.add(CONTROL_OFFSET).cast::<Control>() }
    }

    fn table(self, index: usize) -> &'static Table {
        let index = index.min(TABLES.len() - 1);
        // SAFETY: as in `header`.
        unsafe { &*self.base.add(DIRECTORY_OFFSET).cast::<Table>().add(index) }
    }

    /// The chunks.
    #[inline(always)]
    pub fn ring(self) -> Ring<'static> {
        let limit = (PRIVATE.chunk_limit.load(Ordering::Relaxed) as usize).min(CHUNKS);
        // SAFETY: inside the mapping; the ring touches states (promised with the header) and the
        // words of chunks below `Grow::populated`, which are promised one by one.
        let (states, words) = unsafe {
            let states = core::slice::from_raw_parts(self.base.add(STATES_OFFSET).cast(), limit);
            let words = core::slice::from_raw_parts(
                self.base.add(CHUNKS_OFFSET).cast(),
                limit * CHUNK_WORDS,
            );
            (states, words)
        };
        Ring {
            states,
            words,
            next_fill: &self.control().next_fill,
            overwritten: &self.header().overwritten_chunks,
            frozen: (
                PRIVATE.frozen[0].load(Ordering::Relaxed),
                PRIVATE.frozen[1].load(Ordering::Relaxed),
            ),
        }
    }

    fn write_head(self, identity: &start::Identity, pid: u32, ticks: u64, id: u64, chunks: u32) {
        for (index, (kind, bytes, rows)) in TABLES.iter().enumerate() {
            let table = Table {
                kind: *kind as u32,
                row_bytes: *bytes as u32,
                capacity: *rows as u32,
                populated: AtomicU32::new(0),
                offset: OFFSETS[index] as u64,
                used: AtomicU32::new(0),
                refused: AtomicU32::new(0),
            };
            // SAFETY: inside the promised head; nobody reads before the magic is there.
            unsafe { self.base.add(DIRECTORY_OFFSET).cast::<Table>().add(index).write(table) };
        }
        let settings = start::settings();
        let control = self.control();
        for (to, from) in control.levels.iter().zip(settings.levels) {
            to.store(from, Ordering::Relaxed);
        }
        control.heap_mean.store(settings.heap_mean, Ordering::Relaxed);
        control.next_fill.store(1, Ordering::Relaxed);
        self.write_strings(settings);
        let header = self.base.cast::<Header>();
        // SAFETY: as above; fields are written one by one since the rest is zero already.
        unsafe {
            macro_rules! put {
                ($($field:ident = $value:expr;)*) => { $((&raw mut (*header).$field).write($value);)* };
            }
            put! {
                version = VERSION;
                header_bytes = core::mem::size_of::<Header>() as u32;
                region_id = id;
                parent_region = identity.parent_region(pid);
                parent_fork = identity.parent_fork(pid);
                pid = pid;
                parent_pid = sys::parent_pid();
                image = 1;
                start_ticks = ticks;
                start_tsc = sys::counter();
                start_monotonic_ns = sys::monotonic_ns();
                start_realtime_ns = sys::realtime_ns();
                reserve_bytes = RESERVE as u32;
                chunks_offset = CHUNKS_OFFSET as u32;
                chunk_bytes = CHUNK_BYTES as u32;
                chunk_limit = chunks;
                euid = sys::euid();
                heap_mean = settings.heap_mean;
                limit_nofile = sys::limit(rustix::process::Resource::Nofile);
                limit_nproc = sys::limit(rustix::process::Resource::Nproc);
            }
        }
        self.header().magic.store(MAGIC, Ordering::Release);
    }

    /// Adds a string to the header; what does not fit is left out.
    fn write_strings(self, settings: &crate::config::Config) {
        let mut at = STRINGS_OFFSET;
        start::strings(settings, |tag: Tag, bytes: &[u8]| {
            let bytes = bytes.get(..1024).unwrap_or(bytes);
            if at + 4 + bytes.len() + 4 > STRINGS_END {
                return;
            }
            // SAFETY: between `STRINGS_OFFSET` and `STRINGS_END` in the promised header page.
            unsafe {
                let to = self.base.add(at);
                to.cast::<[u8; 2]>().write((tag as u16).to_le_bytes());
                to.add(2).cast::<[u8; 2]>().write((bytes.len() as u16).to_le_bytes());
                to.add(4).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            }
            at += 4 + bytes.len();
        });
    }
}

impl Grow for Region {
    fn populated(&self) -> usize {
        PRIVATE.chunks.load(Ordering::Acquire) as usize
    }

    fn grow(&self) -> bool {
        let now = PRIVATE.chunks.load(Ordering::Acquire);
        if now >= PRIVATE.chunk_limit.load(Ordering::Relaxed) {
            return false;
        }
        if now == CHUNKS_UNASKED && start::settings().ring_bytes == 0 {
            let limit = (crate::headroom::ring_bytes() / CHUNK_BYTES as u64) as u32;
            let limit = limit.clamp(CHUNKS_UNASKED, CHUNKS as u32);
            PRIVATE.chunk_limit.fetch_min(limit, Ordering::Relaxed);
            if now >= limit {
                return false;
            }
        }
        if !self.ensure(CHUNKS_OFFSET + now as usize * CHUNK_BYTES, CHUNK_BYTES) {
            return false;
        }
        let grown =
            PRIVATE.chunks.compare_exchange(now, now + 1, Ordering::AcqRel, Ordering::Relaxed);
        if grown.is_ok() {
            self.header().chunks_populated.fetch_max(now + 1, Ordering::Relaxed);
        }
        true
    }
}
