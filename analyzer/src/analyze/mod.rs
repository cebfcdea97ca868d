//! From a trace to a report: opens it, folds its events, runs the analyses, resolves the names.
//!
//! The one place where source, model, analysis and symbols meet; commands call [`analyze`].

pub mod audit;
mod generated;
mod names;
pub mod snapshot;

pub use self::names::store_names;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use resshim_format::header::End;
use resshim_format::index::{IndexEvent, IndexRow};
use resshim_format::op::{Class, Kind};

use self::names::TraceNames;
use crate::analysis::{self, leak};
use crate::collect::proc::ProcessId;
use crate::collect::reconcile;
use crate::error::{Error, Result};
use crate::model::fold::Fold;
use crate::model::image::Image;
use crate::model::process::{self, Ending, Life, lives};
use crate::model::{KindStats, Model};
use crate::report::{
    Bytes, Diagnostic, Finding, KindTotals, Limit, Overhead, Process, Report, SCHEMA, Step,
    TraceInfo, Verdict,
};
use crate::rules::Rules;
use crate::source::clock::ClockFacts;
use crate::source::manifest::ProcessFacts;
use crate::source::trace::{Trace, TraceRegion};
use crate::view::quantity::plural;

/// Clock ticks of `/proc` a second: 100 on every Linux architecture that is built for.
const USER_HZ: f64 = 100.0;

/// Processes that a message names.
const LISTED: usize = 20;

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// What is still open at exit counts as a leak.
    pub at_exit: bool,
    /// Only this process.
    pub pid: Option<u32>,
    /// What the project expects of its program.
    pub rules: Rules,
}

/// The report of a trace.
///
/// # Errors
/// Where it is no trace, or nothing of it can be read.
pub fn analyze(path: &Path, options: &Options) -> Result<Report> {
    let mut trace = Trace::open(path)?;
    compare_living(&mut trace);
    let images = images(&trace, options);
    if let Some(pid) = options.pid.filter(|_| images.iter().all(|image| image.pid == 0)) {
        return Err(no_such_process(
            path,
            &crate::analyze::images(&trace, &Options::default()),
            pid,
        ));
    }
    let lives = whole_lives(&trace, &images);
    let ends: Vec<Option<u64>> = lives.iter().map(|life| life.ended_ns).collect();
    let mut fold = Fold::new(&images, &ends);
    let mut events = trace.events();
    while let Some(event) = events.next() {
        if images.get(event.image).is_some_and(|image| image.pid != 0) {
            fold.event(&event);
        }
    }
    let ended = trace.manifest.as_ref().map_or(0, |manifest| manifest.ended_monotonic_ns);
    fold.last_seen(if ended > 0 { trace.clock.of_monotonic(ended) } else { 0 });
    let damage = events.anomalies.bad_lengths + events.anomalies.stray_texts + events.unreadable;
    let unknown = events.anomalies.unknown_ops;
    let mut model = fold.finish(&trace.clock, lives);
    let mut names = TraceNames::of(path, &trace);
    let same = names.same_sites(&model);
    model.merge_sites(&same);
    let asked = analysis::Options { at_exit: options.at_exit, rules: options.rules.clone() };
    let findings = analysis::run(&model, &asked, &mut names);
    let mut diagnostics = diagnostics(&trace, &model, damage, unknown);
    let findings = listed(findings, &options.rules, &mut diagnostics);
    diagnostics.extend(generated::diagnostics(&trace, &model));
    diagnostics.extend(names.diagnostics());
    names.keep(trace.manifest.as_ref().is_some_and(|manifest| manifest.complete));
    let mut unjudged = leak::unjudged(&model);
    for finding in findings.iter().filter(|finding| finding.rule == "leak") {
        if let Some(count) = unjudged.get_mut(&finding.kind) {
            *count = count.saturating_sub(finding.count);
        }
    }
    unjudged.retain(|_, count| *count > 0);
    debug_assert!(options.at_exit || findings.iter().all(|f| f.verdict != Verdict::StillOpen));
    Ok(Report {
        schema: SCHEMA.to_owned(),
        trace: trace_info(&trace, &model),
        processes: processes(&model, &names),
        kinds: model.kinds.iter().map(|of| kind_totals(&model, of)).collect(),
        cycles: Vec::new(),
        alerts: Vec::new(),
        overhead: overhead(&trace, &model),
        diagnostics,
        limits: limits(&model, &findings),
        findings,
        unjudged,
    })
}

