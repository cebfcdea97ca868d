//! Child processes: a row from the fork until somebody reaps it.

use super::{failures, sites};
use crate::emit::Inside;
use crate::index::hash;
use crate::private::PRIVATE;
use crate::start;
use core::sync::atomic::Ordering;
use resshim_format::header::Level;
use resshim_format::op::{Kind, Op};
use resshim_format::table::{ChildRow, RowState, generation};

/// Before a fork: the number by which the child will name it.
pub fn forking(inside: &Inside) -> u32 {
    let sequence = inside.region.header().fork_sequence.fetch_add(1, Ordering::Relaxed) + 1;
    start::note_fork(sequence);
    sequence
}

/// After a fork of any kind, in the parent: a child, or a failure.
pub fn forked(inside: &Inside, op: Op, pid: i32, sequence: u32) {
    if inside.level(Kind::Process) == Level::Off {
        return;
    }
    if pid < 0 {
        failures::failed(inside, op, Kind::Process, [0, 0], &[]);
        return;
    }
    let region = inside.region;
    let stack = inside.stack(start::settings().stack_depth);
    let site = sites::find(region, stack, Kind::Process as u32, op, inside.now);
    let row = PRIVATE.free_children.take();
    if let Some((index, row)) =
        row.and_then(|index| Some((index, region.make_row::<ChildRow>(index)?)))
    {
        let generation = generation(row.state.load(Ordering::Relaxed)).wrapping_add(1);
        row.pid.store(pid as u32, Ordering::Relaxed);
        row.site.store(site, Ordering::Relaxed);
        row.acquired.store(inside.now, Ordering::Relaxed);
        row.fork.store(sequence, Ordering::Relaxed);
        row.op.store(op.number() as u32, Ordering::Relaxed);
        row.status.store(0, Ordering::Relaxed);
        row.state.store(RowState::Live.word(generation), Ordering::Release);
        PRIVATE.children.insert(hash(pid as u64), index);
        region.note_used::<ChildRow>(index + 1, false);
    } else {
        region.note_used::<ChildRow>(0, true);
    }
    sites::acquired(region, site, inside.now, 1, 0);
    inside.write(op, stack, &[pid as u64, sequence as u64], &[]);
}

/// A wait returned `pid` with its status: it is no more.
pub fn reaped(inside: &Inside, pid: i32, status: u32) {
    if pid <= 0 || inside.level(Kind::Process) == Level::Off {
        return;
    }
    let region = inside.region;
    let is = |index: u32| {
        region
            .row::<ChildRow>(index)
            .is_some_and(|row| row.pid.load(Ordering::Relaxed) == pid as u32)
    };
    if let Some(index) = PRIVATE.children.remove(hash(pid as u64), is)
        && let Some(row) = region.row::<ChildRow>(index)
    {
        let generation = generation(row.state.load(Ordering::Relaxed));
        row.status.store(status, Ordering::Relaxed);
        row.state.store(RowState::Free.word(generation), Ordering::Release);
        let lived = inside.now.saturating_sub(row.acquired.load(Ordering::Relaxed));
        sites::released(region, row.site.load(Ordering::Relaxed), inside.now, 1, 0, lived);
        PRIVATE.free_children.give(index);
    }
    let stack = inside.stack(start::settings().stack_depth);
    inside.write(Op::Wait, stack, &[pid as u64, status as u64], &[]);
}
