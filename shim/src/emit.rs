//! Being inside the shim is a value: [`Inside`]. It keeps errno, knows the region and writes records.
//!
//! It is made after (or ended before) the real call, never held across it: a thread that is
//! cancelled, longjmps or throws in the real call leaves nothing behind. It has no `Drop`.
#![allow(unsafe_code, reason = "reads and writes this thread's TLS block")]

use crate::private::{PRIVATE, SHARED_PLACES};
use crate::region::{self, Region};
use crate::stack::{self, Registers};
use crate::state::uses;
use crate::tls::{self, Tls};
use crate::{real, seal, start, sys};
use core::ffi::c_int;
use core::sync::atomic::Ordering;
use resshim_format::header::Level;
use resshim_format::op::{Effect, Kind, Op};
use resshim_format::ring::writer::{Cursor, Event, Moment, push_shared};

/// Of so many visits one is timed, and stands for all: a look at the counter costs 11 ns, and the sum is
/// one word for all threads.
pub const TIMED: u32 = 16;

/// This thread is inside the shim.
pub struct Inside {
    tls: *mut Tls,
    /// The region of this process.
    pub region: Region,
    /// errno as the real call left it; what the caller will see.
    pub errno: c_int,
    /// Counter when the hook was entered.
    pub now: u64,
    /// Where the hook was called from.
    at: Registers,
    nested: bool,
}

/// Enters the shim; `None`: nothing is to be recorded here.
#[inline(always)]
pub fn enter(at: Registers) -> Option<Inside> {
    enter_with(at, region::get)
}

/// Enters the shim only where there is a region already: for what is not worth making one (the end
/// of something that was there before; what is there by then is found when the region is made).
#[inline(always)]
pub fn enter_live(at: Registers) -> Option<Inside> {
    enter_with(at, region::live)
}

#[inline(always)]
fn enter_with(at: Registers, region: impl FnOnce() -> Option<Region>) -> Option<Inside> {
    let tls = tls::block();
    // SAFETY: this thread's own block; a signal handler that interrupts leaves `busy` as it found it.
    unsafe {
        if (*tls).in_vfork != 0 || !start::is_on() {
            return None;
        }
        let errno = real::errno();
        let Some(region) = region() else {
            real::set_errno(errno);
            return None;
        };
        if (*tls).incarnation != PRIVATE.incarnation.load(Ordering::Relaxed) {
            settle(tls);
        }
        (*tls).busy += 1;
        let nested = (*tls).busy > 1;
        Some(Inside { tls, region, errno, now: sys::counter(), at, nested })
    }
}

/// This block is new, or of the process that forked this one.
#[cold]
unsafe fn settle(tls: *mut Tls) {
    // SAFETY: as in `enter`.
    unsafe {
        let forked = (*tls).incarnation != 0;
        (*tls).cursor = Cursor::default();
        // A thread that begins behind a seccomp filter stays nameless: asking could kill it.
        (*tls).tid = if seal::is_sealed() { 0 } else { sys::tid() };
        if forked {
            (*tls).busy = 0;
            (*tls).thread_row = 0;
            // The VM's other threads are gone: what it says of this one is not to be relied on.
            (*tls).java = 0;
            (*tls).asking = 0;
        }
        (*tls).incarnation = PRIVATE.incarnation.load(Ordering::Relaxed);
    }
}

impl Inside {
    /// Ends it: errno is again what the real call left.
    #[inline(always)]
    pub fn leave(self) {
        uses::tick(self.region, self.now);
        // SAFETY: as in `enter`.
        unsafe {
            (*self.tls).left = (*self.tls).left.wrapping_add(1);
            if (*self.tls).left.is_multiple_of(TIMED) {
                let spent = sys::counter().saturating_sub(self.now);
                let own = &self.region.header().own_ticks;
                own.fetch_add(spent * TIMED as u64, Ordering::Relaxed);
            }
            (*self.tls).busy -= 1;
        }
        real::set_errno(self.errno);
    }

    /// This thread's kernel id.
    pub fn tid(&self) -> u32 {
        // SAFETY: as in `enter`.
        unsafe { (*self.tls).tid }
    }

    /// This thread's block.
    pub fn tls(&self) -> *mut Tls {
        self.tls
    }

    /// How closely `kind` is tracked now.
    #[inline(always)]
    pub fn level(&self, kind: Kind) -> Level {
        let levels = &self.region.control().levels;
        match levels.get(kind as usize).map_or(3, |level| level.load(Ordering::Relaxed)) {
            0 => Level::Off,
            1 => Level::Counters,
            2 => Level::Short,
            _ => Level::Full,
        }
    }

    /// Id of the stack that called the hook; 0 if there is none to be had.
    pub fn stack(&self, depth: usize) -> u32 {
        let id = crate::state::stacks::id(self.region, &self.at, depth);
        if crate::managed::begins_to_end() {
            self.write(Op::Phase, 0, &[], &[b"exit"]);
        }
        id
    }

