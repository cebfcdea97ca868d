//! From a trace to the trail of its resources: the events go through [`Trail`], what is ready gets its
//! names in portions and is handed on at once, so that memory does not grow with the trace.

use std::collections::HashMap;
use std::path::Path;

use resshim_format::op::{Class, Effect, Kind};
use resshim_format::record::FdHandle;

use super::names::TraceNames;
use super::{compare_living, images, no_such_process, seconds, whole_lives};
use crate::analysis::{Names, StackRef};
use crate::audit::{Line, Part, Summary, Trail as Shown};
use crate::error::{Error, Result};
use crate::model::image::Image;
use crate::model::process::{Ending, Life};
use crate::model::resource::Handle;
use crate::model::trail::filter::Filter;
use crate::model::trail::{Ready, Resource, Step, Trail, What, arguments};
use crate::report::Site;
use crate::source::trace::Trace;

/// What is resolved and handed on together.
const PORTION: usize = 512;
/// Call sites whose names are kept.
const MOST_SITES: usize = 20_000;

/// How the trail is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Each resource as a whole.
    Resources,
    /// Step by step.
    Steps,
}

/// Hands the trail of what is asked for to `take`, in portions.
///
/// # Errors
/// Where it is no trace, it has no such process or kind, or `take` fails.
pub fn audit(
    path: &Path,
    filter: &Filter,
    order: Order,
    take: &mut dyn FnMut(Vec<Part>) -> anyhow::Result<()>,
) -> anyhow::Result<Summary> {
    let mut trace = Trace::open(path)?;
    compare_living(&mut trace);
    let images = images(&trace, &super::Options::default());
    if let Some(pid) = filter.pid.filter(|pid| images.iter().all(|image| image.pid != *pid)) {
        return Err(no_such_process(path, &images, pid).into());
    }
    known_kind(path, &images, filter)?;
    let lives = whole_lives(&trace, &images);
    let mut names = Naming {
        names: TraceNames::of(path, &trace),
        sites: HashMap::new(),
        images: &images,
        lives: &lives,
    };
    let mut trail = Trail::new(&images, &lives, filter);
    if order == Order::Steps {
        trail = trail.stream();
    }
    let mut summary = Summary::default();
    let mut events = trace.events();
    while let Some(event) = events.next() {
        summary.events += 1;
        trail.event(&event);
        if trail.ready.len() >= PORTION {
            hand_on(&mut trail, &mut names, &mut summary, take)?;
        }
    }
    let damage = events.anomalies.bad_lengths + events.anomalies.stray_texts + events.unreadable;
    trail.finish();
    hand_on(&mut trail, &mut names, &mut summary, take)?;
    summarise(&trace, &images, damage, &mut summary);
    let asks_for_heap = filter.class() == Some(Class::Heap);
    if asks_for_heap && images.iter().any(|image| image.region != 0 && image.heap_mean > 1) {
        let text = "heap blocks are a sample: RESSHIM_HEAP_SAMPLE=1 records every one";
        summary.remarks.push(text.to_owned());
    }
    summary.remarks.extend(names.names.diagnostics().into_iter().map(|remark| remark.text));
    Ok(summary)
}

fn summarise(trace: &Trace, images: &[Image], damage: u64, summary: &mut Summary) {
    summary.remarks.extend(trace.problems.iter().cloned());
    if damage > 0 {
        summary.remarks.push(format!("{damage} damaged pieces of the history were passed over"));
    }
    let mut overwritten = 0_u64;
    for image in images {
        let losses = image.losses;
        for lost in [losses.acquisitions, losses.releases, losses.other] {
            summary.events_lost = summary.events_lost.saturating_add(lost);
        }
        overwritten = overwritten.saturating_add(losses.overwritten_chunks);
    }
    if overwritten > 0 {
        let text = "the oldest history was overwritten: the trail begins later (`resshim record` keeps all)";
        summary.remarks.push(text.to_owned());
    }
}

