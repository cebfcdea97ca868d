//! `overdue`: held for longer than the program or its project says that such a resource is held: `resshim_expect`
//! of its own code, `[[rules.expect]]` of its rules.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;

use super::{Analysis, Draft, Names, Options, StackRef, Words, counted, resources, seconds, trust};
use crate::model::Model;
use crate::model::kind::KindId;
use crate::model::resource::Live;
use crate::report::{Severity, Verdict};
use crate::rules::is_at;

/// See the module's documentation.
pub struct Overdue;

/// What is overdue of a site.
#[derive(Default)]
struct Site<'m> {
    live: Vec<&'m Live>,
    released: u64,
    longest_ns: u64,
}

impl Analysis for Overdue {
    fn rule(&self) -> &'static str {
        "overdue"
    }

    fn find(&self, model: &Model, options: &Options, names: &mut dyn Names) -> Vec<Draft> {
        let mut drafts = Vec::new();
        for (image, kind, limit) in &model.expected {
            let is_it = |of: u32, k: KindId| of == *image && k == *kind;
            drafts.extend(
                late(model, *limit, is_it).map(|(at, site)| draft(model, at, &site, *limit)),
            );
        }
        for expect in &options.rules.expect {
            let limit = expect.seconds * 1e9;
            let is_it = |_, kind| model.kind_names.name(kind) == expect.kind;
            for (index, site) in late(model, limit, is_it) {
                let at = stack(model, index);
                if is_at(expect.site.as_deref(), &names.site(at).site) {
                    drafts.push(draft(model, index, &site, limit));
                }
            }
        }
        drafts
    }

    fn title(&self, draft: &Draft, words: &Words) -> String {
        let what = counted(draft.count, &words.kind);
        let limit = &draft.evidence["expected_s"];
        format!("{what} from {} held for longer than {limit} s", words.place)
    }

    fn advice(&self, draft: &Draft, words: &Words) -> String {
        let longest = &draft.evidence["longest_s"];
        format!(
            "The longest was held for {longest} s: find what keeps those of {} (a lock, a slow peer, a path that \
             forgets), or expect more.",
            words.place
        )
    }
}

fn stack(model: &Model, site: u32) -> StackRef {
    let site = model.sites.get(site as usize);
    site.map_or(StackRef::default(), |site| StackRef { image: site.image, stack: site.stack })
}

/// Sites with resources that were held for longer than `limit` nanoseconds, of the images and kinds that are meant.
fn late<'m>(
    model: &'m Model,
    limit: f64,
    is_it: impl Fn(u32, KindId) -> bool,
) -> impl Iterator<Item = (u32, Site<'m>)> {
    let mut sites: HashMap<u32, Site> = HashMap::new();
    for live in model.live.iter().filter(|live| is_it(live.image, live.kind) && !live.is_foreign) {
        let age = model.end_of(live.image).saturating_sub(live.acquired_ns);
        if let Some(site) = live.site.filter(|_| age as f64 > limit) {
            let late = sites.entry(site).or_default();
            late.live.push(live);
            late.longest_ns = late.longest_ns.max(age);
        }
    }
    model.closed.each(|closed| {
        let site = model.sites.get(closed.site as usize);
        if site.is_some_and(|site| is_it(site.image, site.kind))
            && closed.lifetime_ns as f64 > limit
        {
            let late = sites.entry(closed.site).or_default();
            late.released += 1;
            late.longest_ns = late.longest_ns.max(closed.lifetime_ns);
        }
    });
    let mut sites: Vec<_> = sites.into_iter().collect();
    sites.sort_unstable_by_key(|(site, _)| *site);
    sites.into_iter()
}

fn draft(model: &Model, index: u32, site: &Site, limit: f64) -> Draft {
    let at = stack(model, index);
    let kind = model.sites.get(index as usize).map_or(KindId(0), |site| site.kind);
    let evidence = [
        ("expected_s", json!(seconds(limit as u64))),
        ("longest_s", json!(seconds(site.longest_ns))),
        ("released_late", json!(site.released)),
        ("still_held", json!(site.live.len())),
    ];
    Draft {
        at,
        kind,
        // That it was held so long is a fact; only lost events could make it another one's time.
        verdict: Verdict::Definite,
        severity: if site.live.is_empty() { Severity::Warning } else { Severity::Error },
        confidence: trust(model, at.image),
        count: site.live.len() as u64 + site.released,
        bytes: None,
        resources: resources(model, site.live.iter().copied()),
        evidence: BTreeMap::from(evidence.map(|(name, value)| (name.to_owned(), value))),
        others: Vec::new(),
        lost_path: None,
    }
}
