//! Descriptors: one row a number, exact at every moment.
//!
//! Order of updates: the kernel gives a number to another thread the moment it is free. So an
//! acquisition is written after the real call, and a release is decided before it: the row goes to
//! `Closing` with the generation that was read, and after the call exactly that generation is
//! released, whatever stands in the row by then. A thread that never comes back from the real call
//! leaves `Closing`: unknown, never a leak.

use super::{failures, put_text, sites, uses};
use crate::emit::Inside;
use crate::private::PRIVATE;
use crate::region::Region;
use crate::{seal, start, sys};
use core::ffi::c_int;
use core::sync::atomic::Ordering;
use resshim_format::header::{FACT_CENSUS, Level};
use resshim_format::op::{Kind, Op};
use resshim_format::record::{
    FD_CLOEXEC, FD_INHERITED, FD_NONBLOCK, FD_STREAM, FD_WATCHED, FdArgs, FdHandle,
};
use resshim_format::table::{FdRow, LABEL_BYTES, RowState, generation};

/// A descriptor that a call gave.
pub struct Acquired<'a> {
    /// Operation.
    pub op: Op,
    /// Kind, from the arguments alone.
    pub kind: Kind,
    /// [`FdArgs::bits`].
    pub bits: u8,
    /// [`FdArgs::mode`].
    pub mode: u16,
    /// [`FdArgs::flags`].
    pub flags: u32,
    /// Where it came from: the listener, the other end, the source of a duplicate.
    pub origin: Option<c_int>,
    /// `FILE` or `DIR` that owns it.
    pub stream: usize,
    /// Path, address.
    pub label: &'a [u8],
}

impl Acquired<'_> {
    /// With nothing but an operation and a kind.
    pub fn of(op: Op, kind: Kind) -> Acquired<'static> {
        Acquired { op, kind, bits: 0, mode: 0, flags: 0, origin: None, stream: 0, label: &[] }
    }
    fn args(&self) -> FdArgs {
        FdArgs { kind: self.kind as u8, bits: self.bits, mode: self.mode, flags: self.flags }
    }
}

/// Bits of a descriptor whose call took `O_CLOEXEC` and `O_NONBLOCK` in `flags`.
pub fn bits(flags: c_int) -> u8 {
    let mut bits = 0;
    if flags & libc::O_CLOEXEC != 0 {
        bits |= FD_CLOEXEC;
    }
    if flags & libc::O_NONBLOCK != 0 {
        bits |= FD_NONBLOCK;
    }
    bits
}

/// The row of a number, if it or a neighbour was ever seen.
pub fn row(region: Region, fd: c_int) -> Option<&'static FdRow> {
    region.row::<FdRow>(u32::try_from(fd).ok()?)
}

/// The lifetime that stands at a number now.
pub fn handle(region: Region, fd: c_int) -> FdHandle {
    let number = fd as u32;
    let state = row(region, fd).map_or(0, |row| row.state.load(Ordering::Acquire));
    let generation = match RowState::from_word(state) {
        RowState::Free => 0,
        _ => generation(state),
    };
    FdHandle { number, generation }
}

/// Kind of what lives at a number, if that is known.
pub fn kind(region: Region, fd: c_int) -> Option<Kind> {
    let row = row(region, fd)?;
    if RowState::from_word(row.state.load(Ordering::Acquire)) == RowState::Free {
        return None;
    }
    Kind::from_number(FdArgs::unpack(row.args.load(Ordering::Relaxed)).kind as u32)
}

/// Kind of a socket. One that this image had from another is known by its link alone: the kernel is asked then, and
/// the answer kept where there is a row for it.
pub fn socket_kind(region: Region, fd: c_int) -> Kind {
    let known = kind(region, fd).unwrap_or(Kind::Socket);
    if known != Kind::Socket || seal::is_sealed() || !may_ask_sockets() {
        return known;
    }
    let Some((domain, how)) = sys::socket(fd) else { return known };
    let found = crate::label::kind_of_socket(domain, how);
    if found != known
        && let Some(row) = row(region, fd)
        && RowState::from_word(row.state.load(Ordering::Acquire)) == RowState::Live
    {
        let args = FdArgs::unpack(row.args.load(Ordering::Relaxed));
        row.args.store(FdArgs { kind: found as u8, ..args }.pack(), Ordering::Relaxed);
    }
    found
}

/// A filter that stood before this image began cannot be looked into: it may be deadly to ask.
fn may_ask_sockets() -> bool {
    let known = &PRIVATE.may_ask_sockets;
    match known.load(Ordering::Relaxed) {
        1 => true,
        2 => false,
        _ => {
            let may = sys::is_unfiltered();
            known.store(if may { 1 } else { 2 }, Ordering::Relaxed);
            may
        }
    }
}

