//! Totals of sites: exact, whatever happens to the event history.

use crate::index::hash;
use crate::private::PRIVATE;
use crate::region::Region;
use core::sync::atomic::{AtomicU64, Ordering};
use resshim_format::op::{Kind, Op};
use resshim_format::table::{BUCKETS, SiteRow};

/// Buckets begin with a span of 2^22 ticks, about two milliseconds.
const FIRST_SHIFT: u32 = 22;

/// The site of (stack, kind), made at its first acquisition; 0 = no room.
pub fn find(region: Region, stack: u32, kind: u32, op: Op, now: u64) -> u32 {
    let hash = hash((kind as u64) << 32 | stack as u64);
    let same = |index: u32| {
        region.row::<SiteRow>(index).is_some_and(|row| {
            row.stack.load(Ordering::Relaxed) == stack && row.kind.load(Ordering::Relaxed) == kind
        })
    };
    let mut own = 0;
    let is_heap = kind == Kind::Heap as u32;
    let made = PRIVATE.sites.find_or_insert(hash, same, || {
        if is_heap && region.is_nearly_full::<SiteRow>() {
            // Blocks have more sites than all else together: they leave room for what is dearer.
            region.note_used::<SiteRow>(0, true);
            return None;
        }
        let (index, row) = region.next_row::<SiteRow>()?;
        own = index;
        row.op.store(op.number() as u32, Ordering::Relaxed);
        row.first_tsc.store(now, Ordering::Relaxed);
        row.bucket_shift.store(FIRST_SHIFT, Ordering::Relaxed);
        row.stack.store(stack, Ordering::Relaxed);
        row.kind.store(kind, Ordering::Release);
        Some(index)
    });
    let site = made.unwrap_or(0);
    if own != 0
        && own != site
        && let Some(row) = region.row::<SiteRow>(own)
    {
        // Another thread made the row of this site at the same moment: this one is nobody's.
        row.kind.store(0, Ordering::Relaxed);
        row.stack.store(0, Ordering::Release);
    }
    site
}

/// The row of a site.
pub fn row(region: Region, site: u32) -> Option<&'static SiteRow> {
    if site == 0 { None } else { region.row::<SiteRow>(site) }
}

/// Counts an acquisition of `count` resources with `bytes` in all.
pub fn acquired(region: Region, site: u32, now: u64, count: u64, bytes: u64) {
    let Some(row) = row(region, site) else { return };
    let acquired = row.acquired.fetch_add(count, Ordering::Relaxed) + count;
    let live = acquired.saturating_sub(row.released.load(Ordering::Relaxed));
    if row.peak.load(Ordering::Relaxed) < live {
        row.peak.fetch_max(live, Ordering::Relaxed);
    }
    row.last_tsc.store(now, Ordering::Relaxed);
    let measure = if bytes == 0 {
        live
    } else {
        let all = row.acquired_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        all.saturating_sub(row.released_bytes.load(Ordering::Relaxed)) >> 10
    };
    flow(row, now, count, measure);
}

/// An acquisition that was counted before its call did not happen.
pub fn taken_back(region: Region, site: u32) {
    if let Some(row) = row(region, site) {
        row.acquired.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a release; `lived` in ticks. How many the site has released by now.
pub fn released(region: Region, site: u32, now: u64, count: u64, bytes: u64, lived: u64) -> u64 {
    let Some(row) = row(region, site) else { return 0 };
    let released = row.released.fetch_add(count, Ordering::Relaxed) + count;
    if row.longest.load(Ordering::Relaxed) < lived {
        row.longest.fetch_max(lived, Ordering::Relaxed);
    }
    let live = row.acquired.load(Ordering::Relaxed).saturating_sub(released);
    let measure = if bytes == 0 {
        live
    } else {
        let all = row.released_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        row.acquired_bytes.load(Ordering::Relaxed).saturating_sub(all) >> 10
    };
    flow(row, now, count << 32, measure);
    released
}

/// Adds to the bucket of `now`; halves the resolution first where the time is past the last bucket.
fn flow(row: &SiteRow, now: u64, amount: u64, live: u64) {
    let since = now.saturating_sub(row.first_tsc.load(Ordering::Relaxed));
    // Bounded: each round doubles the span.
    for _ in 0..42 {
        let shift = row.bucket_shift.load(Ordering::Acquire).min(63);
        let index = (since >> shift) as usize;
        if index < BUCKETS {
            if row.merging.load(Ordering::Relaxed) == 0
                && let (Some(flow), Some(level)) = (row.flow.get(index), row.live.get(index))
            {
                flow.fetch_add(amount, Ordering::Relaxed);
                level.store(live.min(u32::MAX as u64) as u32, Ordering::Relaxed);
            }
            return;
        }
        // One thread merges; what others would count meanwhile is in the totals only.
        if row.merging.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return;
        }
        merge(row);
        row.bucket_shift.store(shift + 1, Ordering::Relaxed);
        row.merging.store(0, Ordering::Release);
    }
}

/// Pairs of buckets become one.
fn merge(row: &SiteRow) {
    let take = |words: &[AtomicU64; BUCKETS], index: usize| {
        words.get(index).map_or(0, |word| word.load(Ordering::Relaxed))
    };
    for index in 0..BUCKETS {
        let (first, second) = (2 * index, 2 * index + 1);
        let sum = if second < BUCKETS {
            let (a, b) = (take(&row.flow, first), take(&row.flow, second));
            // The halves are counts of their own; one that overflows stays at its highest.
            let low = (a as u32).saturating_add(b as u32) as u64;
            let high = ((a >> 32) as u32).saturating_add((b >> 32) as u32) as u64;
            high << 32 | low
        } else {
            0
        };
        let level = |at: usize| row.live.get(at).map_or(0, |word| word.load(Ordering::Relaxed));
        let last = if second < BUCKETS && take(&row.flow, second) != 0 {
            level(second)
        } else if second < BUCKETS {
            level(first)
        } else {
            0
        };
        if let (Some(flow), Some(live)) = (row.flow.get(index), row.live.get(index)) {
            flow.store(sum, Ordering::Relaxed);
            live.store(last, Ordering::Relaxed);
        }
    }
}
