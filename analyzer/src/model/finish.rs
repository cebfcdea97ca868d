//! The end of the fold: the live set and the totals are taken from the tables, which are exact even
//! where events were lost; the history adds lifetimes, releases and series.

use std::collections::{BTreeMap, HashMap};

use resshim_format::op::{Effect, Kind, Op};
use resshim_format::record::{FD_CLOEXEC, FD_EOF, FD_INHERITED, FD_WATCHED};
use resshim_format::table::RowState;

use super::errno;
use super::fold::{Fold, SiteFold};
use super::image::{Image, Tables};
use super::kind::{KindId, KindNames};
use super::process::{self, Ending, Life};
use super::resource::{Handle, Live, SiteStats};
use super::uses::{self, LastUse};
use super::{KindStats, Model, StepTaken};
use crate::source::clock::Clock;
use crate::source::rows;

impl<'a> Fold<'a> {
    /// Everything that analyses look at. `lives` are those of the images, before the waits were seen.
    pub fn finish(mut self, clock: &Clock, mut lives: Vec<Life>) -> Model<'a> {
        process::apply_waits(&mut lives, self.images, &self.statuses);
        let ends = lives.iter().map(|life| life.ended_ns.unwrap_or(life.started_ns));
        let end_ns = ends.max().unwrap_or(0).max(self.last_ns);
        let images = self.images;
        let mut table_sites = Vec::with_capacity(images.len());
        let mut sites = site_stats(&self.sites);
        for (index, image) in images.iter().enumerate() {
            table_sites.push(self.merge_sites(index, image, clock, &mut sites));
        }
        let mut live = self.after_exit.left().to_vec();
        for site in live.iter().filter_map(|live| live.site) {
            // The longest that anybody meant: not up to the end of the program.
            let fold = self.sites.get(site as usize).map(|fold| fold.longest_ns);
            if let Some((site, longest)) = sites.get_mut(site as usize).zip(fold) {
                site.longest_ns = longest;
            }
        }
        for live in &live {
            // The tables count what was released after the phase `exit` too; the fold has not.
            let site = live.site.and_then(|site| sites.get_mut(site as usize));
            if let Some(site) = site.filter(|site| site.is_exact) {
                site.released = site.released.saturating_sub(live.weight.round() as u64);
                site.released_bytes = site.released_bytes.saturating_sub(live.bytes);
                // Nothing but these is released so late.
                let mut rest = live.weight.round() as u64;
                for (_, released) in site.flow.iter_mut().rev() {
                    let taken = rest.min(*released);
                    (*released, rest) = (*released - taken, rest - taken);
                }
            }
        }
        for (index, image) in images.iter().enumerate() {
            let mut rows = LiveRows {
                image: index as u32,
                sites: &table_sites[index],
                clock,
                end_ns,
                out: &mut live,
            };
            rows.take(&image.tables, &lives, images);
            self.live_mappings(index, image, &mut rows);
            self.live_annotated(index, image, &mut rows);
        }
        mark_passed_on(&mut live, images, &lives);
        let kinds = self.kind_stats(&sites, &live, &lives, end_ns);
        let fd_peaks = self.folds.iter().zip(images).map(|(fold, image)| {
            let live = image.tables.fds.iter().filter(|row| row.state == RowState::Live).count();
            fold.fd_peak.max(live as u64)
        });
        let fd_peaks = fd_peaks.collect();
        let mut closes = Vec::new();
        let mut frees = Vec::new();
        for (fold, image) in self.folds.into_iter().zip(images) {
            let failures = image.tables.failures.iter();
            let failures =
                failures.filter(|row| row.op == Some(Op::Close) && row.errno as i32 == libc::EBADF);
            let failures = failures.map(|row| (row.stack, row.count)).collect();
            closes.extend(fold.closes.into_suspects(&failures));
            frees.extend(fold.frees.into_suspects());
        }
        let steps = self.steps.iter().map(|(image, at_ns, word, value)| StepTaken {
            image: *image,
            at_ns: *at_ns,
            kind: KindId(*word as u8 as u16),
            level: (*word >> 8) as u8,
            reason: (*word >> 16) as u16,
            value: *value,
        });
        Model {
            images,
            lives,
            kind_names: self.kinds,
            sites,
            live,
            kinds,
            closes,
            frees,
            closed: self.closed,
            fd_peaks,
            expected: self.expected.iter().map(|(key, limit)| (key.0, key.1, *limit)).collect(),
            steps: steps.collect(),
            anomalies: self.anomalies,
            events: self.events,
            end_ns,
        }
    }

    /// Adds what the tables of an image say to the sites; gives the site's index by table row.
    fn merge_sites(
        &mut self,
        index: usize,
        image: &Image,
        clock: &Clock,
        sites: &mut Vec<SiteStats>,
    ) -> HashMap<u32, u32> {
        let mut known: HashMap<(u32, KindId), u32> = HashMap::new();
        for (at, site) in self.sites.iter().enumerate().filter(|(_, s)| s.image as usize == index) {
            known.insert((site.stack, site.kind), at as u32);
        }
        let mut by_row = HashMap::new();
        for row in &image.tables.sites {
            let kind = self.kind(index, row.kind);
            let at = *known.entry((row.stack, kind)).or_insert_with(|| {
                sites.push(SiteStats {
                    image: index as u32,
                    stack: row.stack,
                    kind,
                    op: row.op,
                    is_exact: false,
                    acquired: 0,
                    released: 0,
                    acquired_bytes: 0,
                    released_bytes: 0,
                    peak: 0,
                    weight_squares: 0.0,
                    first_ns: clock.ns(row.first),
                    last_ns: 0,
                    longest_ns: 0,
                    bucket_ns: 0,
                    flow: Vec::new(),
                    releases: Vec::new(),
                });
                sites.len() as u32 - 1
            });
            by_row.insert(row.row, at);
            if let Some(site) = sites.get_mut(at as usize) {
                take_row(site, row, clock);
            }
        }
        by_row
    }

    /// Mappings: the events decide where none was lost, else the table.
    fn live_mappings(&self, index: usize, image: &Image, rows: &mut LiveRows) {
        let fold = &self.folds[index];
        let lost = image.losses;
        let whole = [lost.acquisitions, lost.releases, lost.overwritten_chunks] == [0; 3];
        if whole && fold.events > 0 {
            for (address, mapped) in fold.mappings.iter() {
                let handle = Handle::Mapping(address);
                let live = rows.push(Kind::Mapping.into(), handle, RowState::Live, 0, 0);
                live.site = Some(mapped.site);
                live.acquired_ns = mapped.acquired_ns;
                live.bytes = mapped.length;
            }
            return;
        }
        for row in &image.tables.mappings {
            let handle = Handle::Mapping(row.address);
            let live =
                rows.push(Kind::Mapping.into(), handle, RowState::Live, row.acquired, row.site);
            live.bytes = row.length;
        }
    }

    fn live_annotated(&mut self, index: usize, image: &Image, rows: &mut LiveRows) {
        for row in &image.tables.annotated {
            let kind = self.kind(index, row.kind);
            let handle = Handle::Annotated(row.handle);
            let live = rows.push(kind, handle, row.state, row.acquired, row.site);
            live.label = row.label.as_str().into();
        }
    }

    fn kind_stats(
        &mut self,
        sites: &[SiteStats],
        live: &[Live],
        lives: &[Life],
        end_ns: u64,
    ) -> Vec<KindStats> {
        let mut stats: BTreeMap<KindId, KindStats> = BTreeMap::new();
        // Of an image and kind: what the tables count, or the events where sites found no row.
        let mut sums: HashMap<(u32, KindId), [[u64; 3]; 2]> = HashMap::new();
        let mut add = |key, which: usize, counts: [u64; 3]| {
            let sum = &mut sums.entry(key).or_default()[which];
            for (sum, count) in sum.iter_mut().zip(counts) {
                *sum = sum.saturating_add(count);
            }
        };
        for site in sites.iter().filter(|site| site.is_exact) {
            let counts = [site.acquired, site.released, site.acquired_bytes];
            add((site.image, site.kind), 0, counts);
        }
        for site in &self.sites {
            let counts = [site.acquired, site.released, site.acquired_bytes];
            add((site.image, site.kind), 1, counts);
        }
        for ((_, kind), [tables, events]) in sums {
            let of = stats.entry(kind).or_insert_with(|| KindStats::new(kind));
            of.acquired = of.acquired.saturating_add(tables[0].max(events[0]));
            of.released = of.released.saturating_add(tables[1].max(events[1]));
            of.acquired_bytes = of.acquired_bytes.saturating_add(tables[2].max(events[2]));
        }
        // What one image holds in the end was live at one moment.
        let mut held: HashMap<(u32, KindId), (f64, u64)> = HashMap::new();
        for live in live.iter().filter(|live| !live.is_foreign) {
            let of = stats.entry(live.kind).or_insert_with(|| KindStats::new(live.kind));
            let ending = lives.get(live.image as usize).map(|life| life.ending);
            // An exec closes what is marked so, and takes the whole address space along.
            if ending == Some(Ending::Exec) && !live.is_passed_on {
                of.released = of.released.saturating_add(live.weight.round() as u64);
                continue;
            }
            of.live_weight += live.weight;
            of.live_bytes = of.live_bytes.saturating_add(live.bytes);
            let held = held.entry((live.image, live.kind)).or_default();
            *held = (held.0 + live.weight, held.1.saturating_add(live.bytes));
        }
        for (key, count) in self.failures() {
            let of = stats.entry(key.0).or_insert_with(|| KindStats::new(key.0));
            *of.failed.entry(errno::name(key.1)).or_insert(0) += count;
        }
        for (index, total) in std::mem::take(&mut self.totals).into_iter().enumerate() {
            let kind = KindId(index as u16);
            if total.acquired == 0 {
                continue;
            }
            let of = stats.entry(kind).or_insert_with(|| KindStats::new(kind));
            of.peak = total.peak;
            of.peak_bytes = total.peak_bytes;
            of.flow = total.flow;
        }
        for ((_, kind), (weight, bytes)) in held {
            let Some(of) = stats.get_mut(&kind) else { continue };
            of.peak = of.peak.max(weight.round() as u64);
            of.peak_bytes = of.peak_bytes.max(bytes);
        }
        let mut stats: Vec<KindStats> = stats.into_values().collect();
        let groups: HashMap<KindId, usize> =
            stats.iter().enumerate().map(|(group, of)| (of.kind, group)).collect();
        let samples = self.closed.samples(stats.len(), |site| {
            sites.get(site as usize).and_then(|site| groups.get(&site.kind).copied())
        });
        for (of, sample) in stats.iter_mut().zip(samples) {
            of.lifetimes = sample.lifetimes();
            // What images left that ended before is not live any more.
            let live = of.live().min(of.peak);
            of.series = of.flow.take().unwrap_or_default().series(end_ns, live);
        }
        stats.retain(|of| of.acquired > 0 || !of.failed.is_empty());
        stats
    }

    /// Failed acquisitions by (kind, errno): from the tables, or from events where an image has none.
    fn failures(&mut self) -> Vec<((KindId, u16), u64)> {
        let mut counts = Vec::new();
        let begins = |op: Op| matches!(op.effect(), Effect::Acquire | Effect::Alias | Effect::Fork);
        let images = self.images;
        for (index, image) in images.iter().enumerate() {
            for row in &image.tables.failures {
                let Some(op) = row.op.filter(|op| begins(*op)) else { continue };
                let kind = match row.kind {
                    0 => usual_kind(op),
                    number => self.kind(index, number),
                };
                counts.push(((kind, row.errno), row.count));
            }
        }
        for ((image, op, errno, _), count) in std::mem::take(&mut self.failed) {
            let has_table = !images[image as usize].tables.failures.is_empty();
            if let Some(op) = Op::from_number(op).filter(|op| begins(*op) && !has_table) {
                counts.push(((usual_kind(op), errno), count));
            }
        }
        counts
    }
}