/// Kind and label of what lives at a number: bytes in `label`.
pub fn describe(region: Region, fd: c_int, label: &mut [u8; LABEL_BYTES]) -> (Kind, usize) {
    let (Some(kind), Some(row)) = (kind(region, fd), row(region, fd)) else {
        // A fork child's, which its parent's table names, or one that was not seen being opened.
        let mut target = [0; 256];
        let target = link(fd, &mut target);
        let length = target.len().min(LABEL_BYTES);
        for (to, from) in label.iter_mut().zip(target) {
            *to = *from;
        }
        return (crate::label::kind_of_link(target), length);
    };
    for (to, word) in label.chunks_mut(8).zip(&row.label) {
        to.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
    }
    (kind, label.iter().position(|byte| *byte == 0).unwrap_or(LABEL_BYTES))
}

/// Calls `each` with the live numbers from `first` to `last` that this region has seen.
pub fn each_live(region: Region, first: u32, last: u32, mut each: impl FnMut(c_int)) {
    let end = region.used::<FdRow>();
    for number in first..last.saturating_add(1).min(end) {
        let live = row(region, number as c_int).is_some_and(|row| {
            RowState::from_word(row.state.load(Ordering::Acquire)) == RowState::Live
        });
        if live {
            each(number as c_int);
        }
    }
}

/// A release that was decided did not happen.
pub fn not_closed(region: Region, handle: FdHandle) {
    if let Some(row) = row(region, handle.number as c_int)
        && handle.generation != 0
    {
        let closing = RowState::Closing.word(handle.generation);
        let live = RowState::Live.word(handle.generation);
        let _ = row.state.compare_exchange(closing, live, Ordering::AcqRel, Ordering::Relaxed);
    }
}

/// The result of a call that gives one descriptor: acquired, or failed.
pub fn result(inside: &Inside, fd: c_int, what: &Acquired) {
    if inside.level(what.kind) == Level::Off {
        return;
    }
    if fd >= 0 {
        acquired(inside, fd, what);
    } else {
        failures::failed(inside, what.op, what.kind, [0, what.args().pack()], what.label);
    }
}

/// A descriptor was acquired at `fd`.
pub fn acquired(inside: &Inside, fd: c_int, what: &Acquired) {
    let region = inside.region;
    let stack = inside.stack(start::settings().stack_depth);
    let site = sites::find(region, stack, what.kind as u32, what.op, inside.now);
    let args = what.args().pack();
    let origin = what.origin.map(|from| handle(region, from));
    let is_alias = matches!(what.op, Op::Dup | Op::Dup2 | Op::FcntlDup);
    let mut handle = FdHandle { number: fd as u32, generation: 0 };
    region.note_used::<FdRow>(fd as u32 + 1, false);
    if let Some(row) = region.make_row::<FdRow>(fd as u32) {
        // By exchange alone: the thread that released the number may be about to free the row, and
        // its release is counted once, by whoever takes the row out of `Closing`.
        let mut before = row.state.load(Ordering::Acquire);
        // Who scribbles over the row all the time is not waited for.
        for _ in 0..64 {
            handle.generation = generation(before).wrapping_add(1).max(1);
            let claimed = RowState::Claimed.word(handle.generation);
            let taken =
                row.state.compare_exchange(before, claimed, Ordering::AcqRel, Ordering::Acquire);
            match taken {
                Ok(_) => break,
                Err(now) => before = now,
            }
        }
        if RowState::from_word(before) != RowState::Free {
            // Its release was not seen, or is being written by the thread that made it.
            vanished(region, row, inside.now);
        }
        row.args.store(args, Ordering::Relaxed);
        row.acquired.store(inside.now, Ordering::Relaxed);
        row.last_use.store(0, Ordering::Relaxed);
        row.site.store(site, Ordering::Relaxed);
        let shares = match (is_alias, what.origin.and_then(|from| self::row(region, from))) {
            (true, Some(source)) => match source.description.load(Ordering::Relaxed) {
                0 => origin.unwrap_or(handle).pack(),
                description => description,
            },
            _ => handle.pack(),
        };
        row.description.store(shares, Ordering::Relaxed);
        row.stream.store(what.stream as u64, Ordering::Relaxed);
        row.op.store(what.op.number() as u32, Ordering::Relaxed);
        put_text(&row.label, what.label);
        row.state.store(RowState::Live.word(handle.generation), Ordering::Release);
        uses::covers(region, fd);
    } else {
        region.header().untracked.fetch_add(1, Ordering::Relaxed);
    }
    sites::acquired(region, site, inside.now, 1, 0);
    let words = [handle.pack(), args, origin.map_or(0, FdHandle::pack)];
    let count = if origin.is_some() { 3 } else { 2 };
    let words = words.get(..count).unwrap_or(&words);
    if what.label.is_empty() {
        inside.write(what.op, stack, words, &[]);
    } else {
        inside.write_named(what.op, stack, words, what.label);
    }
}

