//! The life of each resource as the list of what happened to it, over dup, fork and exec.
//!
//! A second listener to the events that [`super::fold::Fold`] folds into totals: it keeps the steps of
//! what lives, not sums. Each record names the lifetime that it is about; what has to be known beside that
//! is which descriptors a fork child or the next image of a process began with. Never fails.
//!
//! Memory is kept for what lives, [`HEAD`] + [`TAIL`] steps of each, and for [`WAITING`] lives that are
//! over: a second close comes late. With [`Trail::stream`] no steps of a resource are kept that was asked for.

pub mod arguments;
mod descriptors;
pub mod filter;
mod lineage;
mod others;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};

use resshim_format::op::{Class, Kind, Op};

use self::descriptors::FdSlot;
use self::filter::Filter;
use self::lineage::Lineage;
use super::hash::WordMap;
use super::image::Image;
use super::kind::{KindId, KindNames};
use super::mappings::Mappings;
use super::process::{Ending, Life};
use super::resource::Handle;
use crate::source::events::Event;

/// First steps of a resource that are kept.
pub const HEAD: usize = 64;
/// Last steps of a resource that are kept.
pub const TAIL: usize = 64;
/// Resources whose life is over and that are kept all the same.
pub const WAITING: usize = 4096;
/// Bytes of a label.
const LABEL: usize = 1024;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A call that did what it was asked for.
    Op(Op),
    /// One that failed: so often by now at this place, as far as it was told.
    Failed {
        /// The call.
        op: Op,
        /// Why.
        errno: u16,
        /// How often so far.
        count: u32,
    },
    /// A fork: this image has it too from now on.
    Forked(u32),
    /// An exec: this image has it from now on.
    Kept(u32),
    /// An exec closed it.
    ClosedByExec,
    /// Its number was given to another one: nobody was seen releasing it.
    Vanished,
    /// The image ended, and with it its hold on the resource.
    Ended(Ending),
}

/// One thing that happened to a resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Nanoseconds since the trace began.
    pub at_ns: u64,
    /// Image that did it.
    pub image: u32,
    /// Thread that did it, 0 = none.
    pub tid: u32,
    /// What.
    pub what: What,
    /// By which handle.
    pub handle: Handle,
    /// The handle that it is another one of, or that it came from.
    pub other: Option<Handle>,
    /// Call stack in the image, 0 = none.
    pub stack: u32,
    /// Words of the record behind its header.
    pub words: [u64; 4],
    /// How many of them there are.
    pub word_count: u8,
    /// Path, address, name; not escaped.
    pub label: Box<str>,
}

impl Step {
    fn of(event: &Event, what: What, handle: Handle) -> Step {
        let mut words = [0; 4];
        words.iter_mut().zip(event.words).for_each(|(to, from)| *to = *from);
        let label = event.label.get(..LABEL).unwrap_or(event.label);
        Step {
            at_ns: event.at_ns,
            image: event.image as u32,
            tid: event.tid,
            what,
            handle,
            other: None,
            stack: event.stack,
            words,
            word_count: event.words.len().min(4) as u8,
            label: String::from_utf8_lossy(label).into(),
        }
    }

    /// What no record tells.
    fn derived(at_ns: u64, image: usize, what: What, handle: Handle) -> Step {
        Step {
            at_ns,
            image: image as u32,
            tid: 0,
            what,
            handle,
            other: None,
            stack: 0,
            words: [0; 4],
            word_count: 0,
            label: "".into(),
        }
    }
}

/// A resource, as far as its life has gone.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Its number in this trail: 1, 2, … as they were first met.
    pub number: u32,
    /// Kind.
    pub kind: KindId,
    /// Its first handle.
    pub handle: Handle,
    /// Path, address, name: the latest.
    pub label: Box<str>,
    /// When it was acquired; `None` = before it was first seen.
    pub acquired_ns: Option<u64>,
    /// When its last handle was released, or its last holder ended.
    pub over_ns: Option<u64>,
    /// Steps in the order of time; those between the first and the last ones may be left out.
    pub steps: Vec<Step>,
    /// Steps left out behind the first [`HEAD`].
    pub left_out: u64,
    tail: VecDeque<Step>,
    /// Handles that are live.
    holders: u32,
    /// Of all that is not a descriptor: what it is found by.
    key: Option<Key>,
    is_asked: bool,
    is_recent: bool,
}