/// The findings that the project's rules leave; what they do not is said.
fn listed(
    findings: Vec<Finding>,
    rules: &Rules,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Finding> {
    let (mut below, mut listed) = (0, Vec::new());
    let mut suppressed: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in findings {
        match rules.suppressed(&finding) {
            Some(reason) => *suppressed.entry(reason).or_default() += 1,
            None if rules.is_below(&finding) => below += 1,
            None => listed.push(finding),
        }
    }
    let were = |count: usize| if count == 1 { "finding is" } else { "findings are" };
    let mut say = |text| diagnostics.push(Diagnostic { level: "info".to_owned(), text });
    for (reason, count) in suppressed {
        say(format!("{count} {} suppressed by the project's rules: {reason}", were(count)));
    }
    if below > 0 {
        say(format!(
            "{below} {} below the confidence or count of the project's rules",
            were(below)
        ));
    }
    listed
}

fn no_such_process(path: &Path, images: &[Image], pid: u32) -> Error {
    let pids: HashSet<u32> = images.iter().map(|image| image.pid).filter(|pid| *pid != 0).collect();
    let mut pids: Vec<u32> = pids.into_iter().collect();
    pids.sort_unstable();
    let mut listed: Vec<String> = pids.iter().take(LISTED).map(u32::to_string).collect();
    if pids.len() > LISTED {
        listed.push("…".to_owned());
    }
    let hint = format!("its processes: {}", listed.join(", "));
    Error::input(path, format!("has no process {pid}"), hint)
}

/// Lives of the images, with what `run` says of the command that it waited for.
fn whole_lives(trace: &Trace, images: &[Image]) -> Vec<Life> {
    let mut lives = lives(images, &trace.clock);
    if let Some(manifest) = &trace.manifest
        && let Some(ending) = manifest.command_end.as_deref().and_then(Ending::from_text)
    {
        let ended = trace.clock.of_monotonic(manifest.ended_monotonic_ns);
        process::apply_command(&mut lives, images, manifest.command_pid, ending, ended);
    }
    lives
}

/// How near each process came to its limit of descriptors, the nearest first.
fn limits(model: &Model, findings: &[Finding]) -> Vec<Limit> {
    let mut limits: Vec<Limit> = Vec::new();
    for (image, used) in model.images.iter().zip(&model.fd_peaks) {
        let limit = image.limit_nofile;
        if limit == 0 || limit > i64::MAX as u64 || *used == 0 {
            continue;
        }
        let of_it = findings.iter().filter(|finding| finding.pids.contains(&image.pid));
        let is_fd = |kind: &str| Kind::from_name(kind).is_some_and(|k| k.class() == Class::Fd);
        let growing = of_it.filter(|finding| is_fd(&finding.kind));
        let growth = |finding: &Finding| finding.evidence.get("growth_per_hour")?.as_f64();
        let worst = growing
            .filter_map(|finding| Some((finding, growth(finding)?)))
            .max_by(|a, b| a.1.total_cmp(&b.1));
        let left = limit.saturating_sub(*used) as f64;
        limits.push(Limit {
            name: "RLIMIT_NOFILE".to_owned(),
            pid: image.pid,
            kind: worst.map_or(String::new(), |(finding, _)| finding.kind.clone()),
            used: *used as f64,
            limit: limit as f64,
            eta_s: worst.filter(|(_, growth)| *growth > 0.0).map(|(_, g)| left / g * 3600.0),
        });
    }
    let share = |limit: &Limit| limit.used / limit.limit;
    limits.sort_by(|a, b| share(b).total_cmp(&share(a)));
    limits.truncate(16);
    limits
}

/// Images of the trace: the regions' first, in the same order, then those that only the index knows.
/// Those that were not asked for are empty.
fn images(trace: &Trace, options: &Options) -> Vec<Image> {
    let is_asked = |pid: u32| options.pid.is_none_or(|asked| asked == pid);
    let mut images: Vec<Image> = Vec::with_capacity(trace.regions.len());
    for region in &trace.regions {
        let asked = is_asked(region.state.header.pid);
        images.push(if asked { Image::of(region) } else { Image::default() });
    }
    // A child of a parent that is gone has another one by the time that its region is made.
    let pids: HashMap<u64, u32> =
        trace.regions.iter().map(|r| (r.state.header.region_id, r.state.header.pid)).collect();
    for image in &mut images {
        if let Some(pid) = pids.get(&image.parent_region) {
            image.parent_pid = *pid;
        }
    }
    let known: HashSet<u64> = images.iter().map(|image| image.region).collect();
    // The end of an image without a region names none.
    let mut ends: HashMap<(u32, u64), Vec<_>> = HashMap::new();
    for row in trace.index.iter().filter(|row| row.event == IndexEvent::End as u16) {
        ends.entry((row.pid, row.start_ticks)).or_default().push(row);
    }
    for row in trace.index.iter().filter(|row| row.event == IndexEvent::Begin as u16) {
        if known.contains(&row.region) || !is_asked(row.pid) {
            continue;
        }
        let ended = ends.get(&(row.pid, row.start_ticks)).into_iter().flatten();
        let end = ended
            .filter(|end| end.region == 0 || end.region == row.region)
            .find(|end| end.monotonic_ns >= row.monotonic_ns);
        let name = crate::source::index::name(row);
        images.push(Image {
            pid: row.pid,
            parent_pid: row.parent_pid,
            start_ticks: row.start_ticks,
            exe: name.clone(),
            service: name,
            end: end.map(|end| End::from_number(end.end as u32)),
            end_status: end.map_or(0, |end| end.status),
            clock: ClockFacts {
                start_ns: row.monotonic_ns,
                end_ns: end.map_or(0, |end| end.monotonic_ns),
                ..ClockFacts::default()
            },
            ..Image::default()
        });
    }
    number(&mut images);
    images
}

/// Numbers the images of each process: none knows how many were before it.
fn number(images: &mut [Image]) {
    let mut order: Vec<usize> = (0..images.len()).collect();
    order.sort_by_key(|index| images[*index].clock.start_ns);
    let mut counts: HashMap<(u32, u64), u32> = HashMap::new();
    for index in order {
        let image = &mut images[index];
        let count = counts.entry((image.pid, image.start_ticks)).or_default();
        *count += 1;
        image.image = *count;
    }
}

fn seconds(ns: u64) -> f64 {
    (ns as f64 / 1e3).round() / 1e6
}

fn trace_info(trace: &Trace, model: &Model) -> TraceInfo {
    let first = model.images.iter().filter(|image| image.pid != 0).min_by_key(|i| i.clock.start_ns);
    let started = first.map_or(0, |image| image.started_realtime_ns);
    let manifest = trace.manifest.as_ref();
    let lost = model.images.iter().map(|image| {
        let losses = image.losses;
        losses.acquisitions.saturating_add(losses.releases).saturating_add(losses.other)
    });
    let stored = manifest.map_or("", |manifest| manifest.profile.as_str());
    let profile = match (stored, first) {
        ("", Some(image)) => image.profile.clone(),
        (stored, _) => stored.to_owned(),
    };
    TraceInfo {
        path: trace.path.to_string_lossy().into_owned(),
        host: manifest.map_or_else(host, |manifest| manifest.host.clone()),
        started: rfc3339(manifest.map_or(started, |manifest| manifest.started_realtime_ns)),
        duration_s: seconds(model.end_ns),
        profile,
        events: model.events,
        events_lost: lost.fold(0, u64::saturating_add),
        complete: manifest.is_some_and(|manifest| manifest.complete),
        command: manifest.map_or(Vec::new(), |manifest| manifest.command.clone()),
    }
}

/// A bare directory was made on this machine.
fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or(String::new(), |h| h.trim().into())
}