/// A descriptor came with a message by `socket`. What it is nobody has said: the kernel is asked.
pub fn came(inside: &Inside, fd: c_int, socket: c_int, bits: u8) {
    let mut target = [0; 256];
    let target = link(fd, &mut target);
    let kind = crate::label::kind_of_link(target);
    let what =
        Acquired { bits, origin: Some(socket), label: target, ..Acquired::of(Op::Received, kind) };
    result(inside, fd, &what);
}

/// A copy of a descriptor left with a message by `socket`.
pub fn went(inside: &Inside, fd: c_int, socket: c_int) {
    let level = inside.level(kind(inside.region, fd).unwrap_or(Kind::File));
    if level != Level::Off {
        let (sent, by) = (handle(inside.region, fd).pack(), handle(inside.region, socket).pack());
        inside.write(Op::Sent, inside.stack(start::settings().stack_depth), &[sent, by], &[]);
    }
}

/// A live row whose resource went without a release that was seen.
fn vanished(region: Region, row: &FdRow, now: u64) {
    let lived = now.saturating_sub(row.acquired.load(Ordering::Relaxed));
    sites::released(region, row.site.load(Ordering::Relaxed), now, 1, 0, lived);
}

/// Before a call that releases `fd`: what stands there now.
pub fn closing(inside: &Inside, fd: c_int) -> FdHandle {
    let none = FdHandle { number: fd as u32, generation: 0 };
    let Some(row) = row(inside.region, fd) else { return none };
    let state = row.state.load(Ordering::Acquire);
    if RowState::from_word(state) != RowState::Live {
        return none;
    }
    let generation = generation(state);
    let closing = RowState::Closing.word(generation);
    let moved = row.state.compare_exchange(state, closing, Ordering::AcqRel, Ordering::Relaxed);
    if moved.is_err() {
        return none;
    }
    FdHandle { number: fd as u32, generation }
}

/// After the call: `handle` was released, unless the call failed without doing so.
pub fn closed(inside: &Inside, op: Op, handle: FdHandle, result: c_int) {
    let region = inside.region;
    let row = row(region, handle.number as c_int);
    if result < 0 && inside.errno == libc::EBADF {
        // Nothing was open there: a double close, or a program that closes what it never had.
        let last = row.map_or(0, |row| generation(row.state.load(Ordering::Acquire)));
        if let Some(row) = row.filter(|_| handle.generation != 0) {
            // We thought something lived there: somebody closed it unseen.
            release(inside, row, handle, 0);
        }
        if (handle.number as c_int) >= 0 {
            let last = FdHandle { number: handle.number, generation: last };
            failures::failed(inside, op, Kind::File, [last.pack(), 0], &[]);
        }
        return;
    }
    if handle.generation == 0 && inside.level(Kind::File) == Level::Off {
        return;
    }
    // Linux frees the number even where close fails with EINTR or EIO (close(2)).
    let stack = inside.stack(start::settings().stack_depth);
    // The stream that the number belonged to: what stands in the row says so only if nobody had the number since.
    let released = row.filter(|_| handle.generation != 0).and_then(|row| {
        let stream = row.stream.load(Ordering::Relaxed);
        release(inside, row, handle, stack).then_some(stream)
    });
    gone(inside, op, handle, stack, released.unwrap_or(0));
}

/// After `stream` (a `FILE`, a `DIR`) was closed, and `handle` with it.
pub fn closed_with_stream(inside: &Inside, op: Op, handle: FdHandle, stream: usize) {
    if handle.generation == 0 && inside.level(Kind::File) == Level::Off {
        return;
    }
    let stack = inside.stack(start::settings().stack_depth);
    if let Some(row) = row(inside.region, handle.number as c_int).filter(|_| handle.generation != 0)
    {
        release(inside, row, handle, stack);
    }
    gone(inside, op, handle, stack, stream as u64);
}

fn gone(inside: &Inside, op: Op, handle: FdHandle, stack: u32, stream: u64) {
    let words = [handle.pack(), stream];
    let count = if stream != 0 { 2 } else { 1 };
    inside.write(op, stack, words.get(..count).unwrap_or(&words), &[]);
}

/// False if another thread has the number already, and counted this release (`vanished`).
fn release(inside: &Inside, row: &FdRow, handle: FdHandle, stack: u32) -> bool {
    let site = row.site.load(Ordering::Relaxed);
    let lived = inside.now.saturating_sub(row.acquired.load(Ordering::Relaxed));
    let closing = RowState::Closing.word(handle.generation);
    let free = RowState::Free.word(handle.generation);
    let ours = row.state.compare_exchange(closing, free, Ordering::AcqRel, Ordering::Relaxed);
    if ours.is_ok() {
        row.released_by.store(stack, Ordering::Relaxed);
        row.released_tid.store(inside.tid(), Ordering::Relaxed);
        sites::released(inside.region, site, inside.now, 1, 0, lived);
    }
    ours.is_ok()
}

