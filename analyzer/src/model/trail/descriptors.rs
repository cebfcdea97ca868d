//! The part of the trail that is about descriptors: several of them can be one resource.

use resshim_format::op::{Class, Effect, Kind, Op};
use resshim_format::record::{FD_CLOEXEC, Failure, FdArgs, FdHandle};

use super::{Step, Trail, What};
use crate::model::resource::Handle;
use crate::source::events::Event;

/// Descriptor numbers beyond this are kept nowhere: no kernel gives them.
const MOST_FDS: u32 = 1 << 21;

/// What stands, or stood last, at a number of an image.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FdSlot {
    pub resource: u32,
    pub generation: u32,
    pub is_live: bool,
    pub is_cloexec: bool,
    /// The lifetime before: generation and resource.
    pub before: (u32, u32),
}

fn handle_of(handle: FdHandle) -> Handle {
    Handle::Fd { number: handle.number, generation: handle.generation }
}

impl Trail<'_> {
    pub(super) fn fd(&mut self, event: &Event) {
        let handle = FdHandle::unpack(event.word(1));
        if handle.number >= MOST_FDS {
            return;
        }
        match event.op.effect() {
            Effect::Acquire => self.fd_acquired(event, handle),
            Effect::Alias => self.fd_alias(event, handle),
            Effect::Release => self.fd_released(event, handle),
            _ => self.fd_state(event, handle),
        }
    }

    fn fd_acquired(&mut self, event: &Event, handle: FdHandle) {
        let args = FdArgs::unpack(event.word(2));
        let kind = self.kind(event.image, args.kind.into());
        let at = Some(event.at_ns);
        let resource = self.new_resource(kind, handle_of(handle), at, None);
        self.place(event, handle, resource, args.bits & FD_CLOEXEC != 0);
        let mut step = Step::of(event, What::Op(event.op), handle_of(handle));
        step.other = event.words.get(2).map(|word| handle_of(FdHandle::unpack(*word)));
        self.step(resource, step);
    }

    fn fd_alias(&mut self, event: &Event, handle: FdHandle) {
        let args = FdArgs::unpack(event.word(2));
        let source = FdHandle::unpack(event.word(3));
        let resource = self.resource_at(event, source, args.kind);
        // What stood there goes first: `dup2(7, 7)` is no release of 7.
        self.held(resource);
        self.place(event, handle, resource, args.bits & FD_CLOEXEC != 0);
        let mut step = Step::of(event, What::Op(event.op), handle_of(handle));
        step.other = Some(handle_of(source));
        self.step(resource, step);
    }

    /// From now on the resource stands at this number.
    fn place(&mut self, event: &Event, handle: FdHandle, resource: u32, is_cloexec: bool) {
        let key = u64::from(handle.number);
        let before = self.fds[event.image].get(&key).copied().unwrap_or_default();
        if before.is_live {
            let vanished = Step::derived(
                event.at_ns,
                event.image,
                What::Vanished,
                Handle::Fd { number: handle.number, generation: before.generation },
            );
            self.step(before.resource, vanished);
            self.let_go(before.resource, event.at_ns);
        }
        let slot = FdSlot {
            resource,
            generation: handle.generation,
            is_live: true,
            is_cloexec,
            before: (before.generation, before.resource),
        };
        self.fds[event.image].insert(key, slot);
    }

    fn fd_released(&mut self, event: &Event, handle: FdHandle) {
        let key = u64::from(handle.number);
        let slot = self.fds[event.image].get(&key).copied().unwrap_or_default();
        let is_late = slot.generation.wrapping_sub(handle.generation) as i32 > 0;
        let step = Step::of(event, What::Op(event.op), handle_of(handle));
        if handle.generation != 0 && is_late {
            // Another thread had the number before this was written.
            if slot.before.0 == handle.generation {
                self.step(slot.before.1, step);
            }
            return;
        }
        let resource = self.resource_at(event, handle, 0);
        let is_live = self.fds[event.image].get(&key).is_some_and(|slot| slot.is_live);
        self.step(resource, step);
        if is_live {
            if let Some(slot) = self.fds[event.image].get_mut(&key) {
                slot.is_live = false;
            }
            self.let_go(resource, event.at_ns);
        }
    }

    fn fd_state(&mut self, event: &Event, handle: FdHandle) {
        let resource = self.resource_at(event, handle, 0);
        if event.op == Op::SetCloexec
            && let Some(slot) = self.fds[event.image].get_mut(&u64::from(handle.number))
        {
            slot.is_cloexec = event.word(2) != 0;
        }
        let mut step = Step::of(event, What::Op(event.op), handle_of(handle));
        if event.op != Op::EpollCtl {
            return self.step(resource, step);
        }
        // Both have something to tell: the set, and what it watches.
        let member = FdHandle::unpack(event.word(3));
        step.other = Some(handle_of(member));
        let of_member =
            Step { handle: handle_of(member), other: Some(step.handle), ..step.clone() };
        self.step(resource, step);
        if member.number < MOST_FDS {
            let member = self.resource_at(event, member, 0);
            self.step(member, of_member);
        }
    }

    /// The resource at a descriptor; one that nobody was seen acquiring becomes known by this.
    fn resource_at(&mut self, event: &Event, handle: FdHandle, kind: u8) -> u32 {
        let key = u64::from(handle.number);
        if let Some(slot) = self.fds[event.image].get(&key) {
            let is_same = handle.generation == 0
                || slot.generation == handle.generation
                // Came over fork or exec: this image numbers it anew.
                || slot.is_live && slot.generation == 0;
            if is_same && self.resources.contains_key(&slot.resource.into()) {
                return slot.resource;
            }
        }
        let rows = &self.images[event.image].tables.fds;
        let row = rows
            .iter()
            .find(|row| row.number == handle.number && row.generation == handle.generation.max(1));
        let (kind, label) = match row {
            Some(row) => (row.args.kind, row.label.clone()),
            None => (kind, String::new()),
        };
        let kind = if kind == 0 { Kind::File as u32 } else { kind.into() };
        let kind = self.kind(event.image, kind);
        let resource = self.new_resource(kind, handle_of(handle), None, None);
        if let Some(known) = self.resources.get_mut(&resource.into()) {
            known.label = label.into();
        }
        self.place(event, handle, resource, false);
        resource
    }

    /// The words of a failed call: about a resource, or about none.
    pub(super) fn failed(&mut self, event: &Event) {
        let failure = Failure::unpack(event.word(1));
        let Some(op) = Op::from_number(failure.op) else { return };
        if self.filter.class().is_some_and(|asked| asked != op.class()) {
            return;
        }
        let what = What::Failed { op, errno: failure.errno, count: failure.count };
        let handle = FdHandle::unpack(event.word(2));
        let about = matches!(op.effect(), Effect::Release | Effect::State);
        if op.class() == Class::Fd && about {
            let step = Step::of(event, what, handle_of(handle));
            let slot = self.fds[event.image].get(&u64::from(handle.number)).copied();
            let known = slot.filter(|slot| {
                handle.generation == 0 && slot.is_live || slot.generation == handle.generation
            });
            let known = known.filter(|slot| self.resources.contains_key(&slot.resource.into()));
            return match known {
                Some(slot) => self.step(slot.resource, step),
                None => self.failed_alone(Kind::File as u32, step),
            };
        }
        let (kind, handle) = match op.class() {
            Class::Fd => {
                let none = FdHandle { number: u32::MAX, generation: 0 };
                (FdArgs::unpack(event.word(3)).kind.into(), handle_of(none))
            }
            Class::Thread => (Kind::Thread as u32, Handle::Thread(0)),
            Class::Heap => (Kind::Heap as u32, Handle::Heap(0)),
            Class::Mapping => (Kind::Mapping as u32, Handle::Mapping(0)),
            _ => (Kind::Process as u32, Handle::Process(0)),
        };
        self.failed_alone(kind, Step::of(event, what, handle));
    }

    fn failed_alone(&mut self, kind: u32, step: Step) {
        let kind = self.kind(step.image as usize, if kind == 0 { Kind::File as u32 } else { kind });
        let pid = self.images.get(step.image as usize).map_or(0, |image| image.pid);
        let is_asked = self.filter.asks_for(self.kinds.name(kind), [pid; 2], &step);
        if is_asked && self.filter.is_recent(step.at_ns) {
            self.ready.push(super::Ready::Failed(kind, step));
        }
    }
}
