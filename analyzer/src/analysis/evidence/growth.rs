//! Evidence of growth: the live count of a site, from the time buckets of its row.
//!
//! Mann-Kendall for the trend (H. B. Mann 1945), its variance corrected for autocorrelation (K. H. Hamed,
//! A. R. Rao 1998: levels of neighbouring buckets are no independent observations), Theil-Sen for the slope with
//! its interval (P. K. Sen 1968), a season removed where there is one, and the last third must still grow:
//! caches and pools level off. Clean services grow too (sessions, a morning ramp): growth alone is weak.

use crate::model::resource::SiteStats;

/// Buckets that a trend needs.
const BUCKETS: usize = 8;
/// Standard normal quantile that a trend must pass (one-sided 0.1 %).
const TREND: f64 = 3.1;

/// How a site's live count went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// Resources a second.
    pub per_second: f64,
    /// Its interval, 95 %.
    pub interval: (f64, f64),
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
    let levels = without_season(levels);
    let kendall = Kendall::of(&levels);
    let slopes = slopes(&levels);
    let slope = middle(&slopes);
    // Caches and pools level off: the last third must go on at a good part of the whole's pace.
    let third = levels.get(levels.len() - levels.len().div_ceil(3)..)?;
    let first_of_third = third.first()?;
    let late = (third.last()? - first_of_third) / (third.len().max(2) - 1) as f64;
    let goes_on = slope > 0.0 && late >= 0.4 * slope;
    let per_second = |slope: f64| slope / (bucket_ns as f64 / 1e9);
    let (low, high) = kendall.interval(&slopes);
    (kendall.trend() > TREND && goes_on).then(|| Growth {
        per_second: per_second(slope),
        interval: (per_second(low), per_second(high)),
        trend: kendall.trend(),
    })
}

/// Mann and Kendall's sum of signs, and its variance.
struct Kendall {
    sum: f64,
    variance: f64,
}

impl Kendall {
    fn of(values: &[f64]) -> Kendall {
        let n = values.len() as f64;
        let mut sum = 0.0;
        for (index, early) in values.iter().enumerate() {
            for late in &values[index + 1..] {
                sum += sign(late - early);
            }
        }
        let independent = n * (n - 1.0) * (2.0 * n + 5.0) / 18.0;
        Kendall { sum, variance: independent * correction(values) }
    }

    /// In standard deviations, with the correction for continuity.
    fn trend(&self) -> f64 {
        if self.variance > 0.0 {
            (self.sum - self.sum.signum()) / self.variance.sqrt()
        } else {
            0.0
        }
    }

    /// The slopes between which the true one lies in 95 % of cases (Sen 1968, section 4): those as far from the
    /// middle as the sum's own deviation says.
    fn interval(&self, slopes: &[f64]) -> (f64, f64) {
        const QUANTILE: f64 = 1.96;
        let (count, width) = (slopes.len() as f64, QUANTILE * self.variance.max(0.0).sqrt());
        let last = slopes.len().saturating_sub(1);
        let at = |rank: f64| slopes.get((rank.max(0.0) as usize).min(last)).copied();
        let low = at(((count - width) / 2.0).floor());
        let high = at(((count + width) / 2.0).ceil());
        (low.unwrap_or(0.0), high.unwrap_or(0.0))
    }
}

fn sign(difference: f64) -> f64 {
    difference.partial_cmp(&0.0).map_or(0.0, |order| order as i8 as f64)
}

/// By how much neighbours that are like each other widen the variance of Kendall's sum (Hamed and Rao 1998,
/// equation 10), from the ranks of what is left without the trend. Lags up to the first that is not positive: of
/// thirty buckets those behind it are chance (C. J. Geyer 1992, section 3.3). Never below 1: what alternates makes
/// nobody surer.
fn correction(values: &[f64]) -> f64 {
    let n = values.len();
    if n < 4 {
        return 1.0;
    }
    let slope = middle(&slopes(values));
    let rest: Vec<f64> = values.iter().enumerate().map(|(i, v)| v - slope * i as f64).collect();
    let ranks: Vec<f64> = rest
        .iter()
        .map(|one| rest.iter().map(|other| (sign(one - other) + 1.0) / 2.0).sum())
        .collect();
    let sum: f64 = (1..n - 2)
        .map(|lag| (lag, autocorrelation(&ranks, lag)))
        .take_while(|(_, alike)| *alike > 0.0)
        .map(|(lag, alike)| {
            let left = (n - lag) as f64;
            left * (left - 1.0) * (left - 2.0) * alike
        })
        .sum();
    let n = n as f64;
    (1.0 + 2.0 / (n * (n - 1.0) * (n - 2.0)) * sum).max(1.0)
}

fn autocorrelation(values: &[f64], lag: usize) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let all: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let later = values.iter().skip(lag);
    let both: f64 = values.iter().zip(later).map(|(a, b)| (a - mean) * (b - mean)).sum();
    if all > 0.0 { both / all } else { 0.0 }
}

