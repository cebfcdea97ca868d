//! Closes that do not fit the lifecycle of the descriptor, and which of them healthy programs make.
//!
//! A close that fails with EBADF is only suspect where this image itself acquired and released that
//! very lifetime of the number. Sites that sweep consecutive numbers (daemons, shells before exec)
//! are told apart here; what remains is judged by the analyses.

use std::collections::HashMap;

use resshim_format::record::FdHandle;

use super::hash::WordMap;

/// Consecutive numbers that make a sweep.
pub const SWEEP: u32 = 8;
/// Suspects that are kept apart for one image.
const LIMIT: usize = 4096;

/// A release by somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Releaser {
    /// Stack.
    pub stack: u32,
    /// Thread.
    pub tid: u32,
    /// Nanoseconds since the start of the trace.
    pub at_ns: u64,
}

/// What is wrong with a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The number's lifetime had been ended before.
    Twice,
    /// The descriptor belonged to a stream that was not closed with it.
    UnderStream,
    /// No close: a read, a write, a wait of a number whose lifetime had been ended.
    Used,
}

/// Closes of one pair of sites.
#[derive(Clone, Debug)]
pub struct CloseSuspect {
    /// Index of the image.
    pub image: u32,
    /// What is wrong.
    pub fault: Fault,
    /// Site that acquired the descriptor, if it is known.
    pub site: Option<u32>,
    /// Number and lifetime of the first.
    pub handle: FdHandle,
    /// Who released it rightly (`Twice`), or 0.
    pub before: Releaser,
    /// Who closed it wrongly, the first time.
    pub by: Releaser,
    /// How often.
    pub count: u64,
    /// The process had a second thread then.
    pub has_threads: bool,
    /// It made children while it had the descriptor: ends of pipes are closed twice to be safe.
    pub has_forked: bool,
    /// Address of the stream (`UnderStream`), 0 = not known.
    pub stream: u64,
    /// The stream itself was closed later: proof that it was still in use.
    pub is_confirmed: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Run {
    last: u32,
    count: u32,
    closed_between: u32,
    length: u32,
    longest: u32,
}

/// Watches the closes of one image.
#[derive(Debug, Default)]
pub struct CloseWatch {
    runs: WordMap<Run>,
    suspects: Vec<CloseSuspect>,
    by_pair: WordMap<usize>,
    /// Suspects that were not kept.
    pub dropped: u64,
}

impl CloseWatch {
    /// A close of `number` that succeeded.
    #[inline]
    pub fn closed(&mut self, stack: u32, number: u32) {
        let run = self.runs.entry(stack as u64).or_default();
        run.closed_between = run.closed_between.saturating_add(1);
        run.length = if number == run.last.wrapping_add(1) { run.length + 1 } else { 1 };
        run.longest = run.longest.max(run.length);
        run.last = number;
    }

    /// A close of `number` that failed for the `count`-th time at this site (not every one is told).
    pub fn failed(&mut self, stack: u32, number: u32, count: u32) {
        let run = self.runs.entry(stack as u64).or_default();
        let calls = count.saturating_sub(run.count).saturating_add(run.closed_between).max(1);
        let step = number.wrapping_sub(run.last);
        // As many calls as numbers: one each, in order.
        run.length = match step {
            1.. if step <= calls && step < 1 << 20 => run.length.saturating_add(step),
            _ => 1,
        };
        run.longest = run.longest.max(run.length);
        (run.last, run.count, run.closed_between) = (number, count, 0);
    }

    /// Adds a suspect, or counts it to the one of the same sites.
    pub fn suspect(&mut self, suspect: CloseSuspect) {
        let pair = (suspect.by.stack as u64) << 32 | suspect.before.stack as u64;
        let pair = pair.rotate_left(suspect.fault as u32);
        if let Some(known) = self.by_pair.get(&pair).and_then(|i| self.suspects.get_mut(*i)) {
            known.count += suspect.count;
            known.has_threads |= suspect.has_threads;
            known.has_forked &= suspect.has_forked;
            known.stream = suspect.stream;
            return;
        }
        if self.suspects.len() >= LIMIT {
            self.dropped += 1;
            return;
        }
        self.by_pair.insert(pair, self.suspects.len());
        self.suspects.push(suspect);
    }

    /// A stream was closed whose descriptor was not its own any more: whoever closed that did wrong.
    pub fn stream_closed(&mut self, stream: u64) {
        let under = |s: &&mut CloseSuspect| s.fault == Fault::UnderStream && s.stream == stream;
        if let Some(suspect) = self.suspects.iter_mut().rev().find(under) {
            suspect.is_confirmed = true;
        }
    }

    /// The suspects, without those of sites that sweep. `failures` is what the tables count of closes that
    /// failed at a stack: where all that were told were of one suspect, so were those that were not.
    pub fn into_suspects(mut self, failures: &HashMap<u32, u64>) -> Vec<CloseSuspect> {
        for suspect in self.suspects.iter_mut().filter(|suspect| suspect.fault == Fault::Twice) {
            let told = self.runs.get(&(suspect.by.stack as u64)).map_or(0, |run| run.count as u64);
            if told == suspect.count {
                let exact = failures.get(&suspect.by.stack).copied().unwrap_or(0);
                suspect.count = suspect.count.max(exact);
            }
        }
        let sweeps =
            |stack: u32| self.runs.get(&(stack as u64)).is_some_and(|run| run.longest >= SWEEP);
        self.suspects.into_iter().filter(|suspect| !sweeps(suspect.by.stack)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twice(stack: u32) -> CloseSuspect {
        CloseSuspect {
            image: 0,
            fault: Fault::Twice,
            site: None,
            handle: FdHandle { number: 5, generation: 1 },
            before: Releaser { stack: 1, tid: 1, at_ns: 1 },
            by: Releaser { stack, tid: 1, at_ns: 2 },
            count: 1,
            has_threads: false,
            has_forked: false,
            stream: 0,
            is_confirmed: false,
        }
    }

    #[test]
    fn a_daemon_that_sweeps_is_no_suspect_although_only_powers_of_two_are_told() {
        let mut watch = CloseWatch::default();
        watch.closed(9, 3);
        for count in [1_u32, 2, 4, 8, 16, 512] {
            watch.failed(9, 3 + count, count);
            watch.suspect(twice(9));
        }
        assert!(watch.into_suspects(&HashMap::new()).is_empty());
    }

    #[test]
    fn the_same_pair_of_sites_is_one_suspect() {
        let mut watch = CloseWatch::default();
        for count in 1..=3 {
            watch.failed(9, 5, count);
            watch.suspect(twice(9));
        }
        watch.suspect(twice(8));
        let suspects = watch.into_suspects(&HashMap::new());
        assert_eq!(suspects.iter().map(|s| s.count).collect::<Vec<_>>(), [3, 1]);
    }

    #[test]
    fn of_a_storm_all_are_counted_where_all_that_were_told_are_of_one_suspect() {
        let story = |others: u32| {
            let mut watch = CloseWatch::default();
            for count in [1, 2, 4] {
                watch.failed(9, 5, count + others);
                watch.suspect(CloseSuspect { count: 1 + u64::from(count == 4), ..twice(9) });
            }
            watch.into_suspects(&HashMap::from([(9, 7)]))[0].count
        };
        assert_eq!((story(0), story(1)), (7, 4));
    }
}
