//! When descriptors were last used, as far as stamps can say (see `FdRow::last_use` of the format).

use std::collections::HashMap;

use resshim_format::header::{FACT_USES, USE_CLOCK_STEP};
use resshim_format::op::Kind;
use resshim_format::record::{FD_MAPPED, FD_STREAM, FdHandle};
use resshim_format::table::RowState;

use crate::source::region::Region;
use crate::source::rows::Fd;

/// How an image stamps the uses of its descriptors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// It does.
    pub are_stamped: bool,
    /// The clock of uses as it stood, ticks.
    pub clock: u64,
    /// Most ticks between two steps of that clock.
    pub gap: u64,
}

/// What a stamp says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastUse {
    /// Not used since it was acquired.
    Never,
    /// Used at this count at the latest.
    Before(u64),
    /// Used since the clock was last moved on: perhaps to the end.
    Now,
}

impl Uses {
    /// What a region says.
    pub fn of(region: &Region) -> Uses {
        Uses {
            are_stamped: region.header.facts & FACT_USES != 0,
            clock: region.use_clock,
            gap: region.header.use_clock_gap,
        }
    }

    /// Last uses of these descriptors, in their order: duplicates share what they were used for. `None` where
    /// uses are not stamped.
    pub fn last(self, rows: &[Fd]) -> Option<Vec<LastUse>> {
        if !self.are_stamped {
            return None;
        }
        // By open file description, where more than one number has it.
        let mut shared: HashMap<FdHandle, u64> = HashMap::new();
        for row in rows.iter().filter(|row| is_duplicate(row)) {
            shared.insert(row.description, 0);
        }
        for row in rows.iter().filter(|row| row.state == RowState::Live) {
            if let Some(last) = shared.get_mut(&described(row)) {
                *last = row.last_use.max(*last);
            }
        }
        let steps = Steps::of(rows);
        let last = rows.iter().map(|row| {
            let of_others = shared.get(&described(row)).copied().unwrap_or(0);
            match row.last_use.max(of_others) {
                0 => LastUse::Never,
                stamp if stamp >= self.clock => LastUse::Now,
                stamp => {
                    let until = stamp.saturating_add(self.gap).min(steps.after(stamp));
                    LastUse::Before(until.max(row.acquired))
                }
            }
        });
        Some(last.collect())
    }
}

/// What is known of when the clock was moved on.
struct Steps {
    /// Every stamp was the clock once.
    stamps: Vec<u64>,
    /// An acquisition leaves the clock less than a step behind it.
    acquired: Vec<u64>,
}

impl Steps {
    fn of(rows: &[Fd]) -> Steps {
        let mut stamps: Vec<u64> = rows.iter().map(|row| row.last_use).collect();
        let mut acquired: Vec<u64> = rows.iter().map(|row| row.acquired).collect();
        stamps.sort_unstable();
        acquired.sort_unstable();
        Steps { stamps, acquired }
    }

    /// The latest that a clock that stood at `stamp` can have been moved on.
    fn after(&self, stamp: u64) -> u64 {
        let beyond = |times: &[u64], least: u64| {
            let at = times.partition_point(|time| *time <= least);
            times.get(at).copied().unwrap_or(u64::MAX)
        };
        let next_stamp = beyond(&self.stamps, stamp);
        next_stamp.min(beyond(&self.acquired, stamp.saturating_add(USE_CLOCK_STEP)))
    }
}

fn own(row: &Fd) -> FdHandle {
    FdHandle { number: row.number, generation: row.generation }
}

fn described(row: &Fd) -> FdHandle {
    if row.description == FdHandle::default() { own(row) } else { row.description }
}

fn is_duplicate(row: &Fd) -> bool {
    described(row) != own(row)
}