/// The kind that an operation usually acquires: for failures, where nothing was acquired.
fn usual_kind(op: Op) -> KindId {
    use resshim_format::op::Class;
    let kind = match op {
        Op::Pipe | Op::Popen => Kind::Pipe,
        Op::Socket | Op::Accept => Kind::Socket,
        Op::Socketpair => Kind::Unix,
        Op::EpollCreate => Kind::Epoll,
        Op::Eventfd => Kind::Eventfd,
        Op::TimerfdCreate => Kind::Timerfd,
        Op::Signalfd => Kind::Signalfd,
        Op::InotifyInit => Kind::Inotify,
        Op::MemfdCreate => Kind::Memfd,
        Op::PidfdOpen => Kind::Pidfd,
        Op::Opendir => Kind::Dir,
        Op::Openpty => Kind::Pty,
        _ => match op.class() {
            Class::Thread => Kind::Thread,
            Class::Process => Kind::Process,
            Class::Heap => Kind::Heap,
            Class::Mapping => Kind::Mapping,
            Class::Annotated => Kind::Task,
            Class::Fd | Class::Meta => Kind::File,
        },
    };
    kind.into()
}

fn site_stats(folds: &[SiteFold]) -> Vec<SiteStats> {
    let stats = folds.iter().map(|fold| {
        let mut releases = fold.releases.clone();
        releases.sort_by_key(|release| std::cmp::Reverse(release.count));
        SiteStats {
            image: fold.image,
            stack: fold.stack,
            kind: fold.kind,
            op: Some(fold.op),
            is_exact: false,
            acquired: fold.acquired,
            released: fold.released,
            acquired_bytes: fold.acquired_bytes,
            released_bytes: fold.released_bytes,
            peak: 0,
            weight_squares: 0.0,
            first_ns: fold.first_ns,
            last_ns: fold.last_ns,
            longest_ns: fold.longest_ns,
            bucket_ns: 0,
            flow: Vec::new(),
            releases,
        }
    });
    stats.collect()
}

