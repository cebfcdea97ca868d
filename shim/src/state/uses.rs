//! Uses of descriptors: a row knows when its descriptor was last used, whether its other end is gone, and
//! a use of a number at which nothing is open is an event.
//!
//! What happens millions of times a second may cost next to nothing: no record, no look at the counter. A use
//! stores the region's coarse clock into the row, and does so in a few instructions of its hook (see
//! [`crate::hooks::uses`]), for rows below `use_end`; everything else comes here. Events move the clock on,
//! waits that end without result (now and then), and a collector.
//!
//! Nothing here makes a region, and nothing is noted for a child of vfork.

use super::{failures, fds};
use crate::emit::{self, Inside};
use crate::private::PRIVATE;
use crate::region::{self, Region};
use crate::{real, stack, start, sys, tls};
use core::ffi::c_int;
use core::sync::atomic::Ordering;
use resshim_format::header::{FACT_USES, Level, USE_CLOCK_STEP};
use resshim_format::op::{Kind, Op};
use resshim_format::record::{FD_EOF, FD_MAPPED, FdArgs, FdHandle};
use resshim_format::table::{FdRow, RowState, generation};

/// Of so many waits without result of one thread, one looks at the counter.
const LOOKS: u32 = 16;
/// Rows of a page.
const ROWS_AT_ONCE: u32 = (crate::layout::PAGE / size_of::<FdRow>()) as u32;

/// A region was made: from now on uses are stamped, if they are to be.
pub fn begin(region: Region) {
    if !start::settings().has_uses {
        return;
    }
    region.control().use_clock.store(sys::counter(), Ordering::Relaxed);
    region.header().facts.fetch_or(FACT_USES, Ordering::Relaxed);
    PRIVATE.use_rows.store(region.fd_rows(), Ordering::Release);
    extend(region);
}

/// A row was made for `fd`: the hooks may touch it from now on, if those before it are there too.
#[inline(always)]
pub fn covers(region: Region, fd: c_int) {
    if fd as u32 >= PRIVATE.use_end.load(Ordering::Relaxed) {
        extend(region);
    }
}

#[cold]
#[inline(never)]
fn extend(region: Region) {
    if !start::settings().has_uses || PRIVATE.use_rows.load(Ordering::Acquire) == 0 {
        return;
    }
    let mut end = PRIVATE.use_end.load(Ordering::Relaxed);
    while region.row::<FdRow>(end).is_some() {
        end += ROWS_AT_ONCE;
    }
    PRIVATE.use_end.store(end, Ordering::Release);
    if PRIVATE.vforks.load(Ordering::SeqCst) != 0 {
        PRIVATE.use_end.store(0, Ordering::Release);
    }
}

/// A child of vfork is about to be made: it shares the private state, and its uses are not this process's.
pub fn pause() {
    PRIVATE.vforks.fetch_add(1, Ordering::SeqCst);
    PRIVATE.use_end.store(0, Ordering::Release);
}

/// The child has its own memory now, or is gone.
pub fn resume() {
    if PRIVATE.vforks.fetch_sub(1, Ordering::SeqCst) == 1
        && let Some(region) = region::live()
    {
        extend(region);
    }
}

/// Moves the clock on, if it is time.
#[inline(always)]
pub fn tick(region: Region, now: u64) {
    let clock = region.control().use_clock.load(Ordering::Relaxed);
    if now.wrapping_sub(clock) as i64 > USE_CLOCK_STEP as i64 {
        step(region, clock, now);
    }
}

#[cold]
#[inline(never)]
fn step(region: Region, before: u64, now: u64) {
    if start::settings().has_uses {
        region.control().use_clock.store(now, Ordering::Relaxed);
        if before != 0 {
            region.header().use_clock_gap.fetch_max(now.wrapping_sub(before), Ordering::Relaxed);
        }
    }
}

/// The region, where this thread's uses are to be noted in it.
#[inline(always)]
fn noted() -> Option<Region> {
    if tls::is_in_vfork() || !start::has_started() || !start::settings().has_uses {
        return None;
    }
    region::live()
}

/// `fd` was used.
#[inline(always)]
pub fn used(fd: c_int) {
    match region::use_row(fd) {
        Some((row, clock)) => put(row, clock),
        None => used_elsewhere(fd),
    }
}

#[cold]
#[inline(never)]
fn used_elsewhere(fd: c_int) {
    if let Some(region) = noted() {
        stamp(region, fd);
    }
}