/// `2026-11-24T22:15:00Z` for nanoseconds since 1970 (proleptic Gregorian; H. Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
fn rfc3339(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let days = (seconds / 86_400) as i64 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn processes(model: &Model, names: &TraceNames) -> Vec<Process> {
    let mut rows: Vec<(usize, (&Image, &Life))> =
        model.images.iter().zip(&model.lives).enumerate().collect();
    rows.retain(|(_, (image, _))| image.pid != 0);
    rows.sort_by_key(|(_, (image, life))| (life.started_ns, image.pid, image.image));
    let not_visible = |index: usize, image: &Image| {
        let nameless = generated::not_visible(index, &image.exe, names);
        image.not_visible.iter().cloned().chain(nameless).collect()
    };
    let one = |(index, (image, life)): (usize, (&Image, &Life))| Process {
        pid: image.pid,
        parent: image.parent_pid,
        image: image.image,
        service: image.service.clone(),
        exe: image.exe.clone(),
        args: image.args.clone(),
        started_s: seconds(life.started_ns),
        ended_s: life.ended_ns.map(seconds),
        end: life.ending.text(),
        not_visible: not_visible(index, image),
    };
    rows.into_iter().map(one).collect()
}

fn kind_totals(model: &Model, of: &KindStats) -> KindTotals {
    let bytes = model.kind_names.has_bytes(of.kind).then(|| {
        // Poisson sampling: the variance of a sum of weights is about the sum of weight × (weight − 1),
        // here in blocks of the mean size.
        let mean = of.live_bytes as f64 / of.live_weight.max(1.0);
        let live = model.live.iter().filter(|live| live.kind == of.kind);
        let variance = live.fold(0.0, |sum, live| sum + live.weight * (live.weight - 1.0));
        Bytes {
            acquired: of.acquired_bytes,
            live: of.live_bytes,
            peak: of.peak_bytes,
            standard_error: (mean * f64::max(variance, 0.0).sqrt()).round(),
        }
    });
    KindTotals {
        kind: model.kind_names.name(of.kind).to_owned(),
        acquired: of.acquired,
        released: of.released,
        live: of.live(),
        peak: of.peak,
        failed: of.failed.clone(),
        lifetime_s: of.lifetimes.clone(),
        bytes,
        series: of.series.clone(),
    }
}

/// Fewer events than this give no figure for what an event costs.
const TIMED_EVENTS: u64 = 512;

fn overhead(trace: &Trace, model: &Model) -> Overhead {
    let own = model.images.iter().map(|image| trace.clock.span_ns(image.own_ticks) as f64);
    let own: f64 = own.sum();
    // What the process said at its end is exact; the collector's look is in ticks of 10 ms.
    let cpu = trace.regions.iter().map(|region| match region.state.header.end_cpu_ns {
        0 => region.facts.as_ref().map_or(0.0, |facts| facts.last.cpu_ticks as f64 / USER_HZ * 1e9),
        exact => exact as f64,
    });
    let cpu: f64 = cpu.sum();
    let regions: u64 = model.images.iter().map(|image| image.region_bytes).sum();
    let steps = model.steps.iter().map(|step| Step {
        at_s: seconds(step.at_ns),
        kind: model.kind_names.name(step.kind).to_owned(),
        to: format!("level {}", step.level),
        why: format!("reason {}: {}", step.reason, step.value),
    });
    // One visit in sixteen is timed: a few hundred events hold too few of them to say anything.
    let own = if model.events < TIMED_EVENTS { 0.0 } else { own };
    // How many events the time went into is known only where all of them are there, or counted as lost.
    let losses = || model.images.iter().map(|image| image.losses);
    let is_whole = losses().all(|lost| lost.overwritten_chunks == 0);
    let lost = losses().map(|lost| lost.acquisitions.saturating_add(lost.releases));
    let events = lost.fold(model.events, u64::saturating_add);
    Overhead {
        cpu_share: if cpu > 0.0 { (own / cpu).min(1.0) } else { 0.0 },
        ns_per_event: if is_whole && events > 0 { own / events as f64 } else { 0.0 },
        bytes: trace.bytes.max(regions),
        steps: steps.collect(),
    }
}

/// Processes that run and that no collector looks after are compared with `/proc` now: what they have
/// open without having been seen opening it. A fork child has its parent's descriptors, which says nothing.
fn compare_living(trace: &mut Trace) {
    let mut doubts = Vec::new();
    for (at, region) in trace.regions.iter().enumerate() {
        let header = &region.state.header;
        let looked_after = region.facts.is_some() || header.parent_region != 0;
        let Some(file) = region.file.as_ref().filter(|_| region.is_alive == Some(true)) else {
            continue;
        };
        if looked_after {
            continue;
        }
        let process = ProcessId { pid: header.pid, start_ticks: header.start_ticks };
        if let Some(doubt) = reconcile::look(process, || file.read().ok(), &mut None) {
            doubts.push((at, process, doubt));
        }
    }
    if doubts.iter().any(|(_, _, doubt)| !doubt.is_empty()) {
        std::thread::sleep(reconcile::DOUBT);
    }
    for (at, process, doubt) in doubts {
        let Some(region) = trace.regions.get_mut(at) else { continue };
        let Some(file) = &region.file else { continue };
        let mut facts = ProcessFacts {
            region: region.state.header.region_id,
            pid: process.pid,
            start_ticks: process.start_ticks,
            ..ProcessFacts::default()
        };
        if doubt.settle(process, || file.read().ok(), &mut facts.reconciliation) {
            region.facts = Some(facts);
        }
    }
}

/// Why regions stopped growing, by reason and number of images ([`resshim_format::header::Header`]).
fn not_grown(trace: &Trace) -> Vec<String> {
    let reasons = [
        (1, "memory or the file system was full"),
        (2, "its memory cgroup is near its limit"),
        (4, "RESSHIM_MAX_BYTES was reached"),
        (8, "it installed a seccomp filter"),
        (16, "this kernel promises no pages later (before Linux 5.14)"),
        (32, "it forbade the processor's counter"),
    ];
    let mut out = Vec::new();
    for (bit, reason) in reasons {
        let is_told = |region: &&TraceRegion| region.state.header.growth_refused & bit != 0;
        let images = trace.regions.iter().filter(is_told).count();
        if images > 0 {
            let of = if images == 1 { "1 image".into() } else { format!("{images} images") };
            out.push(format!("recording was cut short in {of}: {reason}"));
        }
    }
    let is_refused = |row: &&IndexRow| row.event == IndexEvent::Refused as u16;
    let refused = trace.index.iter().filter(is_refused).count();
    if refused > 0 {
        let errno = trace.index.iter().find(is_refused).map_or(0, |row| row.status as i32);
        let why = std::io::Error::from_raw_os_error(errno);
        let of = if refused == 1 { "1 image".into() } else { format!("{refused} images") };
        out.push(format!("nothing could be recorded in {of}: {why}"));
    }
    out
}

fn diagnostics(trace: &Trace, model: &Model, damage: u64, unknown: u64) -> Vec<Diagnostic> {
    let mut out = Vec::new();
    let mut say = |level: &str, text: String| {
        let one = Diagnostic { level: level.to_owned(), text };
        // Many processes of one service have one thing to say.
        if !out.contains(&one) {
            out.push(one);
        }
    };
    for problem in &trace.problems {
        say("warning", problem.clone());
    }
    let collector = trace.manifest.as_ref().map(|manifest| &manifest.collector);
    for problem in collector.iter().flat_map(|collector| &collector.problems) {
        say("warning", problem.clone());
    }
    if let Some(stopped) = collector.and_then(|collector| collector.stopped.as_ref()) {
        say("warning", format!("the collector stopped before the end: {stopped}"));
    }
    if damage > 0 {
        say("warning", format!("{damage} damaged pieces of the history were passed over"));
    }
    if unknown > 0 {
        say("info", format!("{unknown} events are of kinds that this version does not know"));
    }
    let mut lost = crate::model::image::Losses::default();
    for image in model.images {
        for text in &image.diagnostics {
            say("warning", text.clone());
        }
        lost.acquisitions = lost.acquisitions.saturating_add(image.losses.acquisitions);
        lost.releases = lost.releases.saturating_add(image.losses.releases);
        lost.untracked = lost.untracked.saturating_add(image.losses.untracked);
        lost.unseen = lost.unseen.saturating_add(image.losses.unseen);
        lost.overwritten_chunks =
            lost.overwritten_chunks.saturating_add(image.losses.overwritten_chunks);
    }
    let events = lost.acquisitions.saturating_add(lost.releases);
    if events > 0 || lost.overwritten_chunks > 0 {
        let of = |count: u64, one: &str, many: &str| (count > 0).then(|| plural(count, one, many));
        let pieces = of(lost.overwritten_chunks, "piece of history", "pieces of history");
        let parts: Vec<String> = of(events, "event", "events").into_iter().chain(pieces).collect();
        let text = format!(
            "lost: {}; totals and what is open are exact, lifetimes and times are of what was kept",
            parts.join(" and ")
        );
        say("warning", text);
    }
    for text in not_grown(trace) {
        say("warning", text);
    }
    if lost.untracked > 0 {
        let resources = plural(lost.untracked, "resource", "resources");
        say("warning", format!("{resources} found a full table: not tracked"));
    }
    if lost.unseen > 0 {
        let events = plural(lost.unseen, "event", "events");
        say("info", format!("{events} could not be seen (vfork children, start-up)"));
    }
    if model.closed.dropped() > 0 {
        let lifetimes = plural(model.closed.dropped(), "lifetime", "lifetimes");
        let text = format!("{lifetimes} found no room on disk");
        say("warning", text);
    }
    out
}

#[cfg(test)]
mod tests;
