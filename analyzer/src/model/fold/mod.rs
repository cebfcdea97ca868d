//! The fold over the events of a trace, in the order of time: lifecycles, totals, series.
//!
//! Memory is kept for live resources and sites only; a lifecycle that closes goes to
//! [`ClosedSet`]. Never fails: an event that does not fit is counted in [`Anomalies`], and what is
//! live in the end is taken from the tables (see [`super::finish`]), which know better.

mod descriptors;

use std::collections::{BTreeMap, HashMap};

use resshim_format::op::{Class, Effect, Kind, Op};

use self::descriptors::FdSlot;
use super::after_exit::{AfterExit, Released};
use super::closed::{Closed, ClosedSet};
use super::closes::{CloseWatch, Releaser};
use super::frees::FreeWatch;
use super::hash::WordMap;
use super::image::Image;
use super::kind::{KindId, KindNames};
use super::mappings::{Mapped, Mappings};
use super::resource::{Handle, ReleaseSite};
use super::series::Flow;
use crate::source::events::Event;

/// Stacks that release what one site acquires, at most.
const RELEASE_SITES: usize = 8;
/// Wait statuses and steps that are kept.
const KEPT: usize = 1 << 20;

/// Events that did not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anomalies {
    /// Releases of what was not seen being acquired.
    pub unmatched_releases: u64,
    /// Acquisitions of a handle that was live: its release was not seen.
    pub missed_releases: u64,
    /// Records with impossible words.
    pub bad_records: u64,
}

/// Totals of a kind.
#[derive(Clone, Debug, Default)]
pub(super) struct KindFold {
    pub acquired: u64,
    pub released: u64,
    pub live: u64,
    pub peak: u64,
    pub acquired_bytes: u64,
    pub live_bytes: u64,
    pub peak_bytes: u64,
    pub flow: Option<Box<Flow>>,
}

/// What events say of a site.
#[derive(Clone, Debug)]
pub(super) struct SiteFold {
    pub image: u32,
    pub stack: u32,
    pub kind: KindId,
    pub op: Op,
    pub acquired: u64,
    pub released: u64,
    pub acquired_bytes: u64,
    pub released_bytes: u64,
    pub first_ns: u64,
    pub last_ns: u64,
    pub longest_ns: u64,
    pub releases: Vec<ReleaseSite>,
}

/// A lifecycle that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    pub site: u32,
    pub weight: u32,
    pub acquired_ns: u64,
    pub bytes: u64,
}

/// What events say of an image.
#[derive(Debug, Default)]
pub(super) struct ImageFold {
    fds: Vec<FdSlot>,
    threads: WordMap<Begun>,
    pub children: WordMap<Begun>,
    heap: WordMap<Begun>,
    pub mappings: Mappings,
    annotated: HashMap<(u64, KindId), (Begun, Box<str>)>,
    sites: WordMap<u32>,
    live: Vec<(u64, u64)>,
    pub closes: CloseWatch,
    pub frees: FreeWatch,
    has_threads: bool,
    /// When it last made a child, ns; 0 = never.
    forked_ns: u64,
    fd_live: u64,
    pub fd_peak: u64,
    pub last_ns: u64,
    pub exec_ns: Option<u64>,
    pub events: u64,
}

/// The fold. See the module's documentation.
pub struct Fold<'a> {
    pub(super) images: &'a [Image],
    pub(super) folds: Vec<ImageFold>,
    pub(super) sites: Vec<SiteFold>,
    pub(super) kinds: KindNames,
    pub(super) totals: Vec<KindFold>,
    pub(super) closed: ClosedSet,
    pub(super) after_exit: AfterExit,
    pub(super) anomalies: Anomalies,
    /// Failed calls by (image, operation, errno, stack): the highest count that was told.
    pub(super) failed: HashMap<(u32, u16, u16, u32), u64>,
    /// Wait statuses by pid, in the order of time.
    pub(super) statuses: Vec<(u32, u64, u32)>,
    /// Hold times that images said to expect, nanoseconds; the last counts.
    pub(super) expected: BTreeMap<(u32, KindId), f64>,
    /// Steps of the budget: image, time, words.
    pub(super) steps: Vec<(u32, u64, u64, u64)>,
    pub(super) events: u64,
    pub(super) last_ns: u64,
    /// Ends of images, latest first.
    ends: Vec<(u64, u32)>,
}