#[inline(always)]
fn put(row: &FdRow, clock: u64) {
    // A descriptor that many threads use is written to once a step of the clock, not at each use.
    if row.last_use.load(Ordering::Relaxed) != clock {
        row.last_use.store(clock, Ordering::Relaxed);
    }
}

/// `fd` was used, in a process whose region this is.
pub fn stamp(region: Region, fd: c_int) {
    if let Some(row) = fds::row(region, fd) {
        put(row, region.control().use_clock.load(Ordering::Relaxed));
    }
}

/// A wait has ended without result: there is time to look at the clock.
#[cold]
#[inline(never)]
pub fn waited() {
    if tls::counts_wait().is_multiple_of(LOOKS)
        && let Some(region) = noted()
    {
        tick(region, sys::counter());
    }
}

/// A read of `fd` that asked for something gave nothing.
#[cold]
#[inline(never)]
pub fn ended(fd: c_int) {
    let Some(region) = noted() else { return };
    let Some(row) = fds::row(region, fd) else { return };
    let args = FdArgs::unpack(row.args.load(Ordering::Relaxed));
    if args.bits & FD_EOF != 0 || !ends(row, args) {
        stamp(region, fd);
        return;
    }
    row.args.fetch_or((FD_EOF as u64) << 8, Ordering::Relaxed);
    // Nothing will come any more: when that was is worth a look at the counter.
    let now = sys::counter();
    let clock = region.control().use_clock.load(Ordering::Relaxed);
    if now > clock {
        // Every stamp was the clock once.
        step(region, clock, now);
    }
    row.last_use.store(now, Ordering::Relaxed);
}

/// Whether nothing means the end: not for a file, which may grow, nor where it may be an empty message.
fn ends(row: &FdRow, args: FdArgs) -> bool {
    match Kind::from_number(args.kind as u32) {
        Some(Kind::Tcp | Kind::Pipe | Kind::Fifo) => true,
        Some(Kind::Unix) => {
            let is_accepted = row.op.load(Ordering::Relaxed) == Op::Accept.number() as u32;
            is_accepted || args.flags & 0xf == libc::SOCK_STREAM as u32
        }
        _ => false,
    }
}

/// `fd` was mapped into memory.
pub fn mapped(inside: &Inside, fd: c_int) {
    if let Some(row) = fds::row(inside.region, fd) {
        row.args.fetch_or((FD_MAPPED as u64) << 8, Ordering::Relaxed);
    }
}

/// A use of `fd` has failed.
#[cold]
#[inline(never)]
pub fn failed(op: Op, fd: c_int) {
    match real::errno() {
        libc::EBADF => bad(op, fd),
        libc::EAGAIN => waited(),
        _ => {}
    }
}

/// Whether messages by `fd` can carry descriptors: not where it is known to be no local socket.
pub fn can_carry(fd: c_int) -> bool {
    let kind = region::live().and_then(|region| fds::kind(region, fd));
    !matches!(kind, Some(Kind::Tcp | Kind::Udp | Kind::Netlink))
}

/// Whether what was last seen at `fd` was released.
pub fn is_released(fd: c_int) -> bool {
    let row = region::live().and_then(|region| fds::row(region, fd));
    let state = row.map_or(0, |row| row.state.load(Ordering::Acquire));
    RowState::from_word(state) == RowState::Free && generation(state) != 0
}

/// The kernel says that nothing is open at `fd`.
#[cold]
#[inline(never)]
pub fn bad(op: Op, fd: c_int) {
    if fd < 0 {
        return;
    }
    let Some(inside) = emit::enter_live(stack::here()) else { return };
    let row = fds::row(inside.region, fd);
    let state = row.map_or(0, |row| row.state.load(Ordering::Acquire));
    let kind = row.map_or(0, |row| FdArgs::unpack(row.args.load(Ordering::Relaxed)).kind);
    let kind = Kind::from_number(kind as u32).unwrap_or(Kind::File);
    // What is open for reading alone gives the same error when it is written to.
    let is_open = matches!(RowState::from_word(state), RowState::Live | RowState::Claimed);
    if !is_open && inside.level(kind) != Level::Off {
        let last = FdHandle { number: fd as u32, generation: generation(state) };
        failures::failed_with(&inside, libc::EBADF, op, kind, [last.pack(), 0], &[]);
    }
    inside.leave();
}
