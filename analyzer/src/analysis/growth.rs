//! Evidence that what a site acquires is no longer released.
//!
//! Two kinds, combined by [`super::leak`]:
//!
//! * **growth** of the site's live count, from the time buckets of its row: Mann-Kendall for the
//!   trend (H. B. Mann 1945), Theil-Sen for the slope, and the last third must still grow. Clean
//!   services grow too (sessions, a morning ramp): growth alone is weak;
//! * **outliving**: of the live ones, those older than any lifetime that ever ended at this site.
//!   With the hazard of the tail at `HAZARD / age`, which heavy-tailed but clean lifetimes exceed
//!   (Pareto with index above 1/2, every lognormal), `sum(HAZARD * ln(age / longest))` releases were
//!   to be expected beyond the longest, and none came: the probability of that is `exp(-sum)`.

use crate::model::resource::SiteStats;

/// Tail hazard of a clean site, times age: below that of any Pareto lifetime with a finite median
/// absolute deviation that was met in services.
const HAZARD: f64 = 0.5;
/// Buckets that a trend needs.
const BUCKETS: usize = 8;
/// Standard normal quantile that a trend must pass (one-sided 0.1 %).
const TREND: f64 = 3.1;

/// How a site's live count went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// Resources a second.
    pub per_second: f64,
    /// Mann-Kendall's statistic, in standard deviations.
    pub trend: f64,
}

/// Growth of a live count, if there is any that goes on to the end. `flow` is acquired and released
/// in each bucket of `bucket_ns`, of which `used` have passed (the last may not be full).
pub fn growth(flow: &[(u64, u64)], bucket_ns: u64, used: usize) -> Option<Growth> {
    let mut level = 0_i64;
    let levels: Vec<f64> = flow
        .iter()
        .take(used)
        .map(|(acquired, released)| {
            level = level.saturating_add(*acquired as i64).saturating_sub(*released as i64);
            level as f64
        })
        .collect();
    // Warm-up: what a service sets up when it starts is no trend.
    let levels = levels.get(levels.len() / 6..)?;
    if levels.len() < BUCKETS || bucket_ns == 0 {
        return None;
    }
    let trend = mann_kendall(levels);
    let slope = theil_sen(levels);
    // Caches and pools level off: the last third must go on at a good part of the whole's pace.
    let third = levels.get(levels.len() - levels.len().div_ceil(3)..)?;
    let first_of_third = third.first()?;
    let late = (third.last()? - first_of_third) / (third.len().max(2) - 1) as f64;
    let goes_on = slope > 0.0 && late >= 0.4 * slope;
    (trend > TREND && goes_on)
        .then(|| Growth { per_second: slope / (bucket_ns as f64 / 1e9), trend })
}

fn mann_kendall(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mut s = 0.0;
    for (index, early) in values.iter().enumerate() {
        for late in &values[index + 1..] {
            s += (late - early).partial_cmp(&0.0).map_or(0.0, |order| order as i8 as f64);
        }
    }
    let variance = n * (n - 1.0) * (2.0 * n + 5.0) / 18.0;
    if variance > 0.0 { (s - s.signum()) / variance.sqrt() } else { 0.0 }
}

fn theil_sen(values: &[f64]) -> f64 {
    let mut slopes = Vec::new();
    for (index, early) in values.iter().enumerate() {
        for (step, late) in values[index + 1..].iter().enumerate() {
            slopes.push((late - early) / (step + 1) as f64);
        }
    }
    slopes.sort_by(f64::total_cmp);
    slopes.get(slopes.len() / 2).copied().unwrap_or(0.0)
}

/// Whether so many buckets are enough for a trend.
pub fn is_judged_by(buckets: usize) -> bool {
    buckets - buckets / 6 >= BUCKETS
}

/// When the work of an image ended: 99 % of what its sites acquired in time buckets had come by then.
///
/// A service without requests makes no leak grow and no cache either: idle time at the end says nothing
/// of a site. Where others go on, it says that this one has levelled off.
pub fn active_until<'s>(sites: impl Iterator<Item = &'s SiteStats>, end_ns: u64) -> u64 {
    let mut steps: Vec<(u64, u64)> = Vec::new();
    for site in sites {
        // What a damaged region claims may be any number.
        let end = |index: u64| site.first_ns.saturating_add(index.saturating_mul(site.bucket_ns));
        let ends = (1..).map(end);
        let acquired = site.flow.iter().map(|(acquired, _)| *acquired);
        steps.extend(ends.zip(acquired).filter(|(_, acquired)| *acquired > 0));
    }
    steps.sort_unstable();
    let all: u64 = steps.iter().fold(0, |sum, (_, acquired)| sum.saturating_add(*acquired));
    let mut come = 0_u64;
    for (at, acquired) in steps {
        come = come.saturating_add(acquired);
        if come >= all - all / 100 {
            return at.min(end_ns);
        }
    }
    end_ns
}

