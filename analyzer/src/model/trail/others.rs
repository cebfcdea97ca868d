//! The part of the trail that is about threads, processes, memory and what the program named itself.

use resshim_format::op::{Effect, Kind, Op};

use super::{Step, Trail, What};
use crate::model::kind::KindId;
use crate::model::mappings::Mapped;
use crate::model::process::Ending;
use crate::model::resource::Handle;
use crate::source::events::Event;

impl Trail<'_> {
    pub(super) fn thread(&mut self, event: &Event) {
        let key = (event.image as u32, KindId::from(Kind::Thread), event.word(1));
        if event.op.effect() == Effect::Acquire {
            return self.acquired(event, key, Handle::Thread(0));
        }
        let resource = self.named_or_new(key, Handle::Thread(0));
        if event.op == Op::ThreadStart
            && let Some(known) = self.resources.get_mut(&resource.into())
        {
            known.handle = Handle::Thread(event.tid);
        }
        let known = self.resources.get(&resource.into()).map(|known| known.handle);
        let handle = known.unwrap_or(Handle::Thread(0));
        self.step(resource, Step::of(event, What::Op(event.op), handle));
        // A detached thread is released by its own end.
        let is_detached =
            |steps: &[Step]| steps.iter().any(|step| step.what == What::Op(Op::PthreadDetach));
        let over = match event.op {
            Op::ThreadEnd | Op::PthreadDetach => {
                self.resources.get(&resource.into()).is_some_and(|resource| {
                    let ends = |steps: &[Step]| {
                        steps.iter().any(|step| step.what == What::Op(Op::ThreadEnd))
                    };
                    is_detached(&resource.steps) && ends(&resource.steps)
                })
            }
            op => op.effect() == Effect::Release || op == Op::ThreadNotCreated,
        };
        if over {
            self.let_go(resource, event.at_ns);
        }
    }

    pub(super) fn process(&mut self, event: &Event) {
        let image = event.image as u32;
        let pid = event.word(1);
        let key = (image, KindId::from(Kind::Process), pid);
        match event.op.effect() {
            Effect::Fork => {
                if pid != 0 {
                    self.acquired(event, key, Handle::Process(pid as u32));
                    if let Some(resource) = self.named[event.image].get(&(key.1, pid)) {
                        self.by_pid.insert(pid, *resource);
                    }
                }
                self.forked(event);
            }
            Effect::Release => {
                self.reaped(event.at_ns, pid as u32, event.word(2) as u32);
                let resource = self.named_or_new(key, Handle::Process(pid as u32));
                self.step(
                    resource,
                    Step::of(event, What::Op(event.op), Handle::Process(pid as u32)),
                );
                self.let_go(resource, event.at_ns);
            }
            _ => {
                if event.op == Op::Exec {
                    self.executing(event);
                }
                self.own_step(event.image, Step::of(event, What::Op(event.op), Handle::Process(0)));
            }
        }
    }

    /// A process did something with itself.
    fn own_step(&mut self, image: usize, mut step: Step) {
        let pid = self.images[image].pid;
        step.handle = Handle::Process(pid);
        let known = self.by_pid.get(&pid.into()).copied();
        let known = known.filter(|number| self.resources.contains_key(&(*number).into()));
        let resource = known.unwrap_or_else(|| {
            let kind = KindId::from(Kind::Process);
            let resource = self.new_resource(kind, Handle::Process(pid), None, None);
            self.by_pid.insert(pid.into(), resource);
            resource
        });
        if let Some(known) = self.resources.get_mut(&resource.into())
            && known.label.is_empty()
        {
            known.label = self.images[image].exe.as_str().into();
        }
        let is_end = matches!(step.what, What::Ended(_));
        let at_ns = step.at_ns;
        self.step(resource, step);
        // Of a child it is its parent's wait that releases it.
        let has_parent = self.resources.get(&resource.into()).is_some_and(|r| r.key.is_some());
        if is_end && !has_parent {
            self.let_go(resource, at_ns);
        }
    }

    pub(super) fn heap(&mut self, event: &Event) {
        let address = event.word(1);
        let key = (event.image as u32, KindId::from(Kind::Heap), address);
        self.simple(event, key, Handle::Heap(address));
    }

    pub(super) fn annotated(&mut self, event: &Event) {
        if event.op.effect() == Effect::Mark {
            return;
        }
        let kind = self.kind(event.image, event.word(2) as u32);
        let key = (event.image as u32, kind, event.word(1));
        self.simple(event, key, Handle::Annotated(event.word(1)));
    }

    fn simple(&mut self, event: &Event, key: super::Key, handle: Handle) {
        if event.op.effect() == Effect::Acquire {
            return self.acquired(event, key, handle);
        }
        let is_known = self.named[event.image].contains_key(&(key.1, key.2));
        // Of sampled blocks only those that were sampled are told of; of all others nothing is known.
        if !is_known
            && key.1 == KindId::from(Kind::Heap)
            && !self.images[event.image].has_every_block()
        {
            return;
        }
        let resource = self.named_or_new(key, handle);
        self.step(resource, Step::of(event, What::Op(event.op), handle));
        if event.op.effect() == Effect::Release {
            self.let_go(resource, event.at_ns);
        }
    }

    fn acquired(&mut self, event: &Event, key: super::Key, handle: Handle) {
        let before = self.named[event.image].get(&(key.1, key.2)).copied();
        if let Some(before) = before.filter(|number| self.is_live(*number)) {
            self.step(before, Step::derived(event.at_ns, event.image, What::Vanished, handle));
            self.let_go(before, event.at_ns);
        }
        let resource = self.new_resource(key.1, handle, Some(event.at_ns), Some(key));
        self.step(resource, Step::of(event, What::Op(event.op), handle));
    }

    fn named_or_new(&mut self, key: super::Key, handle: Handle) -> u32 {
        let known = self.named[key.0 as usize].get(&(key.1, key.2)).copied();
        known.unwrap_or_else(|| self.new_resource(key.1, handle, None, Some(key)))
    }

    pub(super) fn mapping(&mut self, event: &Event) {
        let (address, length) = (event.word(1), event.word(2));
        let handle = Handle::Mapping(address);
        match event.op.effect() {
            Effect::Acquire => {
                let kind = KindId::from(Kind::Mapping);
                let resource = self.new_resource(kind, handle, Some(event.at_ns), None);
                let mapped = Mapped { length, site: resource, acquired_ns: event.at_ns };
                for gone in self.mappings[event.image].map(address, mapped) {
                    let what = What::Vanished;
                    self.step(gone.site, Step::derived(event.at_ns, event.image, what, handle));
                    self.let_go(gone.site, event.at_ns);
                }
                self.step(resource, Step::of(event, What::Op(event.op), handle));
            }
            Effect::Release => {
                let end = address.saturating_add(length);
                let mappings = &self.mappings[event.image];
                let touched: Vec<u32> = mappings.touching(address, end).collect();
                let gone = self.mappings[event.image].unmap(address, length);
                for resource in touched {
                    self.step(resource, Step::of(event, What::Op(event.op), handle));
                    let is_left = self.mappings[event.image].has_part_of(resource);
                    if gone.iter().any(|gone| gone.site == resource) && !is_left {
                        self.let_go(resource, event.at_ns);
                    }
                }
            }
            _ => {
                let resource =
                    self.mappings[event.image].touching(address, address.saturating_add(1)).next();
                let Some(resource) = resource else { return };
                self.mappings[event.image].remap(address, event.word(3), event.word(4));
                self.step(resource, Step::of(event, What::Op(event.op), handle));
            }
        }
    }

    /// An image has ended: its memory and its threads end with it, its children go on.
    pub(super) fn end_others(
        &mut self,
        at_ns: u64,
        image: usize,
        ending: Ending,
        next: Option<u32>,
    ) {
        let mut rest: Vec<((KindId, u64), u32)> =
            self.named[image].iter().map(|(key, number)| (*key, *number)).collect();
        rest.sort_unstable();
        for ((kind, handle), number) in rest {
            if !self.is_live(number) {
                continue;
            }
            if kind == KindId::from(Kind::Process)
                && let Some(next) = next
            {
                self.named[next as usize].insert((kind, handle), number);
                if let Some(resource) = self.resources.get_mut(&number.into()) {
                    resource.key = Some((next, kind, handle));
                }
                continue;
            }
            let known = self.resources.get(&number.into()).map(|known| known.handle);
            let handle = known.unwrap_or(Handle::Annotated(handle));
            self.step(number, Step::derived(at_ns, image, What::Ended(ending), handle));
            self.let_go(number, at_ns);
        }
        self.named[image].retain(|_, _| false);
        let mapped: Vec<(u64, u32)> =
            self.mappings[image].iter().map(|(at, mapped)| (at, mapped.site)).collect();
        for (address, number) in mapped {
            if self.is_live(number) {
                let handle = Handle::Mapping(address);
                self.step(number, Step::derived(at_ns, image, What::Ended(ending), handle));
                self.let_go(number, at_ns);
            }
        }
        self.mappings[image] = Default::default();
        let is_own = self.filter.class().is_none_or(|c| c == resshim_format::op::Class::Process);
        if next.is_none() && is_own && self.images[image].region != 0 {
            let step = Step::derived(at_ns, image, What::Ended(ending), Handle::Process(0));
            self.own_step(image, step);
        }
    }
}
