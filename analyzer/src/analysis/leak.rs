//! `leak`: a resource outlives its use.
//!
//! * A site of a service whose live count keeps growing: `possible` by growth alone, `probable` where
//!   also nothing older than the site's own released lifetimes was ever released.
//!   `probable` as well where another path of the same line releases what it acquires, and this one does
//!   not ([`super::evidence::siblings`]), and where a program that ended by itself had more and more to its end.
//! * What a service gave back only as it ended ([`super::evidence::late`]): judged as it stood when its work ended.
//! * A thread that has ended and was neither joined nor detached while the program made more there:
//!   `probable`. Children that have ended and were not reaped: `probable` where the collector saw that
//!   SIGCHLD is not ignored, `possible` where nobody looked, nothing where it is (the kernel reaps).
//! * Threads and children that do not end, while more and more are started: as growing sites.
//! * What is left when the process is over: `still-open`, only where it was asked for.
//!
//! Never: descriptors 0 to 2, inherited ones, what is being released, what exec passed on, a runtime's map
//! of the code that it makes.

use std::collections::{BTreeMap, HashMap};

use resshim_format::op::{Class, Kind};
use resshim_format::table::RowState;
use serde_json::json;

use super::evidence::growth::{Growth, active_until, growth, is_judged_by};
use super::evidence::last_use;
use super::evidence::late::{self, LATE};
use super::evidence::siblings::LostPath;
use super::evidence::survival::Outlivers;
use super::{Analysis, Draft, Names, Options, StackRef, Words, counted, resources, seconds, trust};
use crate::collect::code_maps::is_map;
use crate::model::Model;
use crate::model::process::Ending;
use crate::model::resource::{Handle, Live, SiteStats};
use crate::report::{Severity, Verdict};

/// Live resources that a growing site must have.
const GROWN: u64 = 16;
/// Shortest life of an image in which growth alone says anything.
const LONG_LIVED_NS: u64 = 5_000_000_000;
/// Shortest life in which descriptors that stay say more than that a program is starting.
const STARTED_NS: u64 = 1_000_000_000;
/// Live ones that must have outlived everything that was released.
pub(super) const OUTLIVERS: usize = 5;
/// Released ones that say how long lifetimes are here.
pub(super) const RELEASED: u64 = 8;
/// Bytes of memory that a site must leave at exit to be an error: a few small blocks are a warning.
const MUCH_MEMORY: u64 = 64 << 10;
/// Resources of other kinds that a site must leave at exit to be an error.
const MANY_LEFT: u64 = 8;
/// Chance of a false `probable` that a report as a whole may have.
pub(super) const CHANCE: f64 = 0.01;

/// Evidence that threads or children are meant that have not ended.
const RUNNING: &str = "still_running";

/// See the module's documentation.
pub struct Leak;

