//! How counts went over time, in a fixed number of intervals.
//!
//! The length of a trace is not known while it is read: when the last interval is passed,
//! neighbours are merged and every interval is twice as long from then on.

use crate::report::Series;

/// Intervals at most.
pub const INTERVALS: usize = 64;
/// The first intervals are this long: 2^20 ns, a millisecond.
const FIRST_SHIFT: u32 = 20;

/// Acquired and released over time.
#[derive(Clone, Debug)]
pub struct Flow {
    shift: u32,
    acquired: [u64; INTERVALS],
    released: [u64; INTERVALS],
    /// Live ones whose image ended.
    left: [u64; INTERVALS],
}

impl Default for Flow {
    fn default() -> Flow {
        Flow {
            shift: FIRST_SHIFT,
            acquired: [0; INTERVALS],
            released: [0; INTERVALS],
            left: [0; INTERVALS],
        }
    }
}

impl Flow {
    /// Counts `number` acquisitions at this time.
    #[inline]
    pub fn acquire(&mut self, at_ns: u64, number: u64) {
        let index = self.index(at_ns);
        self.acquired[index] = self.acquired[index].saturating_add(number);
    }

    /// Counts `number` releases at this time.
    #[inline]
    pub fn release(&mut self, at_ns: u64, number: u64) {
        let index = self.index(at_ns);
        self.released[index] = self.released[index].saturating_add(number);
    }

    /// Counts `number` that went with their image.
    pub fn leave(&mut self, at_ns: u64, number: u64) {
        let index = self.index(at_ns);
        self.left[index] = self.left[index].saturating_add(number);
    }

    #[inline]
    fn index(&mut self, at_ns: u64) -> usize {
        while at_ns >> self.shift >= INTERVALS as u64 {
            self.double();
        }
        (at_ns >> self.shift) as usize
    }

    fn double(&mut self) {
        for counts in [&mut self.acquired, &mut self.released, &mut self.left] {
            for to in 0..INTERVALS {
                let pair = counts.get(2 * to..2 * to + 2).unwrap_or(&[]);
                counts[to] = pair.iter().fold(0, |sum, count| sum.saturating_add(*count));
            }
        }
        self.shift += 1;
    }

    /// The series up to `end_ns`, where `live` are live: an exact number, which the last one is set to.
    pub fn series(&self, end_ns: u64, live: u64) -> Series {
        let mut flow = self.clone();
        let used = flow.index(end_ns) + 1;
        let mut series = Series::default();
        let mut level = 0_u64;
        for index in 0..used {
            let end = ((index as u64 + 1) << flow.shift).min(end_ns.max(1));
            level = level.saturating_add(flow.acquired[index]).saturating_sub(flow.released[index]);
            level = level.saturating_sub(flow.left[index]);
            series.t_s.push(end as f64 / 1e9);
            series.acquired.push(flow.acquired[index]);
            series.released.push(flow.released[index]);
            series.live.push(level);
        }
        if let Some(last) = series.live.last_mut() {
            *last = live;
        }
        series
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_double_and_no_count_is_lost() {
        let mut flow = Flow::default();
        for second in 0..1000_u64 {
            flow.acquire(second * 1_000_000_000, 2);
            flow.release(second * 1_000_000_000, 1);
        }
        let series = flow.series(1_000_000_000_000, 1000);
        assert!(series.t_s.len() > INTERVALS / 2 - 2 && series.t_s.len() <= INTERVALS);
        assert_eq!(series.acquired.iter().sum::<u64>(), 2000);
        assert_eq!(series.released.iter().sum::<u64>(), 1000);
        assert_eq!(series.live.last(), Some(&1000));
        assert_eq!(series.t_s.last(), Some(&1000.0));
        assert!(series.live.windows(2).all(|pair| pair[0] <= pair[1]));
    }

    #[test]
    fn a_time_of_nonsense_ends() {
        let mut flow = Flow::default();
        flow.acquire(u64::MAX, u64::MAX);
        flow.acquire(u64::MAX, u64::MAX);
        assert!(flow.series(u64::MAX, 3).t_s.len() <= INTERVALS);
    }
}