/// The table's totals are exact: they take the place of what events said.
fn take_row(site: &mut SiteStats, row: &rows::Site, clock: &Clock) {
    site.is_exact = true;
    site.acquired = row.acquired;
    site.released = row.released;
    site.acquired_bytes = row.acquired_bytes;
    site.released_bytes = row.released_bytes;
    site.peak = row.peak;
    site.op = row.op.or(site.op);
    site.weight_squares = row.weight_squares as f64 / 65_536.0;
    site.first_ns = clock.ns(row.first);
    site.last_ns = clock.ns(row.last).max(site.first_ns);
    site.longest_ns = site.longest_ns.max(clock.span_ns(row.longest));
    if !row.merging {
        site.bucket_ns = clock.span_ns(1_u64.checked_shl(row.bucket_shift).unwrap_or(u64::MAX));
        site.flow = row.flow.iter().map(|(a, r)| (*a as u64, *r as u64)).collect();
    }
}

/// Turns the rows of one image into live resources.
struct LiveRows<'s> {
    image: u32,
    sites: &'s HashMap<u32, u32>,
    clock: &'s Clock,
    /// End of the trace.
    end_ns: u64,
    out: &'s mut Vec<Live>,
}

impl LiveRows<'_> {
    fn push(
        &mut self,
        kind: KindId,
        handle: Handle,
        state: RowState,
        acquired: u64,
        site: u32,
    ) -> &mut Live {
        self.out.push(Live {
            image: self.image,
            site: self.sites.get(&site).copied(),
            kind,
            handle,
            state,
            acquired_ns: self.clock.ns(acquired),
            ended_ns: None,
            last_use_ns: None,
            use_is_known: false,
            has_ended: false,
            is_watched: false,
            bytes: 0,
            weight: 1.0,
            is_foreign: false,
            is_cloexec: false,
            is_passed_on: false,
            label: "".into(),
        });
        let last = self.out.len() - 1;
        &mut self.out[last]
    }

    fn take(&mut self, tables: &Tables, lives: &[Life], images: &[Image]) {
        let clock = self.clock;
        let image = images.get(self.image as usize);
        let last = image.and_then(|image| image.uses.last(&tables.fds));
        let has_io_uring = uses::has_io_uring(&tables.fds);
        let ended = lives.get(self.image as usize).and_then(|life| life.ended_ns);
        let end = ended.unwrap_or(self.end_ns);
        for (at, row) in tables.fds.iter().enumerate() {
            if !matches!(row.state, RowState::Live | RowState::Closing) {
                continue;
            }
            let kind = Kind::from_number(row.args.kind as u32).unwrap_or(Kind::File);
            let handle = Handle::Fd { number: row.number, generation: row.generation };
            let live = self.push(kind.into(), handle, row.state, row.acquired, row.site);
            if let Some(last) = last.as_ref().and_then(|last| last.get(at)) {
                live.use_is_known = uses::is_known(row, has_io_uring);
                live.last_use_ns = match last {
                    LastUse::Never => None,
                    LastUse::Before(ticks) => Some(clock.ns(*ticks).min(end)),
                    LastUse::Now => Some(end),
                };
            }
            live.has_ended = row.args.bits & FD_EOF != 0;
            live.is_watched = row.args.bits & FD_WATCHED != 0;
            live.is_foreign = row.generation == 0
                || row.args.bits & FD_INHERITED != 0
                || matches!(row.op, Some(Op::Inherited | Op::Reconciled));
            live.is_cloexec = row.args.bits & FD_CLOEXEC != 0;
            live.label = row.label.as_str().into();
        }
        for row in &tables.threads {
            let handle = Handle::Thread(row.tid);
            let live = self.push(Kind::Thread.into(), handle, row.state, row.acquired, row.site);
            live.ended_ns = (row.ended != 0).then(|| clock.ns(row.ended));
            live.label = row.name.as_str().into();
        }
        let parent = images.get(self.image as usize).map_or(0, |image| image.region);
        for row in tables.children.iter().filter(|row| row.state == RowState::Live) {
            let handle = Handle::Process(row.pid);
            let live = self.push(Kind::Process.into(), handle, row.state, row.acquired, row.site);
            // Its images: those that name this fork, and later ones of its pid. By time alone a
            // child that was quicker than its parent's return from fork would be an earlier process.
            let since = live.acquired_ns;
            let is_made_here = |image: &Image| {
                image.parent_region != 0
                    && image.parent_region == parent
                    && image.parent_fork == row.fork
            };
            live.ended_ns = images
                .iter()
                .zip(lives)
                .filter(|(image, life)| image.pid == row.pid && life.ending.is_over())
                .filter_map(|(image, life)| Some((is_made_here(image), life.ended_ns?)))
                .find(|(is_made_here, ended)| *is_made_here || *ended >= since)
                .map(|(_, ended)| ended);
        }
        for row in &tables.heap {
            let handle = Handle::Heap(row.address);
            let weight = (row.weight as f64 / 256.0).max(1.0);
            let live = self.push(Kind::Heap.into(), handle, RowState::Live, row.acquired, row.site);
            live.weight = weight;
            live.bytes = (row.size as f64 * weight) as u64;
        }
    }
}