/// A kind that nobody knows is a mistake in the command, not an empty answer.
fn known_kind(path: &Path, images: &[Image], filter: &Filter) -> Result<()> {
    let Some(kind) = filter.kind.as_deref().filter(|kind| Kind::from_name(kind).is_none()) else {
        return Ok(());
    };
    let mut named: Vec<&str> = images
        .iter()
        .flat_map(|image| image.tables.kind_names.values())
        .map(String::as_str)
        .collect();
    if named.contains(&kind) {
        return Ok(());
    }
    named.sort_unstable();
    named.dedup();
    named.truncate(16);
    let kinds = Kind::ALL.iter().map(|kind| kind.name());
    let all: Vec<&str> = kinds.chain(named).collect();
    let hint = format!("kinds are {}", all.join(", "));
    Err(Error::input(path, format!("has no kind '{kind}'"), hint))
}

fn hand_on(
    trail: &mut Trail,
    names: &mut Naming,
    summary: &mut Summary,
    take: &mut dyn FnMut(Vec<Part>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut ready = std::mem::take(&mut trail.ready);
    while !ready.is_empty() {
        let rest = ready.split_off(ready.len().min(PORTION));
        names.prepare(&ready);
        let parts: Vec<Part> = ready
            .into_iter()
            .map(|one| match one {
                Ready::Resource(resource) => Part::Trail(names.resource(trail, *resource)),
                Ready::Step(number, kind, step) => {
                    Part::Line(names.line(Some(number), trail.kind_name(kind), &step))
                }
                Ready::LeftOut(number, kind, count) => Part::Line(Line {
                    resource: Some(number),
                    kind: trail.kind_name(kind).to_owned(),
                    event: "left out".to_owned(),
                    effect: "mark".to_owned(),
                    arguments: [("steps".to_owned(), count.to_string())].into(),
                    ..Line::default()
                }),
                Ready::Failed(kind, step) => {
                    Part::Line(names.line(None, trail.kind_name(kind), &step))
                }
            })
            .collect();
        summary.shown += parts.len() as u64;
        take(parts)?;
        ready = rest;
    }
    Ok(())
}

/// Gives names to steps.
struct Naming<'t> {
    names: TraceNames<'t>,
    sites: HashMap<StackRef, Site>,
    images: &'t [Image],
    lives: &'t [Life],
}

