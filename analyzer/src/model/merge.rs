//! Sites that are one and the same line of the program.
//!
//! A stack is told by its addresses. Code that a compiler makes at run time moves when it is compiled
//! again, so that one line has several stacks in the course of time, each with a part of the history.
//! Who knows the names says which sites are the same; here they become one.

use super::Model;
use super::resource::{ReleaseSite, SiteStats};

/// Buckets of a site, as the shim has them.
const BUCKETS: u64 = resshim_format::table::BUCKETS as u64;
/// Stacks of releases that a site keeps.
const RELEASES: usize = 8;

impl Model<'_> {
    /// Makes one of sites that are the same: `same` has for each site the index of the one that it is a
    /// part of, which is not behind it (its own: it is no part of another).
    pub fn merge_sites(&mut self, same: &[u32]) {
        let into = |index: u32| {
            same.get(index as usize).copied().filter(|into| *into < index).unwrap_or(index)
        };
        for index in 0..self.sites.len() {
            let target = into(index as u32) as usize;
            let (before, from) = self.sites.split_at_mut(index);
            if let (Some(to), Some(from)) = (before.get_mut(target), from.first_mut()) {
                merge(to, from);
            }
        }
        for live in &mut self.live {
            live.site = live.site.map(into);
        }
    }
}

/// Adds `from` to `to`; what is left of it is nobody's.
fn merge(to: &mut SiteStats, from: &mut SiteStats) {
    (to.bucket_ns, to.flow) = flow(to, from);
    to.is_exact &= from.is_exact;
    to.acquired = to.acquired.saturating_add(from.acquired);
    to.released = to.released.saturating_add(from.released);
    to.acquired_bytes = to.acquired_bytes.saturating_add(from.acquired_bytes);
    to.released_bytes = to.released_bytes.saturating_add(from.released_bytes);
    // They may have had their peaks at different times.
    to.peak = to.peak.saturating_add(from.peak).min(to.acquired);
    to.weight_squares += from.weight_squares;
    to.first_ns = to.first_ns.min(from.first_ns);
    to.last_ns = to.last_ns.max(from.last_ns);
    to.longest_ns = to.longest_ns.max(from.longest_ns);
    for release in std::mem::take(&mut from.releases) {
        match to.releases.iter_mut().find(|known| known.stack == release.stack) {
            Some(known) => known.count = known.count.saturating_add(release.count),
            None => to.releases.push(release),
        }
    }
    to.releases.sort_by_key(|release: &ReleaseSite| std::cmp::Reverse(release.count));
    to.releases.truncate(RELEASES);
    from.stack = 0;
    from.flow.clear();
    (from.acquired, from.released, from.acquired_bytes, from.released_bytes) = (0, 0, 0, 0);
    (from.peak, from.weight_squares, from.bucket_ns) = (0, 0.0, 0);
}

/// The flow of both, in buckets that are wide enough for the time from the first to the last of both.
fn flow(one: &SiteStats, two: &SiteStats) -> (u64, Vec<(u64, u64)>) {
    let with_flow = |site: &SiteStats| site.bucket_ns > 0 && !site.flow.is_empty();
    match (with_flow(one), with_flow(two)) {
        (_, false) => return (one.bucket_ns, one.flow.clone()),
        (false, true) => return (two.bucket_ns, two.flow.clone()),
        (true, true) => {}
    }
    let first_ns = one.first_ns.min(two.first_ns);
    let used = |site: &SiteStats| {
        let last = site.flow.iter().rposition(|bucket| *bucket != (0, 0)).map_or(0, |at| at + 1);
        site.first_ns.saturating_add(site.bucket_ns.saturating_mul(last as u64))
    };
    let span_ns = used(one).max(used(two)) - first_ns;
    let mut bucket_ns = one.bucket_ns.max(two.bucket_ns);
    while span_ns / bucket_ns >= BUCKETS {
        bucket_ns = bucket_ns.saturating_mul(2);
    }
    let mut flow = vec![(0_u64, 0_u64); BUCKETS as usize];
    for site in [one, two] {
        for (index, (acquired, released)) in site.flow.iter().enumerate() {
            // By the middle of the bucket that they were counted in.
            let at = site.bucket_ns.saturating_mul(index as u64).saturating_add(site.bucket_ns / 2);
            let at = (site.first_ns - first_ns).saturating_add(at) / bucket_ns;
            if let Some(to) = flow.get_mut(at.min(BUCKETS - 1) as usize) {
                *to = (to.0.saturating_add(*acquired), to.1.saturating_add(*released));
            }
        }
    }
    (bucket_ns, flow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use resshim_format::op::Kind;

    fn site(stack: u32, first_ns: u64, bucket_ns: u64, flow: &[(u64, u64)]) -> SiteStats {
        let mut buckets = vec![(0, 0); BUCKETS as usize];
        buckets[..flow.len()].copy_from_slice(flow);
        let sum = |of: fn(&(u64, u64)) -> u64| flow.iter().map(of).sum::<u64>();
        SiteStats {
            image: 0,
            stack,
            kind: Kind::File.into(),
            op: None,
            is_exact: true,
            acquired: sum(|b| b.0),
            released: sum(|b| b.1),
            acquired_bytes: 0,
            released_bytes: 0,
            peak: 1,
            weight_squares: 0.0,
            first_ns,
            last_ns: first_ns + bucket_ns * flow.len() as u64,
            longest_ns: first_ns,
            bucket_ns,
            flow: buckets,
            releases: vec![ReleaseSite { stack: stack % 2, count: stack.into() }],
        }
    }

    #[test]
    fn totals_add_up_and_what_was_merged_is_nobodys() {
        let mut to = site(1, 1000, 100, &[(5, 1), (7, 2)]);
        let mut from = site(3, 200, 100, &[(3, 3)]);
        merge(&mut to, &mut from);
        assert_eq!((to.acquired, to.released, to.peak), (15, 6, 2));
        assert_eq!((to.first_ns, to.last_ns, to.longest_ns), (200, 1200, 1000));
        assert_eq!(to.releases, [ReleaseSite { stack: 1, count: 4 }]);
        assert_eq!((from.stack, from.acquired, from.releases.len()), (0, 0, 0));
        assert!(from.flow.is_empty());
    }

    #[test]
    fn flows_of_different_widths_keep_their_order_and_their_sums() {
        let narrow = site(1, 0, 10, &[(1, 0), (2, 1), (3, 0)]);
        let wide = site(2, 400, 100, &[(10, 5), (20, 0)]);
        let (bucket_ns, flow) = flow(&narrow, &wide);
        assert_eq!(bucket_ns, 100);
        assert_eq!((flow[0], flow[4], flow[5]), ((6, 1), (10, 5), (20, 0)));
        let far = site(3, 1_000_000, 10, &[(1, 1)]);
        let (bucket_ns, flow) = super::flow(&narrow, &far);
        assert!(bucket_ns * BUCKETS > 1_000_000, "{bucket_ns}");
        assert_eq!((flow[0], flow.iter().map(|b| b.0).sum::<u64>()), ((6, 1), 7));
    }

    #[test]
    fn a_site_without_a_flow_leaves_that_of_the_other() {
        let told = site(1, 0, 10, &[(1, 0)]);
        let untold = SiteStats { flow: Vec::new(), bucket_ns: 0, ..site(2, 0, 10, &[]) };
        assert_eq!(flow(&told, &untold), (10, told.flow.clone()));
        assert_eq!(flow(&untold, &told), (10, told.flow.clone()));
    }
}
