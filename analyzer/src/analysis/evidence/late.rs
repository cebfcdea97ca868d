//! What a process gave back only as it ended: a list of forgotten sockets that goes out of scope with `main`, a
//! server's registry that its shutdown clears. At the exit nothing is left, and all the same the service had more
//! and more of them as long as it worked.
//!
//! So a site of a process that is over is looked at as it stood when it acquired for the last time, if that was
//! about when the work ended ([`super::growth::active_until`], which knows it by its buckets only), by the rules for
//! one that runs: what was released later is live there, and says nothing of how long lifetimes are.
//! Memory is left out: a program that builds something up, uses it and frees it is as it should be.

use std::collections::{BTreeMap, HashMap};

use resshim_format::op::{Class, Kind};
use serde_json::json;

use super::siblings::LostPath;
use crate::analysis::leak::OUTLIVERS;
use crate::analysis::{Draft, StackRef, seconds, trust};
use crate::model::Model;
use crate::model::resource::{Live, SiteStats};
use crate::report::{Severity, Verdict};

/// Evidence that all of them were released, too late.
pub const LATE: &str = "released_only_at_the_end";

/// Times that are kept of a site.
const KEPT: usize = 4096;

/// What a site released after the work had ended.
#[derive(Clone, Debug, Default)]
struct Late {
    acquired_ns: Vec<u64>,
    count: u64,
    /// Longest lifetime of those that were released before.
    longest_ns: u64,
}

/// Leaks that no longer show. `active_ns` says when the work of an image ended, `None` = it is not over, and
/// `is_known` which sites are findings already.
pub fn find(
    model: &Model,
    looks: f64,
    active_ns: impl Fn(u32) -> Option<u64>,
    is_known: impl Fn(u32) -> bool,
) -> Vec<Draft> {
    let mut ended: HashMap<u32, Option<u64>> = HashMap::new();
    let mut by_site: HashMap<u32, Late> = HashMap::new();
    model.closed.each(|closed| {
        let Some(site) = model.sites.get(closed.site as usize) else { return };
        let active = *ended.entry(site.image).or_insert_with(|| active_ns(site.image));
        let Some(active) = active.filter(|_| is_descriptor(model, site)) else { return };
        let Some(active) = last_look(site, active) else { return };
        let late = by_site.entry(closed.site).or_default();
        if closed.acquired_ns.saturating_add(closed.lifetime_ns) <= active {
            late.longest_ns = late.longest_ns.max(closed.lifetime_ns);
        } else if closed.acquired_ns <= active {
            late.count += 1;
            if late.acquired_ns.len() < KEPT {
                late.acquired_ns.push(closed.acquired_ns);
            }
        }
    });
    let mut sites: Vec<(u32, Late)> = by_site.into_iter().collect();
    sites.sort_unstable_by_key(|(site, _)| *site);
    let mut drafts = Vec::new();
    for (index, late) in sites.into_iter().filter(|(index, _)| !is_known(*index)) {
        let Some(site) = model.sites.get(index as usize) else { continue };
        let active = ended.get(&site.image).copied().flatten();
        let Some(active) = active.and_then(|active| last_look(site, active)) else { continue };
        drafts.extend(judge(model, (index, site), late, active, looks));
    }
    drafts
}

/// When a site is looked at: at its last acquisition, unless others worked on for long.
fn last_look(site: &SiteStats, active_ns: u64) -> Option<u64> {
    let last = site.last_ns.min(active_ns);
    let worked = active_ns.saturating_sub(site.first_ns);
    (active_ns - last <= worked / 8).then_some(last)
}

fn is_descriptor(model: &Model, site: &SiteStats) -> bool {
    Kind::from_name(model.kind_names.name(site.kind)).is_some_and(|kind| kind.class() == Class::Fd)
}

fn judge(
    model: &Model,
    (index, site): (u32, &SiteStats),
    late: Late,
    active_ns: u64,
    looks: f64,
) -> Option<Draft> {
    let own = |live: &&Live| live.site == Some(index) && !live.is_foreign && !live.is_passed_on;
    let left = model.live.iter().filter(own).filter(|live| live.acquired_ns <= active_ns);
    let mut acquired_ns = late.acquired_ns;
    acquired_ns.extend(left.map(|live| live.acquired_ns));
    acquired_ns.sort_unstable();
    let path = LostPath {
        acquired_ns,
        first_ns: site.first_ns,
        active_ns,
        end_ns: active_ns,
        looks,
        is_listed: false,
    };
    let before = site.released.saturating_sub(late.count);
    let image = site.image;
    let since = path.acquired_ns.first().copied().unwrap_or(0);
    let mut draft = Draft {
        at: StackRef { image, stack: site.stack },
        kind: site.kind,
        verdict: Verdict::Probable,
        severity: Severity::Error,
        confidence: 0.0,
        count: path.acquired_ns.len() as u64,
        bytes: None,
        resources: Vec::new(),
        evidence: BTreeMap::from([
            ("since_s".to_owned(), json!(seconds(since))),
            ("acquired".to_owned(), json!(site.acquired)),
            ("released".to_owned(), json!(site.released)),
            (LATE.to_owned(), json!(late.count)),
        ]),
        others: Vec::new(),
        lost_path: None,
    };
    match path.outlived(before, late.longest_ns) {
        Some(out) => {
            draft.count = out.acquired_ns.len() as u64;
            draft.evidence.insert("older_than_any_released".to_owned(), json!(draft.count));
            draft.confidence = out.sureness(looks) * trust(model, image);
        }
        None if path.acquired_ns.len() >= OUTLIVERS => draft.lost_path = Some(path),
        None => return None,
    }
    Some(draft)
}
