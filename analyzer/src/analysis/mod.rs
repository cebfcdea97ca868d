//! From the model to findings: one file a rule, each a row of [`ALL`].
//!
//! An analysis looks at the model alone and gives [`Draft`]s, which name stacks by their ids. Names
//! come last, for those stacks only; drafts whose ids are the same (one defect in many worker
//! processes) become one [`Finding`]. No input or output here.

mod bad_close;
mod double_close;
mod double_free;
mod evidence;
#[cfg(test)]
mod hand_built;
mod invalid_free;
pub mod leak;
mod overdue;
#[cfg(test)]
mod own_kinds;
#[cfg(test)]
mod tests;
mod threshold;
mod use_after_close;

use std::collections::{BTreeMap, HashMap};

use resshim_format::op::Kind;
use serde_json::{Value, json};

use crate::model::Model;
use crate::model::kind::{KindId, noun};
use crate::model::resource::Live;
use crate::report::{Finding, Frame, ResourceRef, Severity, Site, Verdict};
use crate::rules::Rules;
use crate::symbols::ResolvedSite;
use crate::symbols::managed::short_function;

use self::evidence::siblings::{LostPath, Siblings};

/// Resources that a finding names.
const RESOURCES: usize = 32;
/// Most that a finding is sure of whose site leads through an interpreter without frames.
const BLIND_CONFIDENCE: f64 = 0.5;
/// Sites of releases that a finding names.
const RELEASED_AT: usize = 3;

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// What is still open at exit counts as a leak.
    pub at_exit: bool,
    /// What the project expects of its program.
    pub rules: Rules,
}

/// A rule.
pub trait Analysis: Sync {
    /// Word of the contract.
    fn rule(&self) -> &'static str;
    /// What it finds. Few need `names`: drafts get theirs afterwards.
    fn find(&self, model: &Model, options: &Options, names: &mut dyn Names) -> Vec<Draft>;
    /// One line about this finding; `words` are the names that are known by then.
    fn title(&self, draft: &Draft, words: &Words) -> String;
    /// What to change.
    fn advice(&self, draft: &Draft, words: &Words) -> String;
}

/// Every rule, in the order of the contract.
pub const ALL: &[&dyn Analysis] = &[
    &leak::Leak,
    &double_close::DoubleClose,
    &bad_close::BadClose,
    &use_after_close::UseAfterClose,
    &double_free::DoubleFree,
    &invalid_free::InvalidFree,
    &overdue::Overdue,
    &threshold::Threshold,
];

/// A stack of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StackRef {
    /// Index of the image.
    pub image: u32,
    /// Stack id, 0 = not known.
    pub stack: u32,
}

/// A finding before its stacks have names.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Where the defect is.
    pub at: StackRef,
    /// Kind of the resources.
    pub kind: KindId,
    /// How sure.
    pub verdict: Verdict,
    /// How bad.
    pub severity: Severity,
    /// 0 to 1.
    pub confidence: f64,
    /// Resources.
    pub count: u64,
    /// Bytes of them.
    pub bytes: Option<u64>,
    /// Some of them.
    pub resources: Vec<ResourceRef>,
    /// What the verdict rests on.
    pub evidence: BTreeMap<String, Value>,
    /// Sites that belong to it, by the name of their evidence: `released_at`, `acquired_at`, ….
    pub others: Vec<(&'static str, StackRef)>,
    /// What the same line acquires on other paths may show that this path is the lost one.
    pub lost_path: Option<LostPath>,
}

/// Names for the texts of a finding.
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// Word of the kind.
    pub kind: String,
    /// Function, file and line of the program's own frame.
    pub place: String,
    /// The same of the other sites, by the name of their evidence.
    pub others: BTreeMap<&'static str, Vec<String>>,
}

impl Words {
    /// The first place of this name.
    pub fn other(&self, name: &str) -> Option<&str> {
        self.others.get(name).and_then(|places| places.first()).map(String::as_str)
    }
}

/// Gives names to stacks.
pub trait Names {
    /// Makes these known at once: cheaper than one by one.
    fn prepare(&mut self, stacks: &[StackRef]);
    /// The call site of a stack; without frames if it is not known.
    fn site(&mut self, at: StackRef) -> ResolvedSite;
}

