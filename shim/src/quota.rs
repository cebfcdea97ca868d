//! How much all regions of a directory may take together: `RESSHIM_MAX_BYTES`.
//!
//! The sum stands in a page that all processes of the directory map. It is a hint: a process that is
//! killed leaves its region and its share behind, others remove regions by hand. Who would exceed the
//! limit by it looks at the directory, removes the oldest regions whose owners are dead until a quarter
//! of the limit is free, and puts the true sum into the page. Where the living alone exceed it, a new
//! region gets tables only.
//!
//! A region's owner lives as long as `flock` says so: the lock goes with the last mapping. A collector
//! that has not drained a dead one's region yet holds a shared lock on it as well.
//!
//! The page is mapped while a region is made, when the directory is open anyway; children share it.
#![allow(unsafe_code, reason = "refers to the mapped page")]

use crate::layout::PAGE;
use crate::private::PRIVATE;
use crate::start::c_name;
use crate::{headroom, region, start, sys};
use core::ffi::CStr;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use resshim_format::index::{INDEX_FILE, QUOTA_FILE, Quota, REGION_SUFFIX};
use rustix::fd::{AsFd, BorrowedFd};

/// What a new region is counted with, until it has grown beyond it.
const FIRST: u64 = 128 << 10;
/// What it is counted with at a time from then on, and less under a limit of which that is a large part.
const EACH: u64 = 1 << 20;
const LEAST_EACH: u64 = 16 << 10;
/// The default limit is not less than this; below it nobody asks the machine.
const LEAST: u64 = 4 << 20;
/// The default limit is not more than this.
const MOST: u64 = 256 << 20;
/// A directory whose living regions were too many this short a time ago has not changed much.
const LOOK_AGAIN_NS: u64 = 100_000_000;
/// The default limit is worked out again after this time.
const LIMIT_HOLDS_NS: u64 = 10_000_000_000;

/// The default limit as this image last worked it out, and when. Not for others: they may be in another
/// memory group.
static LIMIT: AtomicU64 = AtomicU64::new(0);
static LIMIT_NS: AtomicU64 = AtomicU64::new(0);
/// Looks at the directory for what to remove.
const MOST_ROUNDS: usize = 4;
/// Ages of regions are told apart as this many.
const AGES: usize = 64;

/// Address of the page, 0 = not mapped. Not part of the private state: a fork child has the mapping too.
static PAGE_ADDRESS: AtomicUsize = AtomicUsize::new(0);

fn page() -> Option<&'static Quota> {
    let address = PAGE_ADDRESS.load(Ordering::Acquire);
    // SAFETY: null, or a promised page that is never unmapped; all fields are atomic.
    unsafe { (address as *const Quota).as_ref() }
}