/// `FD_CLOEXEC` was set or cleared.
pub fn set_cloexec(inside: &Inside, fd: c_int, on: bool) {
    let handle = handle(inside.region, fd);
    if let Some(row) = row(inside.region, fd) {
        let args = FdArgs::unpack(row.args.load(Ordering::Relaxed));
        if (args.bits & FD_CLOEXEC != 0) == on && handle.generation != 0 {
            return;
        }
        set_bit(row, FD_CLOEXEC, on);
    }
    inside.write(Op::SetCloexec, 0, &[handle.pack(), u64::from(on)], &[]);
}

fn set_bit(row: &FdRow, bit: u8, on: bool) {
    let bit = (bit as u64) << 8;
    if on {
        row.args.fetch_or(bit, Ordering::Relaxed);
    } else {
        row.args.fetch_and(!bit, Ordering::Relaxed);
    }
}

/// An epoll set has it as a member from now on, or no more.
pub fn set_watched(region: Region, fd: c_int, on: bool) {
    // The quick way first: servers do this for every connection.
    let quick = crate::region::use_row(fd).map(|(row, _)| row);
    if let Some(row) = quick.or_else(|| row(region, fd)) {
        set_bit(row, FD_WATCHED, on);
    }
}

/// A descriptor went to another state of its kind.
pub fn state(inside: &Inside, op: Op, fd: c_int, detail: u64, label: &[u8]) {
    let handle = handle(inside.region, fd);
    let stack = inside.stack(start::settings().stack_depth);
    if let Some(row) = row(inside.region, fd)
        && matches!(op, Op::Bind | Op::Connect)
        && !label.is_empty()
    {
        put_text(&row.label, label);
    }
    let texts = [label];
    let texts = if label.is_empty() { &[][..] } else { &texts[..] };
    inside.write(op, stack, &[handle.pack(), detail], texts);
}

/// A `FILE` or `DIR` owns the descriptor from now on.
pub fn owned_by_stream(inside: &Inside, op: Op, fd: c_int, stream: usize) {
    if let Some(row) = row(inside.region, fd) {
        row.stream.store(stream as u64, Ordering::Relaxed);
        set_bit(row, FD_STREAM, true);
    }
    state(inside, op, fd, stream as u64, &[]);
}

/// What the kernel says stands at a number; empty if nothing does.
fn link(fd: c_int, target: &mut [u8]) -> &[u8] {
    if seal::is_sealed() {
        return &[];
    }
    let mut path: crate::config::Text<32> = crate::config::Text::EMPTY;
    let _ = path.push(b"/proc/self/fd/") && path.push_decimal(fd.max(0) as u64);
    let length = path.c_str().and_then(|path| sys::read_link(path, target).ok());
    target.get(..length.unwrap_or(0)).unwrap_or(&[])
}

/// Notes what was open when an image that came by exec made its region.
pub fn census(region: Region) {
    if region.header().parent_region != 0 {
        // A fork child's descriptors are its parent's: the parent's table names them.
        return;
    }
    let Ok(directory) = sys::open_directory(c"/proc/self/fd") else { return };
    use rustix::fd::{AsFd, AsRawFd};
    let own = directory.as_fd().as_raw_fd();
    let now = region.header().start_tsc;
    sys::names(directory.as_fd(), |name| {
        let Some(number) = crate::config::parse_decimal(name.to_bytes()) else { return };
        let fd = number as c_int;
        if fd == own {
            return;
        }
        let Some(row) = region.make_row::<FdRow>(fd as u32) else { return };
        let mut target = [0; 256];
        let target = link(fd, &mut target);
        let args = FdArgs {
            kind: crate::label::kind_of_link(target) as u8,
            bits: FD_INHERITED,
            mode: 0,
            flags: 0,
        };
        row.args.store(args.pack(), Ordering::Relaxed);
        row.acquired.store(now, Ordering::Relaxed);
        row.op.store(Op::Inherited.number() as u32, Ordering::Relaxed);
        put_text(&row.label, target);
        let handle = FdHandle { number: fd as u32, generation: 1 };
        row.description.store(handle.pack(), Ordering::Relaxed);
        row.state.store(RowState::Live.word(1), Ordering::Release);
        region.note_used::<FdRow>(fd as u32 + 1, false);
    });
    region.header().facts.fetch_or(FACT_CENSUS, Ordering::Relaxed);
}
