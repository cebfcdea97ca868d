//! Threads: a row from the creation until join, or until the end of a detached one.
//!
//! The creator claims the row and hands its index to the trampoline; the new thread stores its id
//! there before anything else. Which of the two comes first is open: whoever puts the `pthread_t`
//! into the row first also puts it into the index by which join and detach find it.

use super::{failures, sites};
use crate::emit::Inside;
use crate::index::hash;
use crate::private::PRIVATE;
use crate::start;
use core::sync::atomic::Ordering;
use resshim_format::header::Level;
use resshim_format::op::{Kind, Op};
use resshim_format::record::ThreadHandle;
use resshim_format::table::{RowState, ThreadRow, generation};

/// What a new thread runs, and on what.
#[derive(Clone, Copy, Default)]
pub struct Runs {
    /// Address of the start routine.
    pub start: usize,
    /// Its argument.
    pub argument: usize,
    /// Size that its stack was asked to have, 0 = not known.
    pub stack_bytes: usize,
}

/// A row for a thread that is about to be made; `None`: the call goes through untouched.
pub fn claim(inside: &Inside, runs: Runs) -> Option<ThreadHandle> {
    let Runs { start, argument, stack_bytes } = runs;
    if inside.level(Kind::Thread) == Level::Off {
        return None;
    }
    let region = inside.region;
    let index = PRIVATE.free_threads.take();
    let Some((index, row)) =
        index.and_then(|index| Some((index, region.make_row::<ThreadRow>(index)?)))
    else {
        region.note_used::<ThreadRow>(0, true);
        return None;
    };
    let [start_word, argument_word, bytes_word] = PRIVATE.starts.get(index as usize)?;
    if start_word.load(Ordering::Acquire) != 0 {
        // Somebody has scribbled on the row, so that it was taken for free while its thread was still
        // on its way: what that one runs must not be overwritten. The row is not used again.
        return None;
    }
    argument_word.store(argument, Ordering::Relaxed);
    bytes_word.store(stack_bytes, Ordering::Relaxed);
    start_word.store(start, Ordering::Release);
    let stack = inside.stack(start::settings().stack_depth);
    let site = sites::find(region, stack, Kind::Thread as u32, Op::PthreadCreate, inside.now);
    let generation = generation(row.state.load(Ordering::Relaxed)).wrapping_add(1).max(1);
    row.pthread.store(0, Ordering::Relaxed);
    row.acquired.store(inside.now, Ordering::Relaxed);
    row.ended.store(0, Ordering::Relaxed);
    row.site.store(site, Ordering::Relaxed);
    row.tid.store(0, Ordering::Relaxed);
    row.start.store(start as u64, Ordering::Relaxed);
    row.argument.store(argument as u64, Ordering::Relaxed);
    row.creator.store(inside.tid(), Ordering::Relaxed);
    row.state.store(RowState::Claimed.word(generation), Ordering::Release);
    region.note_used::<ThreadRow>(index + 1, false);
    // Counted and written before the thread can end: its release must not come first.
    sites::acquired(region, site, inside.now, 1, 0);
    let handle = ThreadHandle { number: index, generation };
    inside.write(Op::PthreadCreate, stack, &[handle.pack(), 0, start as u64], &[]);
    Some(handle)
}

/// The call came back: the thread is there, or there is none (`error` is an errno).
pub fn created(inside: &Inside, handle: ThreadHandle, pthread: u64, detached: bool, error: i32) {
    let Some(row) = inside.region.row::<ThreadRow>(handle.number) else { return };
    if error != 0 {
        let _ = start_of(handle);
        let site = row.site.load(Ordering::Relaxed);
        row.state.store(RowState::Free.word(handle.generation), Ordering::Release);
        PRIVATE.free_threads.give(handle.number);
        // It never was: what was written before the call is taken back, and the failure is told.
        sites::taken_back(inside.region, site);
        inside.write(Op::ThreadNotCreated, 0, &[handle.pack()], &[]);
        failures::failed_with(inside, error, Op::PthreadCreate, Kind::Thread, [0, 0], &[]);
        return;
    }
    publish(row, handle, pthread);
    if detached {
        detach(inside, handle, 0);
    }
}