/// Maps the page of `directory`, if none is mapped yet. Without it, regions are not counted.
pub fn open(directory: BorrowedFd) {
    if page().is_some() {
        return;
    }
    let Ok(file) = c_name(QUOTA_FILE, |name| sys::open_shared(directory, name)) else { return };
    if sys::length(&file).is_ok_and(|length| length < PAGE as u64)
        && (sys::file_size_limit() < PAGE as u64 || sys::set_length(&file, PAGE as u64).is_err())
    {
        return;
    }
    let Ok(address) = sys::map_shared(&file, PAGE) else { return };
    // SAFETY: the mapping was made just now.
    let promised = unsafe { sys::populate(address.as_ptr(), PAGE) }
        .or_else(|_| sys::reserve(&file, 0, PAGE as u64))
        .is_ok();
    let place = address.as_ptr() as usize;
    let placed = promised
        && PAGE_ADDRESS.compare_exchange(0, place, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    if !placed {
        // SAFETY: nobody else knows this mapping.
        unsafe { sys::unmap(address, PAGE) };
    }
}

/// A region could not be made.
pub fn note_refused() {
    if let Some(page) = page() {
        page.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether the ring may grow.
pub fn allows_chunks() -> bool {
    PRIVATE.no_chunks.load(Ordering::Relaxed) == 0
}

/// Before a region is made in `directory`: has the dead make room for it where there is none. False:
/// there must be no region, since pages of the dead have filled this process's memory group.
pub fn make_room(directory: BorrowedFd) -> bool {
    let Some(page) = page() else { return true };
    if page.promised.load(Ordering::Relaxed).saturating_add(FIRST) > limit(page, directory) {
        clear(page, directory, FIRST);
    }
    // Many small regions are as large as a large one, but none of them grows far enough to look.
    if page.promised.load(Ordering::Relaxed) > LEAST && !headroom::is_enough() {
        page.promised.store(remove_dead(directory, LEAST), Ordering::Relaxed);
        if !headroom::is_enough() {
            return false;
        }
    }
    count(page, FIRST);
    true
}

/// The region has been promised this much in all.
pub fn grown(promised: u64) {
    if promised <= PRIVATE.accounted.load(Ordering::Relaxed) {
        return;
    }
    let Some(page) = page() else { return };
    let known = known_limit();
    let each = known.map_or(EACH, |limit| (limit / 16).clamp(LEAST_EACH, EACH));
    while PRIVATE.accounted.load(Ordering::Relaxed) < promised {
        count(page, each);
    }
    let sum = page.promised.load(Ordering::Relaxed);
    if !allows_chunks() || sum <= known.unwrap_or(LEAST) {
        return;
    }
    match start::same_directory() {
        Some(directory) => {
            let directory = directory.as_fd();
            if sum > limit(page, directory) {
                clear(page, directory, each);
            }
        }
        // The way to the directory is closed by now.
        None => refuse(page),
    }
}

/// The region is gone, and what was counted for it.
pub fn give_back() {
    let share = PRIVATE.accounted.swap(0, Ordering::Relaxed);
    if let Some(page) = page() {
        page.promised.fetch_sub(share, Ordering::Relaxed);
    }
}

fn count(page: &Quota, bytes: u64) {
    PRIVATE.accounted.fetch_add(bytes, Ordering::Relaxed);
    page.promised.fetch_add(bytes, Ordering::Relaxed);
}

fn refuse(page: &Quota) {
    PRIVATE.no_chunks.store(1, Ordering::Relaxed);
    page.refused.fetch_add(1, Ordering::Relaxed);
    if let Some(region) = region::live() {
        region.note_refusal(4);
    }
}

/// The limit as far as it is known without asking the machine.
fn known_limit() -> Option<u64> {
    let asked = start::settings().max_bytes;
    if asked != 0 {
        return Some(asked);
    }
    let limit = LIMIT.load(Ordering::Relaxed);
    if limit == 0 {
        return None;
    }
    let since = sys::monotonic_ns().wrapping_sub(LIMIT_NS.load(Ordering::Relaxed));
    (since < LIMIT_HOLDS_NS).then_some(limit)
}

/// `RESSHIM_MAX_BYTES`, or the smallest of 256 MiB, 1/32 of the memory, 1/4 of the free file system.
/// As long as the sum is below what is always allowed, that is not worked out.
fn limit(page: &Quota, directory: BorrowedFd) -> u64 {
    if let Some(limit) = known_limit() {
        return limit;
    }
    if page.promised.load(Ordering::Relaxed).saturating_add(FIRST) <= LEAST {
        return LEAST;
    }
    let free = sys::free_bytes(directory).unwrap_or(u64::MAX);
    let limit = (headroom::memory() / 32).min(free / 4).clamp(LEAST, MOST);
    LIMIT_NS.store(sys::monotonic_ns(), Ordering::Relaxed);
    LIMIT.store(limit, Ordering::Relaxed);
    limit
}

/// What is known of a region's file from outside.
struct Left {
    bytes: u64,
    made_ns: u64,
}

fn look(directory: BorrowedFd, mut each: impl FnMut(&CStr, Left)) {
    // Another open directory each time: it is read from its beginning.
    let Ok(again) = sys::open_below(directory, c".") else { return };
    sys::names(again.as_fd(), |name| {
        if name.to_bytes().ends_with(REGION_SUFFIX.as_bytes())
            && let Ok((bytes, made_ns)) = sys::bytes_and_time(directory, name)
        {
            each(name, Left { bytes, made_ns });
        }
    });
}

/// Removes the oldest regions of the dead until a quarter of the limit is free; puts the true sum into
/// the page. Where the living leave no room for `more` bytes, this region gets no event history.
fn clear(page: &Quota, directory: BorrowedFd, more: u64) {
    let now = sys::monotonic_ns();
    let in_vain = page.in_vain_ns.load(Ordering::Relaxed);
    if in_vain != 0 && now.wrapping_sub(in_vain) < LOOK_AGAIN_NS {
        return refuse(page);
    }
    let limit = limit(page, directory);
    let sum = remove_dead(directory, limit / 4 * 3);
    page.promised.store(sum, Ordering::Relaxed);
    if sum.saturating_add(more) > limit {
        page.in_vain_ns.store(now, Ordering::Relaxed);
        refuse(page);
    }
}

/// Removes the oldest regions of the dead until `target` bytes are left; gives what is left. Three
/// looks at the directory and no memory: how much there is, how old, and away.
fn remove_dead(directory: BorrowedFd, target: u64) -> u64 {
    let (mut sum, mut oldest, mut newest) = (0u64, u64::MAX, 0);
    look(directory, |_, left| {
        sum = sum.saturating_add(left.bytes);
        oldest = oldest.min(left.made_ns);
        newest = newest.max(left.made_ns);
    });
    if sum > target {
        let span = newest.saturating_sub(oldest) / AGES as u64 + 1;
        let age = |made_ns: u64| (made_ns.saturating_sub(oldest) / span) as usize;
        let mut of_age = [0u64; AGES];
        look(directory, |_, left| {
            if let Some(bytes) = of_age.get_mut(age(left.made_ns)) {
                *bytes = bytes.saturating_add(left.bytes);
            }
        });
        let (mut from, mut wanted) = (0, sum - target);
        // The living among them stay, so that it may take younger ones.
        for _ in 0..MOST_ROUNDS {
            if from == AGES || wanted == 0 {
                break;
            }
            let mut to = from;
            let mut hoped = 0u64;
            while to < AGES && hoped < wanted {
                hoped = hoped.saturating_add(of_age.get(to).copied().unwrap_or(0));
                to += 1;
            }
            look(directory, |name, left| {
                let chosen = (from..to).contains(&age(left.made_ns));
                if chosen && sys::owner_is_dead(directory, name) {
                    let _ = sys::unlink(directory, name);
                    sum = sum.saturating_sub(left.bytes);
                    wanted = wanted.saturating_sub(left.bytes);
                }
            });
            from = to;
        }
    }
    let index = c_name(INDEX_FILE, |name| sys::bytes_and_time(directory, name));
    sum.saturating_add(index.map_or(0, |(bytes, _)| bytes))
}
