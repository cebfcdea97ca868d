//! Evidence that what a site acquires is no longer released: of the live ones, those older than any lifetime that
//! ever ended at this site (or at others of the same line, [`super::siblings`]).
//!
//! With the hazard of the tail at `HAZARD / age`, which heavy-tailed but clean lifetimes exceed (Pareto with index
//! above 1/2, every lognormal), `sum(HAZARD * ln(age / longest))` releases were to be expected beyond the longest,
//! and none came: the probability of that is `exp(-sum)`. The live ones are censored observations of the
//! Kaplan-Meier estimate (E. L. Kaplan, P. Meier 1958), whose tail beyond the longest lifetime nobody has seen.

/// Tail hazard of a clean site, times age: below that of any Pareto lifetime with a finite median
/// absolute deviation that was met in services.
const HAZARD: f64 = 0.5;

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