impl Analysis for Leak {
    fn rule(&self) -> &'static str {
        "leak"
    }

    fn find(&self, model: &Model, options: &Options, _: &mut dyn Names) -> Vec<Draft> {
        let mut by_site: HashMap<(u32, Option<u32>, u16), Vec<&Live>> = HashMap::new();
        for live in model.live.iter().filter(|live| can_leak(live)) {
            by_site.entry((live.image, live.site, live.kind.0)).or_default().push(live);
        }
        let mut groups: Vec<_> = by_site.into_iter().collect();
        groups.sort_unstable_by_key(|(key, _)| *key);
        // Many sites, many looks: each is held against its share of the chance.
        let looks = groups.len().max(1) as f64;
        let mut active: HashMap<u32, u64> = HashMap::new();
        let mut releasing: HashMap<(u32, u16), Vec<&SiteStats>> = HashMap::new();
        for site in model.sites.iter().filter(|site| site.released >= RELEASED) {
            releasing.entry((site.image, site.kind.0)).or_default().push(site);
        }
        let mut drafts = Vec::new();
        for ((image, site, kind), mut live) in groups {
            live.sort_by_key(|live| live.acquired_ns);
            let active_ns = *active.entry(image).or_insert_with(|| work_ended(model, image));
            let releasing = releasing.get(&(image, kind)).map_or(&[][..], Vec::as_slice);
            let group = Group { model, image, site, live, active_ns, releasing };
            let found = match group.live[0].handle {
                Handle::Thread(_) => group.threads().or_else(|| group.running(looks)),
                Handle::Process(_) => group.children().or_else(|| group.running(looks)),
                _ => group.growing(looks),
            };
            drafts.extend(found.or_else(|| group.still_open(options)));
        }
        let is_over = |image: u32| {
            let life = model.lives.get(image as usize)?;
            let is_short = model.end_of(image).saturating_sub(life.started_ns) < STARTED_NS;
            (life.ending.is_over() && !is_short).then(|| work_ended(model, image))
        };
        let is_known = |site: u32| {
            let at = model.sites.get(site as usize).map(|site| (site.image, site.stack, site.kind));
            let is_it = |draft: &Draft| at == Some((draft.at.image, draft.at.stack, draft.kind));
            drafts.iter().any(|draft| is_it(draft) && draft.verdict > Verdict::Possible)
        };
        let late = late::find(model, looks, is_over, is_known);
        // What is proven takes the place of what was possible.
        let is_at = |one: &Draft, other: &Draft| (one.at, one.kind) == (other.at, other.kind);
        let is_proven =
            |draft: &Draft| late.iter().any(|l| l.lost_path.is_none() && is_at(l, draft));
        drafts.retain(|draft| !is_proven(draft));
        drafts.extend(late);
        drafts
    }

    fn title(&self, draft: &Draft, words: &Words) -> String {
        let what = counted(draft.count, &words.kind);
        let Words { place, .. } = words;
        match (draft.verdict, words.kind.as_str()) {
            (Verdict::StillOpen, "heap") => format!("{what} from {place} not freed at exit"),
            (Verdict::StillOpen, _) => format!("{what} from {place} still open at exit"),
            (_, "thread" | "process") if draft.evidence.contains_key(RUNNING) => {
                format!("{what} started by {place} still run, and more all the time")
            }
            (_, "thread") => format!("{what} started by {place} ended, never joined or detached"),
            (_, "process") => format!("{what} of {place} ended, never waited for"),
            _ if draft.evidence.contains_key(LATE) => {
                format!("{what} from {place} released only as the process ended")
            }
            (Verdict::Possible, _) => format!("{what} from {place}, and more all the time"),
            _ => format!("{what} from {place} never released"),
        }
    }

    fn advice(&self, draft: &Draft, words: &Words) -> String {
        let Words { place, kind, .. } = words;
        match kind.as_str() {
            "thread" | "process" if draft.evidence.contains_key(RUNNING) => {
                return format!(
                    "Each of them waits for something that does not come: find what {place} starts them \
                     for, and end them when it is given up (a timeout, a closed queue, a cancelled request)."
                );
            }
            "thread" => {
                return format!(
                    "Join each thread that {place} starts, or detach it where it is started: until \
                     then its stack and its id stay taken."
                );
            }
            "process" => {
                return format!(
                    "Wait for each child that {place} makes (waitpid), or ignore SIGCHLD on purpose: \
                     until then it stays a zombie and takes a process id."
                );
            }
            _ => {}
        }
        let verb = match kind.as_str() {
            "heap" => "free",
            "mapping" => "unmap",
            _ if Kind::from_name(kind).is_none_or(|kind| kind.class() != Class::Fd) => "release",
            _ => "close",
        };
        match words.other("released_at") {
            Some(sibling) if sibling == place => format!(
                "{place} releases most of what it acquires itself: find the path on which it does \
                 not (an early return, an error, a timeout) and {verb} there too."
            ),
            Some(sibling) => format!(
                "{place} hands out others that {sibling} releases: find the path on which that is \
                 not reached (an early return, an error, a timeout) and {verb} there too."
            ),
            None if draft.verdict == Verdict::StillOpen => {
                format!(
                    "Nothing that {place} acquires is released: {verb} it when it is done with."
                )
            }
            None => format!(
                "Nothing that {place} acquires was ever released: {verb} it when its use ends, or \
                 bound how many are kept."
            ),
        }
    }
}

/// When the work of an image ended.
fn work_ended(model: &Model, image: u32) -> u64 {
    let sites = model.sites.iter().filter(|site| site.image == image);
    // Sampled blocks come in thousands: they would outvote the rest.
    let sites = sites.filter(|site| site.kind != Kind::Heap.into());
    active_until(sites, model.end_of(image))
}

