//! Siblings of a leak: what the same line acquired on another path, and where that is released.
//!
//! A function that opens at one line and is called from two places has two call sites. Where one of
//! them releases and the other never does, the release on the sound path is the best hint there is, and
//! its lifetimes say how long the other's should be: an error path that forgets has none of its own.

use std::collections::{HashMap, HashSet};

use serde_json::json;

use super::survival::Outlivers;
use crate::analysis::leak::{CHANCE, OUTLIVERS, RELEASED};
use crate::analysis::{Draft, Names, StackRef, own_frame, seconds, trust};
use crate::model::Model;
use crate::model::kind::KindId;
use crate::model::resource::SiteStats;
use crate::report::{Frame, Severity, Site, Verdict};

/// Sites of one image and kind that are looked at, those that release most first.
const SITES: usize = 16;
/// Releases of each that are told.
const RELEASES: usize = 2;

/// What is live of a site that released next to nothing.
#[derive(Clone, Debug)]
pub struct LostPath {
    /// When each was acquired, oldest first.
    pub acquired_ns: Vec<u64>,
    /// First acquisition of the site.
    pub first_ns: u64,
    /// When the image stopped working.
    pub active_ns: u64,
    /// When it was last seen.
    pub end_ns: u64,
    /// Sites that are judged in all.
    pub looks: f64,
    /// It is listed even if its siblings say nothing.
    pub is_listed: bool,
}

impl LostPath {
    /// The live ones that outlived what `released` others of the same line needed, if they are too many for
    /// chance and came all along.
    pub fn outlived(&self, released: u64, longest_ns: u64) -> Option<Outlivers> {
        let out = Outlivers::find(self.acquired_ns.clone(), longest_ns, self.end_ns);
        let until = self.end_ns.saturating_sub(longest_ns).min(self.active_ns);
        (released >= RELEASED
            && out.acquired_ns.len() >= OUTLIVERS
            && out.chance() * self.looks < CHANCE
            && out.are_spread(self.first_ns, until))
        .then_some(out)
    }
}

/// Sites that release, by image and kind of the drafts that want to know.
pub struct Siblings<'m> {
    sites: HashMap<(u32, KindId), Vec<&'m SiteStats>>,
}

/// Whether a draft of a leak does not know where its like is released.
fn wants(draft: &Draft) -> bool {
    let is_known = draft.others.iter().any(|(name, _)| *name == "released_at");
    draft.at.stack != 0 && (!is_known || draft.lost_path.is_some())
}

impl<'m> Siblings<'m> {
    /// Of these leaks.
    pub fn of<'d>(model: &'m Model, drafts: impl Iterator<Item = &'d Draft>) -> Siblings<'m> {
        let wanted: HashSet<(u32, KindId)> =
            drafts.filter(|draft| wants(draft)).map(|draft| (draft.at.image, draft.kind)).collect();
        let mut sites: HashMap<(u32, KindId), Vec<&SiteStats>> = HashMap::new();
        for site in model.sites.iter().filter(|site| site.released > 0 && site.stack != 0) {
            if wanted.contains(&(site.image, site.kind)) {
                sites.entry((site.image, site.kind)).or_default().push(site);
            }
        }
        for sites in sites.values_mut() {
            sites.sort_by_key(|site| (std::cmp::Reverse(site.released), site.stack));
            sites.truncate(SITES);
        }
        Siblings { sites }
    }

    /// Stacks whose names will be asked for.
    pub fn stacks(&self) -> impl Iterator<Item = StackRef> + '_ {
        self.sites.values().flatten().flat_map(|site| {
            let releases = site.releases.iter().take(RELEASES).map(|release| release.stack);
            releases.chain([site.stack]).map(|stack| StackRef { image: site.image, stack })
        })
    }

    /// Where what the same line acquires on other paths is released.
    pub fn releases(&self, draft: &Draft, at: &Site, names: &mut dyn Names) -> Vec<StackRef> {
        if !wants(draft) {
            return Vec::new();
        }
        let sites = self.same_line(draft, at, names);
        sites.into_iter().flat_map(releases_of).collect()
    }

    /// Makes a leak `probable` if its siblings show that this path is lost; whether they do.
    pub fn convict(
        &self,
        path: &LostPath,
        draft: &mut Draft,
        at: &Site,
        model: &Model,
        names: &mut dyn Names,
    ) -> bool {
        let sites = self.same_line(draft, at, names);
        let released = sites.iter().fold(0, |sum: u64, site| sum.saturating_add(site.released));
        let longest_ns = sites.iter().map(|site| site.longest_ns).max().unwrap_or(0);
        let Some(out) = path.outlived(released, longest_ns) else { return false };
        draft.verdict = Verdict::Probable;
        draft.severity = Severity::Error;
        draft.confidence = out.sureness(path.looks) * trust(model, draft.at.image);
        draft.evidence.insert("siblings_released".to_owned(), json!(released));
        draft.evidence.insert("siblings_longest_s".to_owned(), json!(seconds(longest_ns)));
        let older = json!(out.acquired_ns.len());
        draft.evidence.insert("older_than_any_released".to_owned(), older);
        draft.others.extend(sites.into_iter().flat_map(releases_of).map(|at| ("released_at", at)));
        true
    }

    /// Other sites of the same image and kind whose own frame is the same line.
    fn same_line(&self, draft: &Draft, at: &Site, names: &mut dyn Names) -> Vec<&'m SiteStats> {
        let Some(own) = own_frame(at).filter(|own| !own.function.is_empty()) else {
            return Vec::new();
        };
        let same = |frame: &Frame| {
            (&frame.function, &frame.file, frame.line) == (&own.function, &own.file, own.line)
        };
        let sites = self.sites.get(&(draft.at.image, draft.kind)).into_iter().flatten();
        let is_same = |site: &&&SiteStats| {
            let stack = StackRef { image: site.image, stack: site.stack };
            stack != draft.at && own_frame(&names.site(stack).site).is_some_and(same)
        };
        sites.filter(is_same).copied().collect()
    }
}

/// The stacks that release most of what a site acquires.
fn releases_of(site: &SiteStats) -> impl Iterator<Item = StackRef> + use<> {
    let image = site.image;
    let stacks: Vec<u32> = site.releases.iter().take(RELEASES).map(|r| r.stack).collect();
    stacks.into_iter().map(move |stack| StackRef { image, stack })
}