/// A fork child that lives on this much longer than its parent was made to go on in its place.
const OUTLIVES_NS: u64 = 1_000_000_000;

/// Marks descriptors that went on into the next image of their process and are still open there, and
/// what a daemon's parent held: the child that lives on shares the open file descriptions and has the
/// memory.
fn mark_passed_on(live: &mut [Live], images: &[Image], lives: &[Life]) {
    let mut children: HashMap<u64, Vec<Life>> = HashMap::new();
    for (image, life) in images.iter().zip(lives).filter(|(image, _)| image.parent_region != 0) {
        children.entry(image.parent_region).or_default().push(*life);
    }
    let is_shared = |one: &Live| {
        let end = lives.get(one.image as usize).and_then(|life| life.ended_ns);
        let region = images.get(one.image as usize).map_or(0, |image| image.region);
        let outlives = |child: &Life| {
            let child_end = child.ended_ns.unwrap_or(u64::MAX);
            child.started_ns >= one.acquired_ns
                && end.is_some_and(|end| child_end > end.saturating_add(OUTLIVES_NS))
        };
        region != 0 && children.get(&region).is_some_and(|of| of.iter().any(outlives))
    };
    for one in live.iter_mut() {
        let mut at = one.image as usize;
        if lives.get(at).is_none_or(|life| life.ending != Ending::Exec) {
            one.is_passed_on = is_shared(one);
            continue;
        }
        let Handle::Fd { number, .. } = one.handle else { continue };
        if one.is_cloexec {
            continue;
        }
        // Chains of images are short and go forward in time only.
        for _ in 0..64 {
            let Some(next) = lives.get(at).and_then(|life| life.next) else {
                one.is_passed_on = true;
                break;
            };
            let held = images.get(next as usize).is_some_and(|image| {
                let rows = image.tables.fds.iter();
                rows.filter(|row| row.number == number && row.state == RowState::Live)
                    .any(|row| row.generation == 0 || row.args.bits & FD_INHERITED != 0)
            });
            if !held {
                break;
            }
            at = next as usize;
        }
    }
}

impl KindNames {
    /// Whether resources of this kind have a size.
    pub fn has_bytes(&self, kind: KindId) -> bool {
        kind == Kind::Heap.into() || kind == Kind::Mapping.into()
    }
}