fn publish(row: &ThreadRow, handle: ThreadHandle, pthread: u64) {
    if generation(row.state.load(Ordering::Acquire)) != handle.generation {
        // It has ended and somebody else has the row.
        return;
    }
    if row.pthread.compare_exchange(0, pthread, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
        PRIVATE.threads.insert(hash(pthread), handle.number);
    }
    let claimed = RowState::Claimed.word(handle.generation);
    let live = RowState::Live.word(handle.generation);
    let _ = row.state.compare_exchange(claimed, live, Ordering::AcqRel, Ordering::Relaxed);
}

/// What the thread of a row runs; called once, by the thread itself.
pub fn start_of(handle: ThreadHandle) -> Runs {
    let Some([start, argument, bytes]) = PRIVATE.starts.get(handle.number as usize) else {
        return Runs::default();
    };
    let (argument, stack_bytes) = (argument.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed));
    Runs { start: start.swap(0, Ordering::AcqRel), argument, stack_bytes }
}

/// The thread runs.
pub fn started(inside: &Inside, handle: ThreadHandle, pthread: u64) {
    let Some(row) = inside.region.row::<ThreadRow>(handle.number) else { return };
    row.tid.store(inside.tid(), Ordering::Relaxed);
    publish(row, handle, pthread);
    inside.write_shared(Op::ThreadStart, 0, &[handle.pack(), inside.tid() as u64], &[]);
}

/// The thread's start routine and its destructors are over.
pub fn ended(inside: &Inside, handle: ThreadHandle) {
    let Some(row) = inside.region.row::<ThreadRow>(handle.number) else { return };
    row.ended.store(inside.now, Ordering::Relaxed);
    inside.write_shared(Op::ThreadEnd, 0, &[handle.pack()], &[]);
    let live = RowState::Live.word(handle.generation);
    let ended = RowState::Ended.word(handle.generation);
    if row.state.compare_exchange(live, ended, Ordering::AcqRel, Ordering::Relaxed).is_err()
        && row.state.load(Ordering::Acquire) == RowState::Detached.word(handle.generation)
    {
        forget(inside, row, handle);
    }
}

/// The live row of a `pthread_t`.
pub fn find(inside: &Inside, pthread: u64) -> Option<ThreadHandle> {
    let is = |index: u32| {
        inside
            .region
            .row::<ThreadRow>(index)
            .is_some_and(|row| row.pthread.load(Ordering::Relaxed) == pthread)
    };
    let number = PRIVATE.threads.find(hash(pthread), is)?;
    let row = inside.region.row::<ThreadRow>(number)?;
    Some(ThreadHandle { number, generation: generation(row.state.load(Ordering::Acquire)) })
}

/// The thread was joined; the handle is that from before the join.
pub fn joined(inside: &Inside, handle: ThreadHandle) {
    let Some(row) = inside.region.row::<ThreadRow>(handle.number) else { return };
    if generation(row.state.load(Ordering::Acquire)) != handle.generation {
        return;
    }
    let stack = inside.stack(start::settings().stack_depth);
    inside.write(Op::PthreadJoin, stack, &[handle.pack()], &[]);
    forget(inside, row, handle);
}

/// The thread was detached.
pub fn detach(inside: &Inside, handle: ThreadHandle, stack: u32) {
    let Some(row) = inside.region.row::<ThreadRow>(handle.number) else { return };
    inside.write(Op::PthreadDetach, stack, &[handle.pack()], &[]);
    let live = RowState::Live.word(handle.generation);
    let ended = RowState::Ended.word(handle.generation);
    let detached = RowState::Detached.word(handle.generation);
    if row.state.compare_exchange(live, detached, Ordering::AcqRel, Ordering::Relaxed).is_err()
        && row.state.load(Ordering::Acquire) == ended
    {
        forget(inside, row, handle);
    }
}

/// The row is free again; of several callers one does it.
fn forget(inside: &Inside, row: &ThreadRow, handle: ThreadHandle) {
    let state = row.state.load(Ordering::Acquire);
    if generation(state) != handle.generation || RowState::from_word(state) == RowState::Free {
        return;
    }
    let free = RowState::Free.word(handle.generation);
    let pthread = row.pthread.load(Ordering::Relaxed);
    let is = |index: u32| index == handle.number;
    PRIVATE.threads.remove(hash(pthread), is);
    if row.state.compare_exchange(state, free, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
        let lived = inside.now.saturating_sub(row.acquired.load(Ordering::Relaxed));
        let site = row.site.load(Ordering::Relaxed);
        sites::released(inside.region, site, inside.now, 1, 0, lived);
        PRIVATE.free_threads.give(handle.number);
    }
}