impl Resource {
    fn is_matched(&self) -> bool {
        self.is_asked && self.is_recent
    }

    fn keep(&mut self, step: Step) {
        if self.steps.len() < HEAD {
            // The record of a fork may be later than what its child did.
            let later = self.steps.iter().rev().take_while(|kept| kept.at_ns > step.at_ns).count();
            return self.steps.insert(self.steps.len() - later, step);
        }
        if self.tail.len() >= TAIL {
            self.tail.pop_front();
            self.left_out += 1;
        }
        self.tail.push_back(step);
    }

    fn close_up(mut self) -> Resource {
        self.steps.extend(std::mem::take(&mut self.tail));
        self
    }
}

/// What names a resource that is no descriptor: image, kind, handle.
type Key = (u32, KindId, u64);

/// What there is to be shown.
#[derive(Clone, Debug)]
pub enum Ready {
    /// A resource with its steps: its life is over, or the trace is.
    Resource(Box<Resource>),
    /// One step of a resource (number, kind), with [`Trail::stream`].
    Step(u32, KindId, Step),
    /// So many steps of a resource are not shown, with [`Trail::stream`].
    LeftOut(u32, KindId, u64),
    /// A failed call that is about no resource.
    Failed(KindId, Step),
}

/// The listener. See the module's documentation.
#[derive(Debug)]
pub struct Trail<'a> {
    images: &'a [Image],
    lives: &'a [Life],
    filter: &'a Filter,
    kinds: KindNames,
    streams: bool,
    /// What can be shown now; whoever drives the trail takes it.
    pub ready: Vec<Ready>,
    next: u32,
    resources: WordMap<Resource>,
    /// Over, oldest first.
    over: VecDeque<u32>,
    fds: Vec<WordMap<FdSlot>>,
    /// By image: what is no descriptor, by kind and handle.
    named: Vec<HashMap<(KindId, u64), u32>>,
    mappings: Vec<Mappings>,
    /// Processes by pid.
    by_pid: WordMap<u32>,
    lineage: Lineage,
}

impl<'a> Trail<'a> {
    /// A trail over the events of these images.
    pub fn new(images: &'a [Image], lives: &'a [Life], filter: &'a Filter) -> Trail<'a> {
        let mut mappings = Vec::new();
        mappings.resize_with(images.len(), Mappings::default);
        Trail {
            images,
            lives,
            filter,
            kinds: KindNames::default(),
            streams: false,
            ready: Vec::new(),
            next: 1,
            resources: WordMap::default(),
            over: VecDeque::new(),
            fds: vec![WordMap::default(); images.len()],
            named: vec![HashMap::new(); images.len()],
            mappings,
            by_pid: WordMap::default(),
            lineage: Lineage::of(images, lives),
        }
    }

    /// Gives steps one by one, as soon as it is known that their resource was asked for.
    pub fn stream(mut self) -> Trail<'a> {
        self.streams = true;
        self
    }

    /// The word of a kind.
    pub fn kind_name(&self, kind: KindId) -> &str {
        self.kinds.name(kind)
    }

    /// Takes one event; they come in the order of time.
    pub fn event(&mut self, event: &Event) {
        self.lineage_until(event.at_ns);
        if event.image >= self.images.len() {
            return;
        }
        self.begin_image(event.image, event.at_ns);
        let class = event.op.class();
        let is_life = matches!(class, Class::Process | Class::Meta);
        if !is_life && self.filter.class().is_some_and(|asked| asked != class) {
            return;
        }
        match class {
            Class::Fd => self.fd(event),
            Class::Thread => self.thread(event),
            Class::Process => self.process(event),
            Class::Heap => self.heap(event),
            Class::Mapping => self.mapping(event),
            Class::Annotated => self.annotated(event),
            Class::Meta if event.op == Op::Failed => self.failed(event),
            Class::Meta => {}
        }
    }

    /// No event follows; the trace reaches up to this time.
    pub fn finish(&mut self) {
        self.lineage_until(u64::MAX);
        let mut rest: Vec<u64> = self.resources.keys().copied().collect();
        rest.sort_unstable();
        for number in rest {
            self.show(number as u32);
        }
    }