impl<'a> Fold<'a> {
    /// A fold over the events of these images; `ends` says when each ended, if it is known.
    pub fn new(images: &'a [Image], ends: &[Option<u64>]) -> Fold<'a> {
        let known = ends.iter().enumerate();
        let mut ends: Vec<(u64, u32)> =
            known.filter_map(|(image, end)| Some(((*end)?, image as u32))).collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        let mut folds = Vec::new();
        folds.resize_with(images.len(), ImageFold::default);
        for (fold, image) in folds.iter_mut().zip(images) {
            fold.frees = FreeWatch::new(image.has_every_block());
        }
        Fold {
            images,
            folds,
            sites: Vec::new(),
            kinds: KindNames::default(),
            totals: Vec::new(),
            closed: ClosedSet::default(),
            after_exit: AfterExit::default(),
            anomalies: Anomalies::default(),
            failed: HashMap::new(),
            statuses: Vec::new(),
            expected: BTreeMap::new(),
            steps: Vec::new(),
            events: 0,
            last_ns: 0,
            ends,
        }
    }

    /// Takes one event; they come in the order of time.
    pub fn event(&mut self, event: &Event) {
        while self.ends.last().is_some_and(|(end, _)| *end < event.at_ns) {
            if let Some((end, image)) = self.ends.pop() {
                self.end_image(end, image);
            }
        }
        self.events += 1;
        self.last_ns = self.last_ns.max(event.at_ns);
        let Some(fold) = self.folds.get_mut(event.image) else { return };
        fold.last_ns = fold.last_ns.max(event.at_ns);
        fold.events += 1;
        match event.op.class() {
            Class::Fd => self.fd(event),
            Class::Thread => self.thread(event),
            Class::Process => self.process(event),
            Class::Heap => self.heap(event),
            Class::Mapping => self.mapping(event),
            Class::Annotated => self.annotated(event),
            Class::Meta => self.meta(event),
        }
    }

    /// The trace reaches at least up to this time.
    pub fn last_seen(&mut self, at_ns: u64) {
        self.last_ns = self.last_ns.max(at_ns);
    }

    fn end_image(&mut self, at_ns: u64, image: u32) {
        let Some(fold) = self.folds.get_mut(image as usize) else { return };
        for (kind, (live, bytes)) in std::mem::take(&mut fold.live).into_iter().enumerate() {
            if let Some(total) = self.totals.get_mut(kind) {
                total.live = total.live.saturating_sub(live);
                total.live_bytes = total.live_bytes.saturating_sub(bytes);
                if let Some(flow) = total.flow.as_mut().filter(|_| live > 0) {
                    flow.leave(at_ns, live);
                }
            }
        }
    }

    /// Kind of a number in this image.
    pub(super) fn kind(&mut self, image: usize, number: u32) -> KindId {
        match Kind::from_number(number) {
            Some(kind) => kind.into(),
            None => {
                let names = self.images.get(image).map(|image| &image.tables.kind_names);
                names.map_or(KindId(0), |names| self.kinds.of_number(number, names))
            }
        }
    }

    fn site(&mut self, event: &Event, kind: KindId) -> u32 {
        let key = (kind.0 as u64) << 32 | event.stack as u64;
        let next = self.sites.len() as u32;
        let site = *self.folds[event.image].sites.entry(key).or_insert(next);
        if site == next {
            self.sites.push(SiteFold {
                image: event.image as u32,
                stack: event.stack,
                kind,
                op: event.op,
                acquired: 0,
                released: 0,
                acquired_bytes: 0,
                released_bytes: 0,
                first_ns: event.at_ns,
                last_ns: event.at_ns,
                longest_ns: 0,
                releases: Vec::new(),
            });
        }
        site
    }

    pub(super) fn total(&mut self, kind: KindId) -> &mut KindFold {
        let index = kind.0 as usize;
        if self.totals.len() <= index {
            self.totals.resize_with(index + 1, KindFold::default);
        }
        &mut self.totals[index]
    }

    fn begin(&mut self, event: &Event, kind: KindId, weight: u32, bytes: u64) -> Begun {
        let site = self.site(event, kind);
        let (count, at_ns) = (weight as u64, event.at_ns);
        let stats = &mut self.sites[site as usize];
        stats.acquired = stats.acquired.saturating_add(count);
        stats.acquired_bytes = stats.acquired_bytes.saturating_add(bytes);
        stats.last_ns = at_ns;
        let total = self.total(kind);
        total.acquired = total.acquired.saturating_add(count);
        total.acquired_bytes = total.acquired_bytes.saturating_add(bytes);
        total.live = total.live.saturating_add(count);
        total.live_bytes = total.live_bytes.saturating_add(bytes);
        total.peak = total.peak.max(total.live);
        total.peak_bytes = total.peak_bytes.max(total.live_bytes);
        total.flow.get_or_insert_default().acquire(at_ns, count);
        let live = &mut self.folds[event.image].live;
        let index = kind.0 as usize;
        if live.len() <= index {
            live.resize(index + 1, (0, 0));
        }
        live[index].0 = live[index].0.saturating_add(count);
        live[index].1 = live[index].1.saturating_add(bytes);
        Begun { site, weight, acquired_ns: at_ns, bytes }
    }

    /// Ends a lifecycle whose release was seen, unless it was open when its image went to the phase `exit`.
    /// Memory that a managed runtime gives back then is that of its own objects, and as good as freed.
    fn release(&mut self, event: &Event, begun: Begun, handle: Handle, label: Box<str>) {
        let is_memory = matches!(handle, Handle::Heap(_) | Handle::Mapping(_));
        let is_runtimes = is_memory && self.images[event.image].has_runtime;
        if is_runtimes || !self.after_exit.holds(event.image as u32, begun.acquired_ns) {
            return self.end(begun, event.at_ns, Some(event.stack));
        }
        let Some(site) = self.sites.get(begun.site as usize) else { return };
        self.after_exit.keep(Released {
            image: event.image as u32,
            site: begun.site,
            kind: site.kind,
            handle,
            acquired_ns: begun.acquired_ns,
            bytes: begun.bytes,
            weight: begun.weight,
            label,
        });
    }

    /// Ends a lifecycle; `by` is the stack that released it, `None` if nobody was seen doing so.
    fn end(&mut self, begun: Begun, at_ns: u64, by: Option<u32>) {
        let Some(site) = self.sites.get_mut(begun.site as usize) else { return };
        let count = begun.weight as u64;
        let (kind, image) = (site.kind.0 as usize, site.image as usize);
        site.released = site.released.saturating_add(count);
        site.released_bytes = site.released_bytes.saturating_add(begun.bytes);
        match by {
            Some(stack) => {
                let lifetime_ns = at_ns.saturating_sub(begun.acquired_ns);
                site.longest_ns = site.longest_ns.max(lifetime_ns);
                let known = site.releases.iter().position(|release| release.stack == stack);
                match known {
                    // Not every release takes its stack.
                    _ if stack == 0 => {}
                    Some(at) => site.releases[at].count += 1,
                    None if site.releases.len() < RELEASE_SITES => {
                        site.releases.push(ReleaseSite { stack, count: 1 });
                    }
                    None => {}
                }
                self.closed.push(Closed {
                    site: begun.site,
                    acquired_ns: begun.acquired_ns,
                    lifetime_ns,
                });
            }
            None => self.anomalies.missed_releases += 1,
        }
        if let Some(total) = self.totals.get_mut(kind) {
            total.released = total.released.saturating_add(count);
            total.live = total.live.saturating_sub(count);
            total.live_bytes = total.live_bytes.saturating_sub(begun.bytes);
            if let Some(flow) = &mut total.flow {
                flow.release(at_ns, count);
            }
        }
        let live = self.folds.get_mut(image).and_then(|fold| fold.live.get_mut(kind));
        if let Some(live) = live {
            live.0 = live.0.saturating_sub(count);
            live.1 = live.1.saturating_sub(begun.bytes);
        }
    }

    fn thread(&mut self, event: &Event) {
        let fold = &mut self.folds[event.image];
        let key = event.word(1);
        match (event.op.effect(), event.op) {
            (Effect::Acquire, _) => {
                fold.has_threads = true;
                let begun = self.begin(event, Kind::Thread.into(), 1, 0);
                if let Some(missed) = self.folds[event.image].threads.insert(key, begun) {
                    self.end(missed, event.at_ns, None);
                }
            }
            (Effect::Release, _) => match fold.threads.remove(&key) {
                Some(begun) => self.end(begun, event.at_ns, Some(event.stack)),
                None => self.anomalies.unmatched_releases += 1,
            },
            (_, Op::PthreadDetach) => {
                // From now on its end is its release.
                if let Some(begun) = fold.threads.remove(&key) {
                    fold.threads.insert(key | DETACHED, begun);
                }
            }
            (_, Op::ThreadEnd) => {
                if let Some(begun) = fold.threads.remove(&(key | DETACHED)) {
                    self.end(begun, event.at_ns, Some(event.stack));
                }
            }
            _ => {}
        }
    }

    fn process(&mut self, event: &Event) {
        let pid = event.word(1);
        match event.op.effect() {
            // `daemon`: the child goes on, the parent is gone.
            Effect::Fork if event.op != Op::Daemon => {
                self.folds[event.image].forked_ns = event.at_ns;
                let begun = self.begin(event, Kind::Process.into(), 1, 0);
                if let Some(missed) = self.folds[event.image].children.insert(pid, begun) {
                    self.end(missed, event.at_ns, None);
                }
            }
            Effect::Release => {
                if self.statuses.len() < KEPT {
                    self.statuses.push((pid as u32, event.at_ns, event.word(2) as u32));
                }
                match self.folds[event.image].children.remove(&pid) {
                    Some(begun) => self.end(begun, event.at_ns, Some(event.stack)),
                    None => self.anomalies.unmatched_releases += 1,
                }
            }
            Effect::Exec => self.folds[event.image].exec_ns = Some(event.at_ns),
            _ => {}
        }
    }

    fn heap(&mut self, event: &Event) {
        let address = event.word(1);
        match event.op.effect() {
            Effect::Acquire => {
                let size = event.word(2);
                let weight = match event.words.get(2) {
                    Some(bits) => f64::from_bits(*bits),
                    None => 1.0,
                };
                let weight = if weight.is_finite() { weight.clamp(1.0, 1e9) } else { 1.0 };
                let bytes = (size as f64 * weight) as u64;
                let begun = self.begin(event, Kind::Heap.into(), weight.round() as u32, bytes);
                let fold = &mut self.folds[event.image];
                fold.frees.acquired(address, event.tid);
                if let Some(missed) = fold.heap.insert(address, begun) {
                    self.end(missed, event.at_ns, None);
                }
            }
            Effect::Release => {
                let by = Releaser { stack: event.stack, tid: event.tid, at_ns: event.at_ns };
                let fold = &mut self.folds[event.image];
                match fold.heap.remove(&address) {
                    Some(begun) => {
                        fold.frees.released(address, begun.site, by);
                        self.release(event, begun, Handle::Heap(address), "".into());
                    }
                    None => {
                        let blocks = fold.heap.iter().map(|(start, b)| (*start, b.bytes, b.site));
                        fold.frees.unknown(event.image as u32, address, by, blocks);
                        self.anomalies.unmatched_releases += 1;
                    }
                }
            }
            _ => {}
        }
    }

    fn mapping(&mut self, event: &Event) {
        let (address, length) = (event.word(1), event.word(2));
        match event.op.effect() {
            Effect::Acquire => {
                let begun = self.begin(event, Kind::Mapping.into(), 1, length);
                let mapped = Mapped { length, site: begun.site, acquired_ns: event.at_ns };
                let gone = self.folds[event.image].mappings.map(address, mapped);
                self.unmapped(gone, event);
            }
            Effect::Release => {
                let gone = self.folds[event.image].mappings.unmap(address, length);
                self.unmapped(gone, event);
            }
            Effect::State => {
                let (new, length) = (event.word(3), event.word(4));
                if !self.folds[event.image].mappings.remap(address, new, length) {
                    self.anomalies.unmatched_releases += 1;
                }
            }
            _ => {}
        }
    }

    fn unmapped(&mut self, gone: Vec<Mapped>, event: &Event) {
        for mapped in gone {
            let Mapped { length: bytes, site, acquired_ns } = mapped;
            let begun = Begun { site, weight: 1, acquired_ns, bytes };
            self.release(event, begun, Handle::Mapping(event.word(1)), "".into());
        }
    }

    fn annotated(&mut self, event: &Event) {
        let kind = self.kind(event.image, event.word(2) as u32);
        let key = (event.word(1), kind);
        match event.op.effect() {
            Effect::Acquire => {
                let begun = self.begin(event, kind, 1, 0);
                let named = (begun, String::from_utf8_lossy(event.label).into());
                if let Some((missed, _)) = self.folds[event.image].annotated.insert(key, named) {
                    self.end(missed, event.at_ns, None);
                }
            }
            Effect::Release => match self.folds[event.image].annotated.remove(&key) {
                Some((begun, label)) => {
                    self.release(event, begun, Handle::Annotated(event.word(1)), label);
                }
                None => self.anomalies.unmatched_releases += 1,
            },
            _ => {}
        }
    }

    fn meta(&mut self, event: &Event) {
        match event.op {
            Op::Failed => self.failed_call(event),
            Op::Phase if event.label == EXIT_PHASE => {
                self.after_exit.begins(event.image as u32, event.at_ns);
            }
            Op::Expect => {
                let limit = f64::from_bits(event.word(2)) * 1e9;
                // Anything may stand in a record; a NaN is no limit.
                if limit > 0.0 && self.expected.len() < KEPT {
                    let kind = self.kind(event.image, event.word(1) as u32);
                    self.expected.insert((event.image as u32, kind), limit);
                }
            }
            Op::Step if self.steps.len() < KEPT => {
                self.steps.push((event.image as u32, event.at_ns, event.word(1), event.word(2)));
            }
            _ => {}
        }
    }
}

/// Name of the phase that begins where the runtime tears itself down.
const EXIT_PHASE: &[u8] = b"exit";
/// Set in the key of a thread that was detached: no row of the table has so high a number.
const DETACHED: u64 = 1 << 31;
