//! Siblings of a leak: what the same line acquired on another path, and where that is released.
//!
//! A function that opens at one line and is called from two places has two call sites. Where one of
//! them releases and the other never does, the release on the sound path is the best hint there is.

use std::collections::{HashMap, HashSet};

use super::{Draft, Names, StackRef, own_frame};
use crate::model::Model;
use crate::model::kind::KindId;
use crate::model::resource::SiteStats;
use crate::report::{Frame, Site};

/// Sites of one image and kind that are looked at, those that release most first.
const SITES: usize = 8;
/// Releases of each that are told.
const RELEASES: usize = 2;

/// Sites that release, by image and kind of the drafts that want to know.
pub struct Siblings<'m> {
    sites: HashMap<(u32, KindId), Vec<&'m SiteStats>>,
}

/// Whether a draft of a leak does not know where its like is released.
fn wants(draft: &Draft) -> bool {
    draft.at.stack != 0 && !draft.others.iter().any(|(name, _)| *name == "released_at")
}

impl<'m> Siblings<'m> {
    /// Of these leaks.
    pub fn of<'d>(model: &'m Model, drafts: impl Iterator<Item = &'d Draft>) -> Siblings<'m> {
        let wanted: HashSet<(u32, KindId)> =
            drafts.filter(|draft| wants(draft)).map(|draft| (draft.at.image, draft.kind)).collect();
        let mut sites: HashMap<(u32, KindId), Vec<&SiteStats>> = HashMap::new();
        for site in model.sites.iter().filter(|site| !site.releases.is_empty() && site.stack != 0) {
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
        let (true, Some(own)) = (wants(draft), own_frame(at)) else { return Vec::new() };
        let same = |frame: &Frame| {
            (&frame.function, &frame.file, frame.line) == (&own.function, &own.file, own.line)
        };
        let mut found = Vec::new();
        for site in self.sites.get(&(draft.at.image, draft.kind)).into_iter().flatten() {
            let stack = StackRef { image: site.image, stack: site.stack };
            let is_same = !own.function.is_empty()
                && stack != draft.at
                && own_frame(&names.site(stack).site).is_some_and(same);
            if is_same {
                let releases = site.releases.iter().take(RELEASES);
                found.extend(releases.map(|r| StackRef { image: site.image, stack: r.stack }));
            }
        }
        found
    }
}
