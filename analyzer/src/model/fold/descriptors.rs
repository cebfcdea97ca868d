//! The part of the fold that is about descriptors: numbers are used again and again, so each slot
//! knows which lifetime it is in, and who ended the last one.

use resshim_format::op::{Class, Effect, Op};
use resshim_format::record::{FD_STREAM, Failure, FdArgs, FdHandle};

use super::{Begun, Fold};
use crate::model::closes::{CloseSuspect, Fault, Releaser};
use crate::model::resource::Handle;
use crate::source::events::Event;

/// Descriptor numbers beyond this are kept nowhere: no kernel gives them.
const MOST_FDS: u32 = 1 << 21;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SlotState {
    #[default]
    Empty,
    Live,
    Foreign,
    Released,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FdSlot {
    state: SlotState,
    has_stream: bool,
    generation: u32,
    site: u32,
    acquired_ns: u64,
    released: Releaser,
    /// A close that failed while the release was still under way.
    early: Releaser,
}

impl Fold<'_> {
    fn slot(&mut self, image: usize, number: u32) -> Option<&mut FdSlot> {
        if number >= MOST_FDS {
            self.anomalies.bad_records += 1;
            return None;
        }
        let fds = &mut self.folds[image].fds;
        if fds.len() <= number as usize {
            fds.resize(number as usize + 1, FdSlot::default());
        }
        fds.get_mut(number as usize)
    }

    pub(super) fn fd(&mut self, event: &Event) {
        let handle = FdHandle::unpack(event.word(1));
        match event.op.effect() {
            Effect::Acquire | Effect::Alias => self.fd_acquire(event, handle),
            Effect::Release => self.fd_release(event, handle),
            Effect::State if matches!(event.op, Op::Fdopen | Op::Fdopendir) => {
                if let Some(slot) = self.slot(event.image, handle.number) {
                    slot.has_stream = true;
                }
            }
            _ => {}
        }
    }

    fn fd_acquire(&mut self, event: &Event, handle: FdHandle) {
        let args = FdArgs::unpack(event.word(2));
        let kind = self.kind(event.image, args.kind as u32);
        let Some(slot) = self.slot(event.image, handle.number) else { return };
        let before = *slot;
        let is_held = |state| matches!(state, SlotState::Live | SlotState::Foreign);
        let foreign = matches!(event.op, Op::Inherited | Op::Reconciled) || handle.generation == 0;
        *slot = FdSlot {
            state: if foreign { SlotState::Foreign } else { SlotState::Live },
            has_stream: args.bits & FD_STREAM != 0,
            generation: handle.generation,
            acquired_ns: event.at_ns,
            ..FdSlot::default()
        };
        if !is_held(before.state) {
            let fold = &mut self.folds[event.image];
            fold.fd_live += 1;
            fold.fd_peak = fold.fd_peak.max(fold.fd_live);
        }
        if before.state == SlotState::Live {
            self.end(fd_begun(&before), event.at_ns, None);
        }
        if !foreign {
            let begun = self.begin(event, kind, 1, 0);
            if let Some(slot) = self.slot(event.image, handle.number) {
                slot.site = begun.site;
            }
        }
    }

    fn fd_release(&mut self, event: &Event, handle: FdHandle) {
        let by = Releaser { stack: event.stack, tid: event.tid, at_ns: event.at_ns };
        if event.op == Op::Close {
            self.folds[event.image].closes.closed(event.stack, handle.number);
        }
        if matches!(event.op, Op::Fclose | Op::Closedir | Op::Pclose) && event.word(2) != 0 {
            self.folds[event.image].closes.stream_closed(event.word(2));
        }
        let Some(slot) = self.slot(event.image, handle.number) else { return };
        let before = *slot;
        let is_late = before.generation.wrapping_sub(handle.generation) as i32 > 0;
        if before.state == SlotState::Live && handle.generation != 0 && is_late {
            // Another thread had the number before this record was written: its acquisition has
            // ended this lifetime already, and what lives there now is not meant.
            return;
        }
        slot.state = SlotState::Released;
        slot.released = by;
        if matches!(before.state, SlotState::Live | SlotState::Foreign) {
            let fold = &mut self.folds[event.image];
            fold.fd_live = fold.fd_live.saturating_sub(1);
        }
        if before.state != SlotState::Live || before.generation != handle.generation {
            if before.state == SlotState::Live {
                self.end(fd_begun(&before), event.at_ns, None);
            }
            self.anomalies.unmatched_releases += (handle.generation != 0) as u64;
            return;
        }
        let FdHandle { number, generation } = handle;
        let label = self.fd_label(event.image, handle);
        self.release(event, fd_begun(&before), Handle::Fd { number, generation }, label);
        let fold = &mut self.folds[event.image];
        let (has_threads, stream) = (fold.has_threads, event.word(2));
        let has_forked = fold.forked_ns > before.acquired_ns;
        let suspect = |fault, before_by, by| CloseSuspect {
            image: event.image as u32,
            fault,
            site: Some(before.site),
            handle,
            before: before_by,
            by,
            count: 1,
            has_threads,
            has_forked,
            stream,
            is_confirmed: false,
        };
        let under_stream = before.has_stream || event.word(2) != 0;
        if event.op == Op::Close && under_stream {
            fold.closes.suspect(suspect(Fault::UnderStream, Releaser::default(), by));
        }
        if before.early.at_ns != 0 && before.early.tid != by.tid {
            fold.closes.suspect(suspect(Fault::Twice, by, before.early));
        }
    }

    /// What the row of a descriptor still says of a lifetime that is over, where somebody will ask.
    fn fd_label(&self, image: usize, handle: FdHandle) -> Box<str> {
        if !self.after_exit.has_begun(image as u32) {
            return "".into();
        }
        let rows = &self.images[image].tables.fds;
        // In the order of their numbers.
        let row = rows.binary_search_by_key(&handle.number, |row| row.number);
        let row = row.ok().and_then(|at| rows.get(at));
        let row = row.filter(|row| row.generation == handle.generation);
        row.map_or("", |row| row.label.as_str()).into()
    }

    pub(super) fn failed_call(&mut self, event: &Event) {
        let failure = Failure::unpack(event.word(1));
        let Some(op) = Op::from_number(failure.op) else {
            self.anomalies.bad_records += 1;
            return;
        };
        let key = (event.image as u32, failure.op, failure.errno, event.stack);
        let known = self.failed.entry(key).or_default();
        let more = (failure.count as u64).saturating_sub(*known);
        *known += more;
        let is_use = op.effect() == Effect::Use;
        if op.class() != Class::Fd
            || !(is_use || op.effect() == Effect::Release)
            || failure.errno as i32 != libc::EBADF
        {
            return;
        }
        let handle = FdHandle::unpack(event.word(2));
        let by = Releaser { stack: event.stack, tid: event.tid, at_ns: event.at_ns };
        let fold = &mut self.folds[event.image];
        fold.closes.failed(event.stack, handle.number, failure.count);
        if handle.generation == 0 || !(is_use || op == Op::Close) {
            return;
        }
        let Some(slot) = fold.fds.get_mut(handle.number as usize) else { return };
        if slot.generation != handle.generation {
            return;
        }
        match slot.state {
            SlotState::Released => {
                let (released, site, acquired_ns) = (slot.released, slot.site, slot.acquired_ns);
                let has_threads = fold.has_threads;
                fold.closes.suspect(CloseSuspect {
                    image: event.image as u32,
                    fault: if is_use { Fault::Used } else { Fault::Twice },
                    site: Some(site),
                    handle,
                    before: released,
                    by,
                    // Of a storm only the first and powers of two are told.
                    count: more.max(1),
                    has_threads,
                    has_forked: fold.forked_ns > acquired_ns,
                    stream: 0,
                    is_confirmed: false,
                });
            }
            SlotState::Live if !is_use => slot.early = by,
            _ => {}
        }
    }
}

fn fd_begun(slot: &FdSlot) -> Begun {
    Begun { site: slot.site, weight: 1, acquired_ns: slot.acquired_ns, bytes: 0 }
}