/// Runs every rule. Worst findings first.
pub fn run(model: &Model, options: &Options, names: &mut dyn Names) -> Vec<Finding> {
    let found: Vec<(&dyn Analysis, Vec<Draft>)> =
        ALL.iter().map(|analysis| (*analysis, analysis.find(model, options, names))).collect();
    let drafts = found.iter().flat_map(|(_, drafts)| drafts);
    let leaks = found.iter().filter(|(analysis, _)| analysis.rule() == "leak");
    let siblings = Siblings::of(model, leaks.flat_map(|(_, drafts)| drafts));
    let stacks: Vec<StackRef> = drafts
        .flat_map(|draft| draft.others.iter().map(|other| other.1).chain([draft.at]))
        .chain(siblings.stacks())
        .filter(|at| at.stack != 0)
        .collect();
    names.prepare(&stacks);
    let mut findings = Vec::new();
    for (analysis, drafts) in found {
        let siblings = (analysis.rule() == "leak").then_some(&siblings);
        findings.extend(name(analysis, drafts, siblings, model, names));
    }
    findings.sort_by(|a, b| {
        let rank = |finding: &Finding| (finding.severity, finding.verdict, finding.count);
        rank(b).cmp(&rank(a)).then_with(|| a.id.cmp(&b.id))
    });
    findings
}

fn name(
    analysis: &dyn Analysis,
    drafts: Vec<Draft>,
    siblings: Option<&Siblings>,
    model: &Model,
    names: &mut dyn Names,
) -> Vec<Finding> {
    // By id and verdict: what is proven of one process must not be said of another.
    let mut order = Vec::new();
    let mut groups: HashMap<(String, Verdict), (ResolvedSite, Draft)> = HashMap::new();
    for mut draft in drafts {
        let site = names.site(draft.at);
        if let Some(path) = draft.lost_path.take() {
            let is_lost = siblings.is_some_and(|siblings| {
                siblings.convict(&path, &mut draft, &site.site, model, names)
            });
            if !is_lost && !path.is_listed {
                continue;
            }
        }
        if analysis.rule() == "leak" {
            let is_memory = [Kind::Heap.into(), Kind::Mapping.into()].contains(&draft.kind);
            if is_memory && site.is_kept && draft.verdict == Verdict::StillOpen {
                continue;
            }
            temper(&mut draft, &site);
        }
        let key =
            (site.finding_id(analysis.rule(), model.kind_names.name(draft.kind)), draft.verdict);
        match groups.get_mut(&key) {
            Some((_, known)) => known.merge(draft),
            None => {
                order.push(key.clone());
                groups.insert(key, (site, draft));
            }
        }
    }
    let mut findings = Vec::new();
    for key in order {
        let Some((site, mut draft)) = groups.remove(&key) else { continue };
        if let Some(siblings) = siblings {
            let releases = siblings.releases(&draft, &site.site, names);
            draft.others.extend(releases.into_iter().map(|at| ("released_at", at)));
        }
        findings.push(finish(analysis, key.0, site, draft, model, names));
    }
    findings
}

/// Takes back what the counts of a site seem to say, where the site is not the program's.
fn temper(draft: &mut Draft, site: &ResolvedSite) {
    let (is_block, is_mapping) =
        (draft.kind == Kind::Heap.into(), draft.kind == Kind::Mapping.into());
    // A block of an interpreter is one object: many and more of them are the program's to explain, but that some
    // are there at the end is what its globals are for.
    let is_interpreters =
        site.is_interpreters && (is_mapping || is_block && draft.verdict == Verdict::StillOpen);
    let is_managed = is_block && site.is_managed_block
        || is_mapping && site.is_managed_mapping
        || is_interpreters;
    let (why, severity) = if is_managed || (is_block || is_mapping) && site.is_blind {
        // A managed heap grows and keeps what it has: its collector knows, not its mappings.
        ("managed_memory", Severity::Info)
    } else if site.is_blind {
        // The leaking and the healthy functions of the program are one site here.
        ("interpreter_frames_not_known", Severity::Warning)
    } else {
        return;
    };
    draft.verdict = draft.verdict.min(Verdict::Possible);
    draft.severity = draft.severity.min(severity);
    draft.confidence = draft.confidence.min(BLIND_CONFIDENCE);
    draft.evidence.insert(why.to_owned(), json!(true));
}