    fn kind(&mut self, image: usize, number: u32) -> KindId {
        match Kind::from_number(number) {
            Some(kind) => kind.into(),
            None => {
                let names = self.images.get(image).map(|image| &image.tables.kind_names);
                names.map_or(KindId(0), |names| self.kinds.of_number(number, names))
            }
        }
    }

    /// A resource that was not known; `acquired_ns`: `None` = it was there before.
    fn new_resource(
        &mut self,
        kind: KindId,
        handle: Handle,
        acquired_ns: Option<u64>,
        key: Option<Key>,
    ) -> u32 {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        if let Some((image, kind, handle)) = key
            && let Some(named) = self.named.get_mut(image as usize)
        {
            named.insert((kind, handle), number);
        }
        self.resources.insert(
            number.into(),
            Resource {
                number,
                kind,
                handle,
                label: "".into(),
                acquired_ns,
                over_ns: None,
                steps: Vec::new(),
                left_out: 0,
                tail: VecDeque::new(),
                holders: 1,
                key,
                is_asked: false,
                is_recent: false,
            },
        );
        number
    }

    /// Something happened to a resource.
    fn step(&mut self, number: u32, step: Step) {
        let pids = match step.what {
            What::Forked(other) | What::Kept(other) => [step.image, other],
            _ => [step.image; 2],
        };
        let pids = pids.map(|image| self.images.get(image as usize).map_or(0, |image| image.pid));
        let Some(resource) = self.resources.get_mut(&number.into()) else { return };
        let was_matched = resource.is_matched();
        let word = self.kinds.name(resource.kind);
        resource.is_asked |= self.filter.asks_for(word, pids, &step);
        resource.is_recent |= self.filter.is_recent(step.at_ns);
        if !step.label.is_empty() && !matches!(step.what, What::Op(Op::AnnotateState)) {
            resource.label = step.label.clone();
        }
        if let Handle::Thread(0) = resource.handle {
            resource.handle = step.handle;
        }
        if !self.streams || !resource.is_matched() {
            return resource.keep(step);
        }
        let kind = resource.kind;
        if !was_matched {
            let left_out = std::mem::take(&mut resource.left_out);
            let head = std::mem::take(&mut resource.steps);
            let tail = std::mem::take(&mut resource.tail);
            self.ready.extend(head.into_iter().map(|step| Ready::Step(number, kind, step)));
            if left_out > 0 {
                self.ready.push(Ready::LeftOut(number, kind, left_out));
            }
            self.ready.extend(tail.into_iter().map(|step| Ready::Step(number, kind, step)));
        }
        self.ready.push(Ready::Step(number, kind, step));
    }

    /// One more handle of it is live.
    fn held(&mut self, number: u32) {
        if let Some(resource) = self.resources.get_mut(&number.into()) {
            resource.holders = resource.holders.saturating_add(1);
        }
    }

    /// One handle of it is live no more; its life is over with the last.
    fn let_go(&mut self, number: u32, at_ns: u64) {
        let Some(resource) = self.resources.get_mut(&number.into()) else { return };
        resource.holders = resource.holders.saturating_sub(1);
        if resource.holders > 0 || resource.over_ns.is_some() {
            return;
        }
        resource.over_ns = Some(at_ns);
        self.over.push_back(number);
        if self.over.len() > WAITING
            && let Some(oldest) = self.over.pop_front()
        {
            self.show(oldest);
        }
    }

    /// Nothing more is kept of it.
    fn show(&mut self, number: u32) {
        let Some(resource) = self.resources.remove(&number.into()) else { return };
        if let Some((image, kind, handle)) = resource.key
            && let Some(named) = self.named.get_mut(image as usize)
            && named.get(&(kind, handle)) == Some(&number)
        {
            named.remove(&(kind, handle));
        }
        if resource.is_matched() && !self.streams {
            self.ready.push(Ready::Resource(Box::new(resource.close_up())));
        }
    }

    /// Whether a resource is known and its life is not over.
    fn is_live(&self, number: u32) -> bool {
        self.resources.get(&number.into()).is_some_and(|resource| resource.over_ns.is_none())
    }
}