impl Naming<'_> {
    fn prepare(&mut self, ready: &[Ready]) {
        if self.sites.len() > MOST_SITES {
            self.sites.clear();
        }
        let steps = ready.iter().flat_map(|one| match one {
            Ready::Resource(resource) => resource.steps.as_slice(),
            Ready::Step(_, _, step) | Ready::Failed(_, step) => std::slice::from_ref(step),
            Ready::LeftOut(..) => &[],
        });
        let mut stacks: Vec<StackRef> = steps
            .filter(|step| step.stack != 0)
            .map(|step| StackRef { image: step.image, stack: step.stack })
            .filter(|at| !self.sites.contains_key(at))
            .collect();
        stacks.sort_unstable();
        stacks.dedup();
        self.names.prepare(&stacks);
        for at in stacks {
            let site = self.names.site(at).site;
            self.sites.insert(at, site);
        }
    }

    fn resource(&self, trail: &Trail, resource: Resource) -> Shown {
        let kind = trail.kind_name(resource.kind);
        let number = Some(resource.number);
        let first = resource.steps.first().map_or(0, |step| step.image as usize);
        let image = self.images.get(first);
        Shown {
            number: resource.number,
            kind: kind.to_owned(),
            handle: resource.handle.text(kind),
            label: resource.label.as_ref().to_owned(),
            program: image.map_or_else(Default::default, |image| (image.exe_name(), image.pid)),
            acquired_s: resource.acquired_ns.map(seconds),
            over_s: resource.over_ns.map(seconds),
            end: self.end(&resource),
            lines: resource.steps.iter().map(|step| self.line(number, kind, step)).collect(),
            left_out: (crate::model::trail::HEAD, resource.left_out),
        }
    }

    /// How it stands, in words.
    fn end(&self, resource: &Resource) -> String {
        let Some(over) = resource.over_ns else {
            let holder = resource.steps.last().and_then(|step| self.lives.get(step.image as usize));
            return match holder.map(|life| life.ending) {
                Some(Ending::Running) => "still open, its process runs".to_owned(),
                _ => "still open at the end of the trace".to_owned(),
            };
        };
        let held = resource.acquired_ns.map(|acquired| over.saturating_sub(acquired));
        let after = held.map_or(String::new(), |held| {
            format!(" after {}", crate::view::quantity::seconds(held as f64 / 1e9))
        });
        // What came after the end of its life (a second close) is no end.
        let last = resource.steps.iter().rev().find(|step| step.at_ns <= over && is_end(step.what));
        match last.map(|step| step.what) {
            Some(What::Ended(ending)) if resource.kind != Kind::Process.into() => {
                format!("never released: its process ended ({})", ending.text())
            }
            Some(What::Ended(ending)) => format!("ended ({}){after}", ending.text()),
            Some(What::ClosedByExec) => format!("closed by exec{after}"),
            Some(What::Vanished) => format!("gone{after}, nobody was seen releasing it"),
            _ => format!("released{after}"),
        }
    }

    fn line(&self, resource: Option<u32>, kind: &str, step: &Step) -> Line {
        let image = self.images.get(step.image as usize);
        let text = |handle: Handle| match handle {
            Handle::Fd { number, generation }
                if arguments::is_no_fd(FdHandle { number, generation }) =>
            {
                String::new()
            }
            Handle::Heap(0) | Handle::Mapping(0) | Handle::Thread(0) | Handle::Process(0) => {
                String::new()
            }
            handle => handle.text(kind),
        };
        let mut all: std::collections::BTreeMap<String, String> =
            arguments::of(step).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let other = step.other.map(text).filter(|other| !other.is_empty());
        let is_alias = arguments::is_alias(step);
        if let (Some(other), What::Op(op), false) = (&other, step.what, is_alias) {
            all.insert(arguments::other(op).to_owned(), other.clone());
        }
        let to_pid = match step.what {
            What::Forked(to) | What::Kept(to) => self.images.get(to as usize).map(|to| to.pid),
            _ => None,
        };
        if let What::Ended(ending) = step.what {
            all.insert("how".to_owned(), ending.text());
        }
        if let What::Kept(to) = step.what
            && let Some(to) = self.images.get(to as usize)
        {
            all.insert("program".to_owned(), to.exe.clone());
        }
        let (event, effect) = named(step.what);
        Line {
            resource,
            kind: kind.to_owned(),
            at_s: seconds(step.at_ns),
            pid: image.map_or(0, |image| image.pid),
            image: image.map_or(0, |image| image.image),
            tid: step.tid,
            event: event.to_owned(),
            effect: effect.to_owned(),
            handle: text(step.handle),
            alias_of: other.filter(|_| is_alias),
            arguments: all,
            label: step.label.as_ref().to_owned(),
            to_pid,
            site: self
                .sites
                .get(&StackRef { image: step.image, stack: step.stack })
                .cloned()
                .unwrap_or_default(),
        }
    }
}

fn is_end(what: What) -> bool {
    match what {
        What::Op(op) => op.effect() == Effect::Release,
        What::ClosedByExec | What::Vanished | What::Ended(_) => true,
        _ => false,
    }
}

fn named(what: What) -> (&'static str, &'static str) {
    match what {
        What::Op(op) => (op.name(), effect(op.effect())),
        What::Failed { op, .. } => (op.name(), "failed"),
        What::Forked(_) => ("fork", "transfer"),
        What::Kept(_) => ("exec", "transfer"),
        What::ClosedByExec => ("closed by exec", "release"),
        What::Vanished => ("vanished", "end"),
        What::Ended(_) => ("process ended", "end"),
    }
}

fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Acquire | Effect::Fork => "acquire",
        Effect::Release => "release",
        Effect::Alias => "alias",
        Effect::Transfer => "transfer",
        Effect::State | Effect::Use | Effect::Wait | Effect::Wake => "state",
        Effect::Exec | Effect::Exit | Effect::Mark => "mark",
    }
}