fn finish(
    analysis: &dyn Analysis,
    id: String,
    site: ResolvedSite,
    mut draft: Draft,
    model: &Model,
    names: &mut dyn Names,
) -> Finding {
    let mut words = Words {
        kind: model.kind_names.name(draft.kind).to_owned(),
        place: place(&site.site),
        others: BTreeMap::new(),
    };
    let mut sites: BTreeMap<&'static str, Vec<Value>> = BTreeMap::new();
    for (name, at) in std::mem::take(&mut draft.others) {
        let site = names.site(at).site;
        let text = place(&site);
        let places = words.others.entry(name).or_default();
        if site.frames.is_empty() || places.contains(&text) || places.len() >= RELEASED_AT {
            continue;
        }
        places.push(text);
        let value = json!(site);
        sites.entry(name).or_default().push(value);
    }
    let mut evidence = draft.evidence.clone();
    evidence.extend(sites.into_iter().map(|(name, sites)| (name.to_owned(), Value::from(sites))));
    let mut pids: Vec<u32> = draft.resources.iter().map(|resource| resource.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    Finding {
        id,
        id_stable: site.id_stable,
        site_id: site.site_id,
        rule: analysis.rule().to_owned(),
        kind: words.kind.clone(),
        verdict: draft.verdict,
        severity: draft.severity,
        confidence: draft.confidence.clamp(0.0, 1.0),
        title: analysis.title(&draft, &words),
        count: draft.count,
        bytes: draft.bytes,
        pids,
        site: site.site,
        evidence,
        advice: analysis.advice(&draft, &words),
        saving: None,
        resources: draft.resources,
    }
}

impl Draft {
    fn merge(&mut self, other: Draft) {
        self.count = self.count.saturating_add(other.count);
        self.bytes = match (self.bytes, other.bytes) {
            (Some(one), Some(two)) => Some(one.saturating_add(two)),
            (one, two) => one.or(two),
        };
        self.severity = self.severity.max(other.severity);
        self.confidence = self.confidence.max(other.confidence);
        // One resource of every process first, so that no process is left unnamed.
        let room = RESOURCES.saturating_sub(self.resources.len()).max(1);
        self.resources.extend(other.resources.into_iter().take(room));
        self.others.extend(other.others);
        for (name, value) in other.evidence {
            let is_total = ["acquired", "released"].contains(&name.as_str());
            match (self.evidence.get_mut(&name), &value) {
                (Some(Value::Number(one)), Value::Number(two)) if is_total => {
                    let sum = one.as_u64().unwrap_or(0).saturating_add(two.as_u64().unwrap_or(0));
                    self.evidence.insert(name, json!(sum));
                }
                (Some(Value::Number(one)), Value::Number(two)) if name.starts_with("growth") => {
                    let sum = one.as_f64().unwrap_or(0.0) + two.as_f64().unwrap_or(0.0);
                    self.evidence.insert(name, json!(sum));
                }
                (Some(one), two) if name == "since_s" => {
                    if two.as_f64() < one.as_f64() {
                        *one = value;
                    }
                }
                (Some(_), _) => {}
                (None, _) => {
                    self.evidence.insert(name, value);
                }
            }
        }
    }
}

/// The frame of the program's own code.
fn own_frame(site: &Site) -> Option<&Frame> {
    site.frames.get(site.user).or_else(|| site.frames.first())
}

/// `function (file:line)`, or what is known of it.
fn place(site: &Site) -> String {
    let Some(frame) = own_frame(site) else { return "a place that is not known".to_owned() };
    let file = frame.file.rsplit('/').next().unwrap_or(&frame.file);
    match (short_function(frame), file) {
        ("", _) => {
            let module = frame.module.rsplit('/').next().unwrap_or(&frame.module);
            format!("{module}+{:#x}", frame.offset)
        }
        (function, "") => function.to_owned(),
        (function, file) => format!("{function} ({file}:{})", frame.line),
    }
}

/// A number of resources in words: `12 files`, `1 tcp socket`.
fn counted(count: u64, kind: &str) -> String {
    format!("{count} {}", noun(kind, count))
}

/// Resources of a finding.
fn resources<'a>(model: &Model, live: impl Iterator<Item = &'a Live>) -> Vec<ResourceRef> {
    let one = |live: &Live| ResourceRef {
        pid: model.images.get(live.image as usize).map_or(0, |image| image.pid),
        handle: live.handle.text(model.kind_names.name(live.kind)),
        label: live.label.to_string(),
    };
    live.take(RESOURCES).map(one).collect()
}

/// Seconds of a time or a span.
fn seconds(ns: u64) -> f64 {
    (ns as f64 / 1e6).round() / 1e3
}

/// How much of the history is there: 1 = all of it.
fn trust(model: &Model, image: u32) -> f64 {
    let Some(image) = model.images.get(image as usize) else { return 1.0 };
    let lost = image.losses;
    let counts = [lost.acquisitions, lost.releases, lost.untracked, lost.unseen];
    // As it stands in a region that anybody may have written to: sums of it fit no integer.
    let missing: f64 = counts.iter().map(|count| *count as f64).sum();
    1.0 - missing / (missing + model.events.max(1) as f64)
}
