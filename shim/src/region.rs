//! The region: makes it, grows it, and hands out its rows and words.
//!
//! Safety rests on three rules. The mapping is never given back while the process lives (a fork
//! child keeps its parent's mapping and makes its own). Only pages whose bit is set in the private
//! map are touched, and a bit is set only after the kernel has promised the page: no `SIGBUS`.
//! Everything in a region is atomic words, so that whatever others scribble is a value, not a fault.
//!
//! What is read back is never more than a value: indices, bounds and sizes come from the layout's
//! constants and from the private state.
#![allow(unsafe_code, reason = "maps the region and makes references into it")]

mod make;

pub use make::file_name;

use crate::layout::{Layout, PAGE, Row, TABLES};
use crate::private::{PRIVATE, Status};
use crate::{layout, quota, start, sys};
use core::ffi::c_int;
use core::sync::atomic::{AtomicU64, Ordering};
use resshim_format::header::{
    CONTROL_OFFSET, Control, DIRECTORY_OFFSET, Header, STATES_OFFSET, Table,
};
use resshim_format::ring::writer::{Grow, Ring};
use resshim_format::ring::{CHUNK_BYTES, CHUNK_WORDS};
use resshim_format::table::{FdRow, STACK_UNIT, StackHead};

/// Chunks that are used without a look at the machine's memory.
const CHUNKS_UNASKED: u32 = 64;

/// Pages that are promised at once where a table grows on.
const PAGES_AT_ONCE: usize = 4;

/// Whether the kernel has promised a page.
#[inline(always)]
fn has(page: usize) -> bool {
    PRIVATE
        .pages
        .get(page / 64)
        .is_some_and(|word| word.load(Ordering::Acquire) & 1 << (page % 64) != 0)
}

/// A live region of this process. All methods are safe to call at any moment and from any thread.
#[derive(Clone, Copy)]
pub struct Region {
    base: *mut u8,
    layout: &'static Layout,
}

/// The region if there is one.
#[inline(always)]
pub fn live() -> Option<Region> {
    if PRIVATE.status() == Status::Live {
        let layout = layout::numbered(PRIVATE.layout.load(Ordering::Relaxed));
        return Some(Region { base: PRIVATE.base.load(Ordering::Relaxed) as *mut u8, layout });
    }
    None
}

/// Whether this image, or the one it was forked from, ever made a region. Until then nothing stands in
/// the private state, and whoever only wants to know that need not touch its page.
pub fn was_made() -> bool {
    make::WAS_BEGUN.load(Ordering::Relaxed) != 0
}

/// The region; made now if there is none yet.
#[inline(always)]
pub fn get() -> Option<Region> {
    live().or_else(make::make)
}

/// The row of `fd` and the clock of uses, without a look at anything else: where there is a region, the row
/// has been promised, and uses are this process's.
#[inline(always)]
pub fn use_row(fd: c_int) -> Option<(&'static FdRow, u64)> {
    if fd as u32 >= PRIVATE.use_end.load(Ordering::Acquire) {
        return None;
    }
    let rows = PRIVATE.use_rows.load(Ordering::Relaxed) as *const FdRow;
    // SAFETY: `use_end` is above 0 only where `use_rows` is the table of descriptors of a live region, which
    // stays mapped; rows below it are promised, and so is the control page.
    unsafe {
        let control = rows.cast::<u8>().sub(layout::FDS_OFFSET - CONTROL_OFFSET).cast::<Control>();
        Some((&*rows.add(fd as usize), (*control).use_clock.load(Ordering::Relaxed)))
    }
}

impl Region {
    /// Whether `bytes` at `offset` may be touched; has the kernel promise them if not yet.
    #[inline(always)]
    fn ensure(self, offset: usize, bytes: usize) -> bool {
        self.is_promised(offset, bytes) || self.promise_rows(offset, bytes)
    }

    /// Whether `bytes` at `offset` may be touched.
    #[inline(always)]
    fn is_promised(self, offset: usize, bytes: usize) -> bool {
        let first = offset / PAGE;
        let last = (offset + bytes - 1) / PAGE;
        if first == last { has(first) } else { (first..=last).all(has) }
    }

    #[cold]
    #[inline(never)]
    fn promise_rows(self, offset: usize, bytes: usize) -> bool {
        let first = offset / PAGE;
        let mut count = (offset + bytes - 1) / PAGE - first + 1;
        // A table that grows on has more to come; one with a few rows keeps to its page.
        if first > 0 && has(first - 1) {
            count = count.max(PAGES_AT_ONCE).min(self.layout.reserve / PAGE - first);
        }
        self.promise(first, count)
    }

