//! `threshold`: more are live, or come, than the project's own rules allow (`[[rules.limit]]`).
//!
//! Of a kind as a whole its peak is known exactly. Of a function it is at least the highest peak of one of its call
//! sites, and at least what all of them have live in the end: the larger one is held against the limit, so that
//! nothing is found that was not there.

use std::collections::BTreeMap;

use serde_json::json;

use super::evidence::growth::growth;
use super::{Analysis, Draft, Names, Options, StackRef, Words, counted};
use crate::model::Model;
use crate::model::resource::SiteStats;
use crate::report::{Severity, Verdict};
use crate::rules::{Limit, is_at};

/// Sites of a kind whose names are asked for, those with the highest peaks first.
const SITES: usize = 256;
/// Evidence: the limit that was passed.
const MAX: &str = "limit";
/// Evidence: the growth that was allowed.
const GROWTH: &str = "limit_per_hour";

/// See the module's documentation.
pub struct Threshold;

impl Analysis for Threshold {
    fn rule(&self) -> &'static str {
        "threshold"
    }

    fn find(&self, model: &Model, options: &Options, names: &mut dyn Names) -> Vec<Draft> {
        options.rules.limit.iter().flat_map(|limit| passed(model, limit, names)).collect()
    }

    fn title(&self, draft: &Draft, words: &Words) -> String {
        let limit =
            |name: &str| draft.evidence.get(name).map_or(String::new(), ToString::to_string);
        let place = &words.place;
        if draft.evidence.contains_key(GROWTH) {
            let grown = limit("growth_per_hour");
            let allowed = limit(GROWTH);
            return format!(
                "{} from {place} grow by {grown} an hour: {allowed} are allowed",
                words.kind
            );
        }
        let what = counted(draft.count, &words.kind);
        format!("{what} at one time: {} are allowed; most from {place}", limit(MAX))
    }

    fn advice(&self, _: &Draft, words: &Words) -> String {
        format!(
            "The limit is the project's own (.resshim.toml): bound what {} acquires, or raise it.",
            words.place
        )
    }
}

fn passed(model: &Model, limit: &Limit, names: &mut dyn Names) -> Vec<Draft> {
    let of_kind = |site: &&SiteStats| model.kind_names.name(site.kind) == limit.kind;
    let mut sites: Vec<&SiteStats> = model.sites.iter().filter(of_kind).collect();
    sites.sort_by_key(|site| (std::cmp::Reverse(site.peak), site.image, site.stack));
    if limit.site.is_some() {
        sites.truncate(SITES);
        let stacks: Vec<StackRef> = sites.iter().map(|site| at(site)).collect();
        names.prepare(&stacks);
        sites.retain(|site| is_at(limit.site.as_deref(), &names.site(at(site)).site));
    }
    let Some(most) = sites.first() else { return Vec::new() };
    let mut found = Vec::new();
    let live: u64 = sites.iter().map(|site| site.acquired.saturating_sub(site.released)).sum();
    let kind = model.kinds.iter().find(|kind| kind.kind == most.kind);
    let peak = match (&limit.site, kind) {
        (None, Some(kind)) => kind.peak,
        _ => most.peak.max(live),
    };
    if let Some(max) = limit.max.filter(|max| peak > *max) {
        let evidence = [(MAX, json!(max)), ("peak", json!(peak))];
        found.push(draft(most, peak, Verdict::Definite, evidence));
    }
    let allowed = limit.growth_per_hour.into_iter();
    found.extend(allowed.filter_map(|allowed| grown(sites.iter().copied(), allowed)));
    found
}

/// The site that grows most, if it surely does by more than is allowed.
fn grown<'s>(sites: impl Iterator<Item = &'s SiteStats>, allowed: f64) -> Option<Draft> {
    let grows = |site: &'s SiteStats| {
        let passed = site.last_ns.saturating_sub(site.first_ns) / site.bucket_ns.max(1);
        let growth = growth(&site.flow, site.bucket_ns, (passed as usize).min(site.flow.len()))?;
        (growth.interval.0 * 3600.0 > allowed).then_some((site, growth))
    };
    let (site, growth) =
        sites.filter_map(grows).max_by(|a, b| a.1.per_second.total_cmp(&b.1.per_second))?;
    let (low, high) = growth.interval;
    let hour = |per_second: f64| json!((per_second * 3600.0).round());
    let evidence = [
        (GROWTH, json!(allowed)),
        ("growth_per_hour", hour(growth.per_second)),
        ("growth_per_hour_interval", json!([hour(low), hour(high)])),
    ];
    let live = site.acquired.saturating_sub(site.released);
    Some(draft(site, live, Verdict::Probable, evidence))
}

fn at(site: &SiteStats) -> StackRef {
    StackRef { image: site.image, stack: site.stack }
}

fn draft<const N: usize>(
    site: &SiteStats,
    count: u64,
    verdict: Verdict,
    evidence: [(&str, serde_json::Value); N],
) -> Draft {
    Draft {
        at: at(site),
        kind: site.kind,
        verdict,
        severity: Severity::Error,
        confidence: 0.99,
        count,
        bytes: None,
        resources: Vec::new(),
        evidence: BTreeMap::from(evidence.map(|(name, value)| (name.to_owned(), value))),
        others: Vec::new(),
        lost_path: None,
    }
}
