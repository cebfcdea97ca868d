//! From ticks of the processor's counter to nanoseconds since the trace began.
//!
//! All processes of a machine share one invariant counter, so one pair of (ticks, monotonic time)
//! and one rate serve the whole trace. What a region claims is only believed where it is plausible.

/// Rates that a counter can have; others are ignored.
const PLAUSIBLE_HZ: std::ops::RangeInclusive<f64> = 1e6..=2e10;

/// What one region says about the clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClockFacts {
    /// Counter at the start of the image.
    pub start_ticks: u64,
    /// `CLOCK_MONOTONIC` then.
    pub start_ns: u64,
    /// Counter at the end, or at the last occasion; 0 = not known.
    pub end_ticks: u64,
    /// `CLOCK_MONOTONIC` then.
    pub end_ns: u64,
    /// Rate as the shim measured it, 0 = not known.
    pub hz: u64,
    /// Ticks are monotonic nanoseconds.
    pub is_monotonic: bool,
}

/// The clock of a trace.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin_ticks: u64,
    origin_ns: u64,
    ns_per_tick: f64,
}

impl Clock {
    /// The clock that fits these regions best; time 0 is the start of the earliest.
    pub fn fit(facts: &[ClockFacts]) -> Clock {
        let Some(first) = facts.iter().min_by_key(|fact| fact.start_ns) else {
            return Clock { origin_ticks: 0, origin_ns: 0, ns_per_tick: 1.0 };
        };
        // The longest span between two pairs gives the best rate: over all regions, not within one.
        let (origin_ticks, origin_ns) = (first.start_ticks, first.start_ns);
        let mut ns_per_tick = None;
        // Reading the pair takes some 50 ns: ten microseconds still give a rate to one per cent.
        let mut longest = 10_000;
        for fact in facts.iter().filter(|fact| !fact.is_monotonic) {
            for (ticks, ns) in [(fact.start_ticks, fact.start_ns), (fact.end_ticks, fact.end_ns)] {
                let (ticks, ns) = (ticks.wrapping_sub(origin_ticks), ns.wrapping_sub(origin_ns));
                let plausible = PLAUSIBLE_HZ.contains(&(ticks as f64 / ns as f64 * 1e9));
                if ns < i64::MAX as u64 && ns > longest && plausible {
                    longest = ns;
                    ns_per_tick = Some(ns as f64 / ticks as f64);
                }
            }
        }
        // A short trace: the shim's own measurement is better than a span of a millisecond.
        if longest < 50_000_000 {
            let hz = facts.iter().map(|fact| fact.hz as f64).find(|hz| PLAUSIBLE_HZ.contains(hz));
            ns_per_tick = hz.map(|hz| 1e9 / hz).or(ns_per_tick);
        }
        if first.is_monotonic {
            ns_per_tick = None;
        }
        Clock { origin_ticks, origin_ns, ns_per_tick: ns_per_tick.unwrap_or(1.0) }
    }

    /// Nanoseconds since the trace began; 0 for what is before it.
    pub fn ns(&self, ticks: u64) -> u64 {
        let ticks = ticks.wrapping_sub(self.origin_ticks);
        if ticks > i64::MAX as u64 { 0 } else { (ticks as f64 * self.ns_per_tick) as u64 }
    }

    /// The length of a span of ticks, nanoseconds.
    pub fn span_ns(&self, ticks: u64) -> u64 {
        (ticks as f64 * self.ns_per_tick) as u64
    }

    /// Nanoseconds since the trace began of a `CLOCK_MONOTONIC` time.
    pub fn of_monotonic(&self, ns: u64) -> u64 {
        ns.saturating_sub(self.origin_ns)
    }

    /// `CLOCK_MONOTONIC` at time 0.
    pub fn origin_ns(&self) -> u64 {
        self.origin_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_comes_from_the_longest_span_of_all_regions() {
        let at = |s: u64| (1000 + s * 3_000_000_000, 77 + s * 1_000_000_000);
        let ((a, b), (c, d)) = (at(0), at(100));
        let early = ClockFacts { start_ticks: a, start_ns: b, ..ClockFacts::default() };
        let late = ClockFacts { start_ticks: c, start_ns: d, ..ClockFacts::default() };
        let clock = Clock::fit(&[late, early]);
        assert_eq!(clock.ns(at(100).0), 100_000_000_000);
        assert_eq!(clock.ns(0), 0, "before the trace");
        assert_eq!(clock.span_ns(3_000_000), 1_000_000);
    }

    #[test]
    fn nonsense_in_a_header_does_not_bend_the_clock() {
        let good =
            ClockFacts { start_ticks: 10, start_ns: 10, hz: 2_000_000_000, ..Default::default() };
        let bad = ClockFacts { start_ticks: 11, start_ns: u64::MAX / 2, end_ns: u64::MAX, ..good };
        let clock = Clock::fit(&[good, bad]);
        assert_eq!(clock.ns(2_000_000_010), 1_000_000_000);
        Clock::fit(&[]).ns(5);
    }
}