    /// Has the kernel promise `count` pages from `first` on.
    fn promise(self, first: usize, count: usize) -> bool {
        if PRIVATE.no_growth.load(Ordering::Relaxed) != 0
            || first + count > self.layout.reserve / PAGE
        {
            return false;
        }
        let promised = PRIVATE.promised.load(Ordering::Relaxed);
        let refusal = if crate::seal::is_sealed() {
            8
        } else if crate::headroom::allows(promised) {
            // SAFETY: inside the reserve.
            let done = unsafe { sys::populate(self.base.add(first * PAGE), count * PAGE) };
            u32::from(done.is_err())
        } else {
            2
        };
        if refusal != 0 {
            PRIVATE.no_growth.store(refusal, Ordering::Relaxed);
            self.note_refusal(refusal);
            return false;
        }
        self.note_promised(first, count);
        true
    }

    /// The kernel has promised these pages.
    fn note_promised(self, first: usize, count: usize) {
        let mut new = 0;
        for page in first..first + count {
            let Some(word) = PRIVATE.pages.get(page / 64) else { return };
            let bit = 1 << (page % 64);
            new += u64::from(word.fetch_or(bit, Ordering::AcqRel) & bit == 0);
        }
        let promised = PRIVATE.promised.fetch_add(new * PAGE as u64, Ordering::Relaxed);
        quota::grown(promised + new * PAGE as u64);
    }

    /// Has the kernel promise the first pages of every table, while it may be asked.
    pub fn reserve_rows(self) {
        let offsets = &self.layout.offsets;
        for (start, next) in offsets.iter().zip(offsets.iter().skip(1)) {
            let count = ((next - start) / PAGE).min(PAGES_AT_ONCE);
            if !self.promise(start / PAGE, count) {
                return;
            }
        }
    }

    /// Says in the header why the region does not grow.
    pub fn note_refusal(self, refusal: u32) {
        if has(0) {
            self.header().growth_refused.fetch_or(refusal, Ordering::Relaxed);
        }
    }

    /// Offset of a row; `None` beyond the end of its table.
    #[inline(always)]
    fn offset_of<T: Row>(self, index: u32) -> Option<usize> {
        let rows = *self.layout.rows.get(T::TABLE)?;
        let start = *self.layout.offsets.get(T::TABLE)?;
        if index as usize >= rows { None } else { Some(start + index as usize * size_of::<T>()) }
    }