/// The live ones of a site that outlived everything that it ever released.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outlivers {
    /// Times of acquisition, in order.
    pub acquired_ns: Vec<u64>,
    /// Releases that a clean site would have had among them.
    pub expected: f64,
}

impl Outlivers {
    /// Those of `acquired_ns` that are older than `longest_ns` at `end_ns`.
    pub fn find(mut acquired_ns: Vec<u64>, longest_ns: u64, end_ns: u64) -> Outlivers {
        let age = |acquired: &u64| end_ns.saturating_sub(*acquired);
        acquired_ns.retain(|acquired| age(acquired) > longest_ns);
        acquired_ns.sort_unstable();
        // A lifetime of microseconds says little about seconds: a floor keeps the logarithm sober.
        let longest = longest_ns.max(1_000_000) as f64;
        let expected =
            acquired_ns.iter().map(|at| HAZARD * (age(at) as f64 / longest).ln().max(0.0)).sum();
        Outlivers { acquired_ns, expected }
    }

    /// Probability that a clean site looks like this.
    pub fn chance(&self) -> f64 {
        (-self.expected).exp()
    }

    /// How sure one may be that it is a leak, where `looks` sites are judged.
    pub fn sureness(&self, looks: f64) -> f64 {
        1.0 - (self.chance() * looks).max(0.001) * 10.0
    }

    /// They came evenly all along: at least an eighth of them in each quarter.
    pub fn are_even(&self, first_ns: u64, until_ns: u64) -> bool {
        let quarters = self.quarters(first_ns, until_ns);
        let least = (self.acquired_ns.len() as u64).div_ceil(8);
        quarters.iter().all(|count| *count >= least.max(2))
    }

    /// They came all along, not in one burst: in at least three of the four quarters between the
    /// first acquisition of the site and its last possible one, and in the last half.
    pub fn are_spread(&self, first_ns: u64, until_ns: u64) -> bool {
        let quarters = self.quarters(first_ns, until_ns);
        let met = quarters.iter().filter(|count| **count > 0).count();
        met >= 3 && quarters[2] + quarters[3] > 0
    }

    fn quarters(&self, first_ns: u64, until_ns: u64) -> [u64; 4] {
        let span = until_ns.saturating_sub(first_ns).max(1);
        let mut quarters = [0_u64; 4];
        for at in &self.acquired_ns {
            let quarter = at.saturating_sub(first_ns) as u128 * 4 / span as u128;
            quarters[(quarter as usize).min(3)] += 1;
        }
        quarters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steady(acquired: u64, released: u64) -> Vec<(u64, u64)> {
        vec![(acquired, released); 32]
    }

    #[test]
    fn a_steady_surplus_grows_and_a_balance_does_not() {
        let found = growth(&steady(10, 9), 1_000_000_000, 32).unwrap();
        assert!((found.per_second - 1.0).abs() < 1e-9);
        assert!(growth(&steady(10, 10), 1_000_000_000, 32).is_none());
        assert!(growth(&steady(10, 9), 1_000_000_000, 5).is_none(), "too short to tell");
    }

    #[test]
    fn a_cache_that_levels_off_does_not_grow() {
        let flow: Vec<(u64, u64)> = (0..32).map(|i| (100 >> (i / 3), 0)).collect();
        assert!(growth(&flow, 1_000_000_000, 32).is_none());
    }

    #[test]
    fn outlivers_must_be_older_than_any_release_by_far() {
        let second = 1_000_000_000;
        let acquired: Vec<u64> = (0..100).map(|i| i * second).collect();
        let leak = Outlivers::find(acquired.clone(), second / 100, 100 * second);
        assert_eq!(leak.acquired_ns.len(), 100);
        assert!(leak.chance() < 1e-6 && leak.are_spread(0, 100 * second));
        let young = Outlivers::find(acquired.clone(), 99 * second, 100 * second);
        assert!(young.chance() > 0.5);
        let burst = Outlivers::find(vec![1; 50], 5, 100 * second);
        assert!(!burst.are_spread(0, 100 * second));
    }
}