/// Slopes of all pairs, smallest first.
fn slopes(values: &[f64]) -> Vec<f64> {
    let mut slopes = Vec::new();
    for (index, early) in values.iter().enumerate() {
        for (step, late) in values[index + 1..].iter().enumerate() {
            slopes.push((late - early) / (step + 1) as f64);
        }
    }
    slopes.sort_by(f64::total_cmp);
    slopes
}

/// Theil and Sen's estimate.
fn middle(slopes: &[f64]) -> f64 {
    slopes.get(slopes.len() / 2).copied().unwrap_or(0.0)
}

/// The levels without what comes again in each period of a season, where there is one: a daily pattern, of which
/// three periods at least must have been seen.
fn without_season(levels: &[f64]) -> Vec<f64> {
    /// What is left without the trend must be this much like itself a period later.
    const ALIKE: f64 = 0.4;
    let slope = middle(&slopes(levels));
    let rest: Vec<f64> = levels.iter().enumerate().map(|(i, v)| v - slope * i as f64).collect();
    let alike = |lag: usize| autocorrelation(&rest, lag);
    let period = (3..=levels.len() / 3)
        // A maximum: what changes slowly is like its neighbours, too.
        .filter(|lag| {
            alike(*lag) > ALIKE && alike(*lag) >= alike(lag - 1) && alike(*lag) >= alike(lag + 1)
        })
        .max_by(|a, b| alike(*a).total_cmp(&alike(*b)));
    let Some(period) = period else { return levels.to_vec() };
    let mean = rest.iter().sum::<f64>() / rest.len() as f64;
    let of_phase = |phase: usize| {
        let (sum, count) = rest
            .iter()
            .skip(phase)
            .step_by(period)
            .fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
        sum / count
    };
    let season: Vec<f64> = (0..period).map(|phase| of_phase(phase) - mean).collect();
    levels.iter().zip(season.iter().cycle()).map(|(level, season)| level - season).collect()
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

    /// Levels as the flow of a site.
    fn flow(levels: &[i64]) -> Vec<(u64, u64)> {
        let steps =
            std::iter::once(levels[0]).chain(levels.windows(2).map(|pair| pair[1] - pair[0]));
        steps.map(|step| (step.max(0) as u64, (-step).max(0) as u64)).collect()
    }

    #[test]
    fn the_interval_of_a_slope_holds_the_true_one_and_narrows_with_less_noise() {
        let mut random = crate::analysis::hand_built::Random(3);
        let mut widths = Vec::new();
        for noise in [2.0, 40.0] {
            let mut held = 0;
            let mut width = 0.0;
            for _ in 0..100 {
                let level = |i: i64| 200 + 20 * i + (noise * (random.unit() - 0.5)) as i64;
                let levels: Vec<i64> = (0..32).map(level).collect();
                let growth = growth(&flow(&levels), 1_000_000_000, 32).unwrap();
                let (low, high) = growth.interval;
                assert!(low <= growth.per_second && growth.per_second <= high);
                held += usize::from(low <= 20.0 && 20.0 <= high);
                width += high - low;
            }
            assert!(held >= 85, "{held} of 100");
            widths.push(width);
        }
        assert!(widths[0] < widths[1] / 4.0, "{widths:?}");
    }

    #[test]
    fn levels_that_are_like_their_neighbours_are_no_trend_for_that() {
        // Autoregressive, without a trend: Mann and Kendall's own variance is far too small for it.
        let mut random = crate::analysis::hand_built::Random(5);
        let (mut corrected, mut uncorrected) = (0, 0);
        for _ in 0..400 {
            let mut level = 0.0;
            let levels: Vec<f64> = (0..40)
                .map(|_| {
                    level = 0.7 * level + random.unit() - 0.5;
                    level
                })
                .skip(13)
                .collect();
            let kendall = Kendall::of(&levels);
            corrected += usize::from(kendall.trend() > 1.64);
            let n = 27.0;
            let plain = kendall.sum / (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0_f64).sqrt();
            uncorrected += usize::from(plain > 1.64);
        }
        assert!(uncorrected > 60 && corrected * 3 < uncorrected * 2, "{corrected}, {uncorrected}");
    }

    #[test]
    fn a_season_alone_is_no_growth_and_hides_none() {
        let day = |i: usize| (100.0 * (std::f64::consts::TAU * i as f64 / 8.0).sin()) as i64;
        let level: Vec<i64> = (0..32).map(|i| 200 + day(i)).collect();
        assert!(growth(&flow(&level), 1_000_000_000, 32).is_none());
        let leak: Vec<i64> = (0..32).map(|i| 200 + day(i) + 6 * i as i64).collect();
        let found = growth(&flow(&leak), 1_000_000_000, 32).unwrap();
        assert!((4.0..8.0).contains(&found.per_second), "{found:?}");
        // Without its removal the day's own ups and downs drown the leak.
        let raw: Vec<f64> = leak.iter().skip(5).map(|level| *level as f64).collect();
        assert!(Kendall::of(&raw).trend() < TREND);
    }

    #[test]
    fn a_cache_that_levels_off_does_not_grow() {
        let flow: Vec<(u64, u64)> = (0..32).map(|i| (100 >> (i / 3), 0)).collect();
        assert!(growth(&flow, 1_000_000_000, 32).is_none());
    }
}