    /// # Safety
    /// `offset` is a row's, and promised.
    #[inline(always)]
    unsafe fn at<T: Row>(self, offset: usize) -> &'static T {
        // SAFETY: inside the mapping by the layout, promised, aligned since tables begin at pages and
        // rows are multiples of their alignment; `T` is atomic words.
        unsafe { &*self.base.add(offset).cast::<T>() }
    }

    /// A row that was made before; `None` where none ever was, or beyond the end of the table. The
    /// index may be one that was read from the region: looking makes nothing grow.
    #[inline(always)]
    pub fn row<T: Row>(self, index: u32) -> Option<&'static T> {
        let offset = self.offset_of::<T>(index)?;
        // SAFETY: promised.
        self.is_promised(offset, size_of::<T>()).then(|| unsafe { self.at(offset) })
    }

    /// A row for something new; `None` beyond the end of the table, or where the region cannot grow.
    #[inline(always)]
    pub fn make_row<T: Row>(self, index: u32) -> Option<&'static T> {
        let offset = self.offset_of::<T>(index)?;
        // SAFETY: promised.
        self.ensure(offset, size_of::<T>()).then(|| unsafe { self.at(offset) })
    }

    /// Whether three quarters of a dense table's rows are taken.
    #[inline(always)]
    pub fn is_nearly_full<T: Row>(self) -> bool {
        let rows = self.layout.rows.get(T::TABLE).copied().unwrap_or(0);
        let used = PRIVATE.used.get(T::TABLE).map_or(0, |used| used.load(Ordering::Relaxed));
        used as usize >= rows - rows / 4
    }

    /// Takes the next row of a dense table.
    pub fn next_row<T: Row>(self) -> Option<(u32, &'static T)> {
        let used = PRIVATE.used.get(T::TABLE)?;
        // Row 0 means none.
        let index = used.fetch_add(1, Ordering::Relaxed) + 1;
        let row = self.make_row::<T>(index);
        if row.is_none() {
            used.fetch_sub(1, Ordering::Relaxed);
        }
        self.note_used::<T>(index + 1, row.is_none());
        Some((index, row?))
    }

    /// Says in the directory that rows below `end` may be in use.
    #[inline(always)]
    pub fn note_used<T: Row>(self, end: u32, refused: bool) {
        let Some(known) = PRIVATE.ends.get(T::TABLE) else { return };
        if refused {
            self.table(T::TABLE).refused.fetch_add(1, Ordering::Relaxed);
            self.header().untracked.fetch_add(1, Ordering::Relaxed);
        } else if known.load(Ordering::Relaxed) < end {
            known.fetch_max(end, Ordering::Relaxed);
            let table = self.table(T::TABLE);
            table.used.fetch_max(end, Ordering::Relaxed);
            table.populated.fetch_max(end, Ordering::Relaxed);
        }
    }

    /// One more than the highest row that may be in use: the bound of loops over rows.
    pub fn used<T: Row>(self) -> u32 {
        PRIVATE.ends.get(T::TABLE).map_or(0, |end| end.load(Ordering::Relaxed))
    }

    /// Words of the stack table for a stack to come: `units` 16-byte units from `unit` on.
    pub fn make_stack_words(self, unit: u32, units: u32) -> Option<&'static [AtomicU64]> {
        let (offset, bytes) = self.stack_place(unit, units)?;
        // SAFETY: promised.
        self.ensure(offset, bytes).then(|| unsafe { self.words(offset, bytes) })
    }

    fn stack_place(self, unit: u32, units: u32) -> Option<(usize, usize)> {
        let start = *self.layout.offsets.get(<StackHead as Row>::TABLE)?;
        let rows = *self.layout.rows.get(<StackHead as Row>::TABLE)?;
        let end = (unit as usize).checked_add(units as usize)?;
        if end > rows || units == 0 {
            return None;
        }
        Some((start + unit as usize * STACK_UNIT, units as usize * STACK_UNIT))
    }

    /// # Safety
    /// Both are multiples of eight, inside the mapping, and promised.
    unsafe fn words(self, offset: usize, bytes: usize) -> &'static [AtomicU64] {
        // SAFETY: by the caller's promise.
        unsafe { core::slice::from_raw_parts(self.base.add(offset).cast(), bytes / 8) }
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

    /// Address of the first row of descriptors.
    pub fn fd_rows(self) -> usize {
        self.base as usize + layout::FDS_OFFSET
    }

    /// The words of all chunks; only those of a thread's own chunk may be touched.
    #[inline(always)]
    pub fn chunk_words(self) -> &'static [AtomicU64] {
        let limit = (PRIVATE.chunk_limit.load(Ordering::Relaxed) as usize).min(self.layout.chunks);
        // SAFETY: inside the mapping; whoever has a chunk has it from `ring`, after its promise.
        unsafe {
            core::slice::from_raw_parts(
                self.base.add(self.layout.chunks_offset()).cast(),
                limit * CHUNK_WORDS,
            )
        }
    }

    /// The chunks.
    #[inline(always)]
    pub fn ring(self) -> Ring<'static> {
        let words = self.chunk_words();
        // SAFETY: inside the mapping, promised with the header. The ring touches the words of chunks
        // below `Grow::populated`, which are promised one by one.
        let states = unsafe {
            core::slice::from_raw_parts(
                self.base.add(STATES_OFFSET).cast(),
                words.len() / CHUNK_WORDS,
            )
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
}

impl Grow for Region {
    fn populated(&self) -> usize {
        PRIVATE.chunks.load(Ordering::Acquire) as usize
    }

    fn grow(&self) -> bool {
        let now = PRIVATE.chunks.load(Ordering::Acquire);
        if now >= PRIVATE.chunk_limit.load(Ordering::Relaxed) || !quota::allows_chunks() {
            return false;
        }
        if now == CHUNKS_UNASKED && start::settings().ring_bytes == 0 {
            let limit = (crate::headroom::ring_bytes() / CHUNK_BYTES as u64) as u32;
            let limit = limit.clamp(CHUNKS_UNASKED, self.layout.chunks as u32);
            PRIVATE.chunk_limit.fetch_min(limit, Ordering::Relaxed);
            if now >= limit {
                return false;
            }
        }
        let first = self.layout.chunks_offset() / PAGE + now as usize * (CHUNK_BYTES / PAGE);
        if !self.promise(first, CHUNK_BYTES / PAGE) {
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