    /// Writes a record. Where there is no room it is counted as lost: tables know the state all the same.
    #[inline(always)]
    pub fn write(&self, op: Op, stack: u32, words: &[u64], texts: &[&[u8]]) {
        if !self.nested {
            let event = Event { op, stack, words, texts };
            // SAFETY: `busy` is 1: no other frame of this thread writes through the cursor.
            let cursor = unsafe { &mut (*self.tls).cursor };
            if cursor.push_quick(self.region.chunk_words(), self.now, &event) {
                return;
            }
        }
        self.write_slowly(op, stack, words, texts);
    }

    /// As [`Inside::write`], for a record with one name: a label, a state, a phase.
    #[inline(always)]
    pub fn write_named(&self, op: Op, stack: u32, words: &[u64], name: &[u8]) {
        let event = Event { op, stack, words, texts: &[name] };
        // SAFETY: as in `write`.
        let cursor = unsafe { &mut (*self.tls).cursor };
        if self.nested || !cursor.push_named(self.region.chunk_words(), self.now, &event) {
            self.write_slowly(op, stack, words, &[name]);
        }
    }

    #[inline(never)]
    fn write_slowly(&self, op: Op, stack: u32, words: &[u64], texts: &[&[u8]]) {
        self.note_clock();
        self.push(op, stack, words, texts, self.nested || self.must_share());
    }

    /// Now and then a second pair of counter and time, for whoever is killed and writes none at its end:
    /// from one pair nobody can tell the counter's rate.
    fn note_clock(&self) {
        /// A tenth of a second, about.
        const APART: u64 = 1 << 28;
        let header = self.region.header();
        let last = header.end_tsc.load(Ordering::Relaxed).max(header.start_tsc);
        if self.now.wrapping_sub(last) > APART && header.end.load(Ordering::Relaxed) == 0 {
            header.end_tsc.store(self.now, Ordering::Relaxed);
            header.end_monotonic_ns.store(sys::monotonic_ns(), Ordering::Relaxed);
        }
    }

    /// Writes a record where many threads write: one that has little to tell takes no chunk for itself.
    pub fn write_shared(&self, op: Op, stack: u32, words: &[u64], texts: &[&[u8]]) {
        self.push(op, stack, words, texts, true);
    }

    fn push(&self, op: Op, stack: u32, words: &[u64], texts: &[&[u8]], shared: bool) {
        let event = Event { op, stack, words, texts };
        let moment = Moment { tsc: self.now, monotonic_ns: sys::monotonic_ns };
        let ring = self.region.ring();
        let tid = self.tid();
        let written = if shared {
            let place = &PRIVATE.shared_places[tid as usize % SHARED_PLACES];
            push_shared(&ring, &self.region, place, moment, tid, event)
        } else {
            // SAFETY: `busy` is 1: no other frame of this thread writes through the cursor.
            let cursor = unsafe { &mut (*self.tls).cursor };
            let before = cursor.is_placed();
            let written = cursor.push(&ring, &self.region, moment, tid, event);
            match (before, cursor.is_placed()) {
                (false, true) => PRIVATE.owners.fetch_add(1, Ordering::Relaxed),
                (true, false) => PRIVATE.owners.fetch_sub(1, Ordering::Relaxed),
                _ => 0,
            };
            written
        };
        if written.is_err() {
            let header = self.region.header();
            match op.effect() {
                Effect::Acquire | Effect::Alias | Effect::Fork => &header.lost_acquisitions,
                Effect::Release => &header.lost_releases,
                _ => &header.lost_other,
            }
            .fetch_add(1, Ordering::Relaxed);
        }
        if self.nested {
            self.region.header().nested.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Threads beyond half of the chunks write together.
    fn must_share(&self) -> bool {
        // SAFETY: as in `enter`.
        if unsafe { (*self.tls).cursor.is_placed() } {
            return false;
        }
        let limit = PRIVATE.chunk_limit.load(Ordering::Relaxed);
        PRIVATE.owners.load(Ordering::Relaxed) >= limit / 2
    }
}

/// This thread ends: what is left of its chunk is for others.
pub fn park() {
    let tls = tls::block();
    // SAFETY: as in `enter`; nothing of this thread is inside the shim.
    unsafe {
        let here = PRIVATE.incarnation.load(Ordering::Relaxed);
        if (*tls).busy != 0 || (*tls).incarnation != here || here == 0 {
            return;
        }
        let Some(region) = region::live() else { return };
        if (*tls).cursor.is_placed() {
            (*tls).busy = 1;
            (*tls).cursor.park(&region.ring());
            PRIVATE.owners.fetch_sub(1, Ordering::Relaxed);
            (*tls).busy = 0;
        }
    }
}

/// Writes a record without a stack, from outside a hook.
pub fn plain(op: Op, words: &[u64], texts: &[&[u8]]) {
    if let Some(inside) = enter(stack::here()) {
        inside.write(op, 0, words, texts);
        inside.leave();
    }
}