/// Whether a descriptor is used by calls that are seen. A stream's are made inside libc, what is mapped is used
/// without a call, and some kinds are used by calls that no hook stamps.
pub fn is_known(row: &Fd, has_io_uring: bool) -> bool {
    let kind = Kind::from_number(row.args.kind as u32);
    let is_stamped_kind = matches!(
        kind,
        Some(
            Kind::File
                | Kind::Pipe
                | Kind::Fifo
                | Kind::Tcp
                | Kind::Udp
                | Kind::Unix
                | Kind::Netlink
                | Kind::Socket
                | Kind::Epoll
                | Kind::Timerfd
                | Kind::Signalfd
                | Kind::Inotify
                | Kind::Pty
        )
    );
    is_stamped_kind && row.args.bits & (FD_STREAM | FD_MAPPED) == 0 && !has_io_uring
}

/// Whether an image has a ring by which the kernel is asked for anything without a call.
pub fn has_io_uring(rows: &[Fd]) -> bool {
    rows.iter().any(|row| row.args.kind == Kind::IoUring as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use resshim_format::record::FdArgs;

    fn row(number: u32, last_use: u64) -> Fd {
        Fd {
            number,
            state: RowState::Live,
            generation: 1,
            args: FdArgs { kind: Kind::Tcp as u8, ..FdArgs::default() },
            acquired: 100,
            last_use,
            site: 1,
            released_by: 0,
            description: FdHandle { number, generation: 1 },
            stream: 0,
            released_tid: 0,
            op: None,
            label: String::new(),
        }
    }

    #[test]
    fn a_stamp_says_the_latest_that_the_use_can_have_been() {
        let rows = [row(3, 0), row(4, 300), row(5, 900), row(6, 90), row(7, 30)];
        let uses = Uses { are_stamped: true, clock: 900, gap: 50 };
        let last = uses.last(&rows).expect("stamps");
        let expected = [
            LastUse::Never,
            LastUse::Before(350),
            LastUse::Now,
            LastUse::Before(140),
            LastUse::Before(100),
        ];
        assert_eq!(last, expected);
        assert_eq!(Uses::default().last(&rows), None);
    }

    #[test]
    fn what_is_known_of_the_clock_bounds_a_use_more_closely_than_its_longest_rest() {
        let uses = Uses { are_stamped: true, clock: u64::MAX, gap: 100 * USE_CLOCK_STEP };
        let mut rows = [row(3, 300), row(4, 5000), row(5, 0)];
        let last = |rows: &[Fd]| uses.last(rows).expect("stamps");
        let until = LastUse::Before;
        assert_eq!(last(&rows)[..2], [until(5000), until(5000 + uses.gap)]);
        // An acquisition within a step of the stamp need not have moved the clock.
        rows[2].acquired = 5000 + USE_CLOCK_STEP;
        assert_eq!(last(&rows)[1], until(5000 + uses.gap));
        rows[2].acquired += 1;
        assert_eq!(last(&rows)[1], until(5001 + USE_CLOCK_STEP));
    }

    #[test]
    fn a_duplicate_is_used_where_the_other_one_is() {
        let mut rows = [row(3, 0), row(4, 300), row(5, 0), row(6, 200)];
        rows[1].description = rows[0].description;
        rows[3].description = FdHandle { number: 9, generation: 2 };
        let uses = Uses { are_stamped: true, clock: 900, gap: 0 };
        let last = uses.last(&rows).expect("stamps");
        let at = LastUse::Before;
        assert_eq!(last, [at(300), at(300), LastUse::Never, at(200)]);
    }

    #[test]
    fn what_is_used_unseen_is_not_known() {
        assert!(is_known(&row(3, 0), false));
        assert!(!is_known(&row(3, 0), true));
        for bit in [FD_STREAM, FD_MAPPED] {
            let mut one = row(3, 0);
            one.args.bits = bit;
            assert!(!is_known(&one, false));
        }
        let mut directory = row(3, 0);
        directory.args.kind = Kind::Dir as u8;
        assert!(!is_known(&directory, false));
    }
}