/// Whether a resource can be a leak at all.
fn can_leak(live: &Live) -> bool {
    let is_standard = matches!(live.handle, Handle::Fd { number: 0..=2, .. });
    // A runtime's own, for profilers, held as long as it runs.
    let is_map = matches!(live.handle, Handle::Fd { .. }) && is_map(&live.label);
    !live.is_foreign
        && !is_standard
        && !is_map
        && live.state != RowState::Closing
        && (live.state != RowState::Detached || matches!(live.handle, Handle::Thread(_)))
}

/// What is live of one site.
struct Group<'m> {
    model: &'m Model<'m>,
    image: u32,
    site: Option<u32>,
    /// Oldest first, never empty.
    live: Vec<&'m Live>,
    /// When the image stopped working.
    active_ns: u64,
    /// Sites of the image and kind that release.
    releasing: &'m [&'m SiteStats],
}

impl Group<'_> {
    fn site(&self) -> Option<&SiteStats> {
        self.model.sites.get(self.site? as usize)
    }

    fn end_ns(&self) -> u64 {
        self.model.end_of(self.image)
    }

    fn ending(&self) -> Ending {
        let life = self.model.lives.get(self.image as usize);
        life.map_or(Ending::Unknown, |life| life.ending)
    }

    fn draft(&self, verdict: Verdict, live: &[&Live]) -> Draft {
        let weight: f64 = live.iter().map(|live| live.weight).sum();
        let bytes: u64 = live.iter().fold(0, |sum, live| sum.saturating_add(live.bytes));
        let image = self.image;
        let stack = self.site().map_or(0, |site| site.stack);
        let since = live.first().map_or(0, |live| live.acquired_ns);
        let releases = self.site().map_or(&[][..], |site| &site.releases);
        let others = releases
            .iter()
            .map(|release| ("released_at", StackRef { image, stack: release.stack }))
            .collect();
        let mut evidence = BTreeMap::from([("since_s".to_owned(), json!(seconds(since)))]);
        if let Some(site) = self.site() {
            evidence.insert("acquired".to_owned(), json!(site.acquired));
            evidence.insert("released".to_owned(), json!(site.released));
            if site.longest_ns > 0 {
                let longest = json!(seconds(site.longest_ns));
                evidence.insert("longest_released_s".to_owned(), longest);
            }
        }
        last_use::tell(live, &mut evidence);
        Draft {
            at: StackRef { image, stack },
            kind: live[0].kind,
            verdict,
            severity: Severity::Warning,
            confidence: 0.5,
            count: (weight.round() as u64).max(1),
            bytes: self.model.kind_names.has_bytes(live[0].kind).then_some(bytes),
            resources: resources(self.model, live.iter().copied()),
            evidence,
            others,
            lost_path: None,
        }
    }

    /// Descriptors, blocks, mappings, annotated resources, threads and children that run, of a service.
    fn growing(&self, looks: f64) -> Option<Draft> {
        let site = self.site()?;
        let end = self.end_ns();
        if self.ending() == Ending::Exec {
            return None;
        }
        let active = self.active_ns.max(site.first_ns);
        let passed = active.saturating_sub(site.first_ns) / site.bucket_ns.max(1);
        // The last bucket is not full yet.
        let buckets = (passed as usize).min(site.flow.len().saturating_sub(1));
        let growth = growth(&site.flow, site.bucket_ns, buckets);
        let acquired: Vec<u64> = self.live.iter().map(|live| live.acquired_ns).collect();
        let out = Outlivers::find(acquired, site.longest_ns, end);
        let until = end.saturating_sub(site.longest_ns).min(active);
        let idle =
            |live: &&&Live| live.last_use_ns.is_none_or(|at| end - at.min(end) > site.longest_ns);
        let unused = self.live.iter().filter(idle).count();
        let old = out.acquired_ns.len();
        let life = end.saturating_sub(self.model.lives.get(self.image as usize)?.started_ns);
        // What a program builds up while it starts looks like a leak to the letter: node makes tables
        // for a tenth of a second, of which nothing is ever freed, between blocks that live shortly.
        let is_memory =
            matches!(site.kind, kind if kind == Kind::Heap.into() || kind == Kind::Mapping.into());
        let has_started = life >= if is_memory { LONG_LIVED_NS } else { STARTED_NS };
        let is_probable = has_started
            && site.released >= RELEASED
            && old >= OUTLIVERS
            && out.chance() * looks < CHANCE
            && match growth {
                Some(_) => out.are_spread(site.first_ns, until),
                // A short piece of work in a long life has too few buckets for a trend.
                None => !is_judged_by(buckets) && out.are_even(site.first_ns, until),
            }
            && unused * 2 > self.live.len();
        // Clean sessions that come faster than they go: all of them are still young.
        let is_possible = growth.is_some()
            && self.live.len() as u64 >= GROWN
            && life >= LONG_LIVED_NS
            && (site.released < RELEASED || old * 4 > self.live.len());
        let path = LostPath {
            acquired_ns: self.live.iter().map(|live| live.acquired_ns).collect(),
            first_ns: site.first_ns,
            active_ns: active,
            end_ns: end,
            looks,
            is_listed: is_possible,
        };
        let may_be_lost = has_started
            && site.released < RELEASED
            && unused * 2 > self.live.len()
            && self.releasing.iter().any(|other| {
                other.stack != site.stack
                    && path.outlived(other.released, other.longest_ns).is_some()
            });
        if !is_probable && let Some(draft) = self.left_by_batch(growth, buckets, old, unused) {
            return Some(draft);
        }
        let (verdict, live) = match (is_probable, is_possible || may_be_lost) {
            (true, _) => {
                let last = *out.acquired_ns.last()?;
                let old = self.live.iter().filter(|live| live.acquired_ns <= last);
                (Verdict::Probable, old.copied().collect())
            }
            (false, true) => (Verdict::Possible, self.live.clone()),
            (false, false) => return None,
        };
        let mut draft = self.draft(verdict, &live);
        draft.lost_path = (may_be_lost && !is_probable).then_some(path);
        let worked = active.saturating_sub(site.first_ns).max(1) as f64 / 1e9;
        let per_second = growth.map_or(live.len() as f64 / worked, |growth| growth.per_second);
        draft.evidence.insert("growth_per_hour".to_owned(), json!(per_second * 3600.0));
        if let Some(growth) = growth {
            draft.evidence.insert("trend_sigma".to_owned(), json!(growth.trend));
            let (low, high) = growth.interval;
            let interval = json!([low * 3600.0, high * 3600.0]);
            draft.evidence.insert("growth_per_hour_interval".to_owned(), interval);
        }
        draft.evidence.insert("older_than_any_released".to_owned(), json!(old));
        if verdict == Verdict::Probable {
            draft.severity = Severity::Error;
            draft.confidence = out.sureness(looks) * trust(self.model, self.image);
        } else {
            draft.confidence = 0.4 * trust(self.model, self.image);
        }
        Some(draft)
    }

    /// What a program that ended by itself had more and more of, evenly to its end. Memory is left out: many
    /// programs leave that to the kernel on purpose, and it is theirs to keep while they work.
    fn left_by_batch(
        &self,
        growth: Option<Growth>,
        buckets: usize,
        old: usize,
        unused: usize,
    ) -> Option<Draft> {
        let (site, end) = (self.site()?, self.end_ns());
        let is_memory = site.kind == Kind::Heap.into() || site.kind == Kind::Mapping.into();
        let started = self.model.lives.get(self.image as usize)?.started_ns;
        let acquired: Vec<u64> = self.live.iter().map(|live| live.acquired_ns).collect();
        let all = Outlivers { acquired_ns: acquired, expected: 0.0 };
        let is_left = matches!(self.ending(), Ending::Exit(_))
            && !is_memory
            && self.live.len() as u64 >= GROWN
            && (site.released < RELEASED || old * 2 > self.live.len())
            && unused * 2 > self.live.len()
            && (growth.is_some() || !is_judged_by(buckets))
            && (site.first_ns - started.min(site.first_ns)) * 2 < end - started.min(end)
            && all.are_even(site.first_ns, end);
        if !is_left {
            return None;
        }
        let mut draft = self.draft(Verdict::Probable, &self.live);
        draft.evidence.insert("grew_until_exit".to_owned(), json!(true));
        if let Some(growth) = growth {
            draft.evidence.insert("trend_sigma".to_owned(), json!(growth.trend));
        }
        draft.severity = Severity::Error;
        draft.confidence = 0.9 * trust(self.model, self.image);
        Some(draft)
    }

    /// Ended threads that nobody joined although the program went on making threads there.
    fn threads(&self) -> Option<Draft> {
        let mut ended: Vec<&Live> =
            self.live.iter().copied().filter(|live| live.state == RowState::Ended).collect();
        ended.retain(|live| live.ended_ns.is_some());
        let first = ended.iter().filter_map(|live| live.ended_ns).min()?;
        let last = self.live.last()?.acquired_ns;
        let end = self.end_ns();
        // A pool that is joined when the program shuts down makes none after the first has ended.
        let went_on = ended.len() >= 2 && first < last;
        // Killed while it was about to join: give it as long as its threads take, and more.
        let run = ended
            .iter()
            .map(|live| live.ended_ns.unwrap_or(0).saturating_sub(live.acquired_ns))
            .max()?;
        let waited = end.saturating_sub(first) > run.saturating_mul(10) + 1_000_000_000;
        let is_over = matches!(self.ending(), Ending::Exit(_));
        if !went_on || !(is_over || waited) {
            return None;
        }
        let mut draft = self.draft(Verdict::Probable, &ended);
        draft.severity = Severity::Error;
        draft.confidence = 0.9 * trust(self.model, self.image);
        Some(draft)
    }

    /// Threads and children that do not end, while more and more are started.
    fn running(&self, looks: f64) -> Option<Draft> {
        let live: Vec<&Live> =
            self.live.iter().copied().filter(|live| live.ended_ns.is_none()).collect();
        if live.is_empty() {
            return None;
        }
        let running = Group { live, ..*self };
        let mut draft = running.growing(looks)?;
        draft.evidence.insert(RUNNING.to_owned(), json!(true));
        Some(draft)
    }

    /// Children that have ended long ago and were not waited for.
    fn children(&self) -> Option<Draft> {
        let ended: Vec<&Live> =
            self.live.iter().copied().filter(|live| live.ended_ns.is_some()).collect();
        let first = ended.iter().filter_map(|live| live.ended_ns).min()?;
        if ended.len() < 2 || first >= self.live.last()?.acquired_ns {
            return None;
        }
        let life = self.model.lives.get(self.image as usize)?;
        // What was seen before it had its children may have been before it asked for that.
        let seen = life.ignored_sigchld.filter(|(_, at_ns)| *at_ns > first);
        if life.ignored_sigchld.is_some_and(|(ignored, _)| ignored) {
            return None;
        }
        // Who waits for all of them in the end may have been stopped before.
        let many = match life.ending {
            Ending::Exit(_) => OUTLIVERS as u64,
            _ => GROWN,
        };
        let since = self.end_ns().saturating_sub(first);
        let is_probable = seen.is_some() && ended.len() as u64 >= many && since > STARTED_NS;
        let mut draft = self.draft(Verdict::Possible, &ended);
        draft.confidence = 0.5;
        if is_probable {
            draft.verdict = Verdict::Probable;
            draft.severity = Severity::Error;
            draft.confidence = 0.9;
        }
        draft.confidence *= trust(self.model, self.image);
        Some(draft)
    }

    /// What is left of a process that is over.
    fn still_open(&self, options: &Options) -> Option<Draft> {
        if !options.at_exit || !self.ending().is_over() {
            return None;
        }
        let left: Vec<&Live> =
            self.live.iter().copied().filter(|live| counts_at_exit(live)).collect();
        if left.is_empty() {
            return None;
        }
        let mut draft = self.draft(Verdict::StillOpen, &left);
        let is_much = match draft.bytes {
            Some(bytes) => bytes >= MUCH_MEMORY,
            None => draft.count >= MANY_LEFT,
        };
        draft.severity = if is_much { Severity::Error } else { Severity::Warning };
        draft.confidence = 0.7 * trust(self.model, self.image);
        Some(draft)
    }
}

/// A thread or a child that still runs when the process exits is no leak of it, nor is what the child
/// of a daemon goes on with.
fn counts_at_exit(live: &Live) -> bool {
    match live.handle {
        Handle::Thread(_) => live.state == RowState::Ended,
        Handle::Process(_) => live.ended_ns.is_some(),
        _ => !live.is_passed_on,
    }
}

/// What is left of processes that are over and that no finding is about, by kind: for the line
/// that says what was not judged.
pub fn unjudged(model: &Model) -> BTreeMap<String, u64> {
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    for live in model.live.iter().filter(|live| can_leak(live) && counts_at_exit(live)) {
        let ending = model.lives.get(live.image as usize).map(|life| life.ending);
        if ending.is_some_and(Ending::is_over) {
            *counts.entry(model.kind_names.name(live.kind).to_owned()).or_default() += live.weight;
        }
    }
    counts.into_iter().map(|(kind, count)| (kind, count.round() as u64)).collect()
}
