//! Walks that were done before: a service makes the same calls from the same places, and its stacks are word
//! for word the same each time.
//!
//! A walk is decided by the registers it begins with, the rules of the addresses it meets, and the words of the
//! stack that it reads. So what it read is kept ([`Watch`] tells), and where the registers and all those words are
//! the same again (and no library went, and the stack ends where it ended), every step would be the same: the
//! walk is not done again. That is no guess; nothing else goes into it. Frame pointers are compared only
//! where one decides: most functions keep other things in that register.
//!
//! ```text
//! set    = hash of (pc, sp): 4 ways, their keys together in a Head (a cache line)
//! way    = sequence | id | registers | end, epoch | counts | which words are frames | words: (offset from sp − 128, value)
//! ```
//!
//! A way is read under its sequence number (odd = being written), without a store: threads share no line that is
//! written. It is written by whoever takes the sequence by exchange; who cannot, goes without. A stack is
//! kept when it comes the second time, so that a process of few events touches no page of this.
//!
//! Only stacks that are mapped for certain up to their end are kept, and words beyond it are not read, so that even a
//! way that is being overwritten leads nowhere else. Left out too: walks through signal handlers or over to other
//! stacks, cut or folded ones.

use super::walk::{Limit, Watch, capture_watched, word};
use super::{Registers, STACK_CUT, STACK_FOLDED, Stack, epoch};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

const SETS: usize = 64;
const WAYS: usize = 4;
/// Words of a walk that can be kept: return addresses, and frame pointers where they count.
const WORDS: usize = 60;
/// So far below the stack pointer a frame pointer can have been saved (the red zone).
const RED_ZONE: usize = 128;
/// A stack that finds no free way takes another's place one time in so many.
const PATIENCE: u32 = 8;

/// Keys of a set's ways (0 = free), and what came once.
#[repr(C, align(64))]
struct Head {
    keys: [AtomicU64; WAYS],
    once: [AtomicU32; WAYS],
    /// Stacks that found no free way.
    turned_away: AtomicU32,
}

/// One walk.
#[repr(C, align(64))]
struct Way {
    sequence: AtomicU32,
    id: AtomicU32,
    pc: AtomicU64,
    sp: AtomicU64,
    bp: AtomicU64,
    end: AtomicU64,
    epoch: AtomicU32,
    flags: AtomicU32,
    /// Words read; the highest bit: the frame pointer at the begin counts.
    words: AtomicU32,
    /// Addresses before the first frame (the shim's own): 16, frames: 16.
    frames: AtomicU32,
    /// Bit a word: it was read as a return address.
    are_frames: AtomicU64,
    words_read: [Word; WORDS],
}
const BP_COUNTS: u32 = 1 << 31;
const _: () = assert!(size_of::<Way>() == 1024 && WORDS <= 64);

/// A word that was read.
#[repr(C)]
struct Word {
    /// Bytes above the lower end of the red zone.
    offset: AtomicU64,
    value: AtomicU64,
}

/// The memory. All zero when empty; 4 KiB of heads, 256 KiB of ways, touched as they are used.
#[repr(C, align(4096))]
pub struct Walks {
    heads: [Head; SETS],
    ways: [[Way; WAYS]; SETS],
}

/// Where a walk would be kept.
#[derive(Clone, Copy)]
struct Key {
    set: usize,
    key: u64,
}
impl Key {
    #[inline(always)]
    fn of(from: &Registers) -> Key {
        let mixed =
            (from.sp as u64 ^ (from.pc as u64).rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Key { set: (mixed >> 58) as usize, key: mixed | 1 }
    }
}

impl Walks {
    /// What [`Walks::keep`] was given for the walk from `from`, if it is known and would go the same way now;
    /// into `out` its frames.
    #[inline(always)]
    pub fn find(
        &self,
        from: &Registers,
        depth: usize,
        stack_bounds: Option<(usize, usize)>,
        out: Option<&mut Stack>,
    ) -> Option<u32> {
        let Key { set, key } = Key::of(from);
        let (head, ways) = (self.heads.get(set)?, self.ways.get(set)?);
        for (own, way) in head.keys.iter().zip(ways) {
            if own.load(Ordering::Relaxed) == key
                && let Some(sequence) = way.holds(from, depth, stack_bounds)
            {
                let id = way.id.load(Ordering::Relaxed);
                if let Some(out) = out {
                    way.copy(from, out);
                }
                fence(Ordering::Acquire);
                // Written meanwhile by a thread with another stack: what was read is of both.
                let same = way.sequence.load(Ordering::Relaxed) == sequence;
                return same.then_some(id);
            }
        }
        None
    }

    /// Keeps the walk that `walked` came from, if it comes the second time; `hash` is its frames', `id` what
    /// [`Walks::find`] will give. `walked` is written over.
    #[cold]
    #[inline(never)]
    pub fn keep(
        &self,
        from: &Registers,
        depth: usize,
        stack_bounds: Option<(usize, usize)>,
        walked: &mut Stack,
        (hash, id): (u64, u32),
    ) {
        let limit = Limit::of(from.sp, stack_bounds);
        // These would be walked twice for nothing.
        let cannot = walked.flags & (STACK_CUT | STACK_FOLDED) != 0 || walked.is_interrupted;
        if cannot || !limit.certain {
            return;
        }
        let Key { set, key } = Key::of(from);
        let (Some(head), Some(ways)) = (self.heads.get(set), self.ways.get(set)) else { return };
        let tag = (hash >> 32) as u32 | 1;
        let Some(once) = head.once.get(hash as usize % WAYS) else { return };
        if once.load(Ordering::Relaxed) != tag {
            once.store(tag, Ordering::Relaxed);
            return;
        }
        let now = epoch();
        let is_free = |(own, way): (&AtomicU64, &Way)| {
            own.load(Ordering::Relaxed) == 0 || way.epoch.load(Ordering::Relaxed) != now
        };
        let place = match head.keys.iter().zip(ways).position(is_free) {
            Some(place) => place,
            None => {
                let turned_away = head.turned_away.fetch_add(1, Ordering::Relaxed);
                if !turned_away.is_multiple_of(PATIENCE) {
                    return;
                }
                (turned_away / PATIENCE) as usize % WAYS
            }
        };
        let (Some(own), Some(way)) = (head.keys.get(place), ways.get(place)) else { return };
        let sequence = way.sequence.load(Ordering::Relaxed);
        let odd = sequence | 1;
        if sequence == odd
            || way
                .sequence
                .compare_exchange(sequence, odd, Ordering::Acquire, Ordering::Relaxed)
                .is_err()
        {
            return;
        }
        fence(Ordering::Release);
        own.store(0, Ordering::Relaxed);
        let before = walked.frames().len();
        let mut taking = Taking {
            way,
            low: from.sp.wrapping_sub(RED_ZONE),
            count: 0,
            are_frames: 0,
            pending: None,
            start_bp: true,
            bp_counts: false,
            fits: true,
        };
        capture_watched(from, depth, stack_bounds, walked, &mut taking);
        let (count, bp_counts, fits) = (taking.count, taking.bp_counts, taking.fits);
        way.are_frames.store(taking.are_frames, Ordering::Relaxed);
        // The same thread, the same frames of its own: only what is above them could be scribbled over meanwhile.
        if fits
            && walked.frames().len() == before
            && walked.epoch == now
            && let Some(first) = way.first(from, walked.frames(), count)
        {
            way.id.store(id, Ordering::Relaxed);
            way.pc.store(from.pc as u64, Ordering::Relaxed);
            way.sp.store(from.sp as u64, Ordering::Relaxed);
            way.bp.store(from.bp as u64, Ordering::Relaxed);
            way.end.store(limit.end as u64, Ordering::Relaxed);
            way.epoch.store(now, Ordering::Relaxed);
            way.flags.store(walked.flags, Ordering::Relaxed);
            let counts = if bp_counts { BP_COUNTS } else { 0 };
            way.words.store(count as u32 | counts, Ordering::Relaxed);
            way.frames.store((first as u32) << 16 | before as u32, Ordering::Relaxed);
            own.store(key, Ordering::Relaxed);
        }
        way.sequence.store(odd.wrapping_add(1), Ordering::Release);
    }
}

impl Way {
    /// Whether a walk from `from` would read what is kept here; the sequence number under which that was seen.
    #[inline(always)]
    fn holds(
        &self,
        from: &Registers,
        depth: usize,
        stack_bounds: Option<(usize, usize)>,
    ) -> Option<u32> {
        let sequence = self.sequence.load(Ordering::Acquire);
        let limit = Limit::of(from.sp, stack_bounds);
        let words = self.words.load(Ordering::Relaxed);
        let frames = self.frames.load(Ordering::Relaxed) as u16 as usize;
        let differs = (sequence & 1) as u64
            | (self.pc.load(Ordering::Relaxed) ^ from.pc as u64)
            | (self.sp.load(Ordering::Relaxed) ^ from.sp as u64)
            | (self.end.load(Ordering::Relaxed) ^ limit.end as u64)
            | (self.epoch.load(Ordering::Relaxed) ^ epoch()) as u64;
        let bp = words & BP_COUNTS == 0 || self.bp.load(Ordering::Relaxed) == from.bp as u64;
        if differs != 0 || !bp || !limit.certain || frames > depth {
            return None;
        }
        let low = from.sp.wrapping_sub(RED_ZONE);
        let span = limit.end.wrapping_sub(low).wrapping_sub(7);
        for kept in self.words_read.get(..(words & !BP_COUNTS) as usize)? {
            let offset = kept.offset.load(Ordering::Relaxed) as usize;
            if offset >= span {
                return None;
            }
            // SAFETY: between the stack pointer's red zone and the end of a stack that is mapped for certain.
            let now = unsafe { word(low.wrapping_add(offset)) };
            if now as u64 != kept.value.load(Ordering::Relaxed) {
                return None;
            }
        }
        Some(sequence)
    }

    /// The addresses met, the one at the begin first.
    fn addresses(&self, from: &Registers, words: usize) -> impl Iterator<Item = usize> {
        let are_frames = self.are_frames.load(Ordering::Relaxed);
        let read = self
            .words_read
            .iter()
            .take(words)
            .enumerate()
            .filter(move |(at, _)| are_frames >> at & 1 != 0)
            .map(|(_, kept)| kept.value.load(Ordering::Relaxed) as usize);
        core::iter::once(from.pc).chain(read)
    }

    /// Which of the addresses is the first frame, if the frames are the addresses from there on.
    fn first(&self, from: &Registers, frames: &[usize], words: usize) -> Option<usize> {
        let begin = *frames.first()?;
        let first = self.addresses(from, words).position(|pc| pc == begin)?;
        let mut met = self.addresses(from, words).skip(first);
        frames.iter().all(|pc| met.next() == Some(*pc)).then_some(first)
    }

    /// Writes the frames into `out`.
    fn copy(&self, from: &Registers, out: &mut Stack) {
        let words = (self.words.load(Ordering::Relaxed) & !BP_COUNTS) as usize;
        let frames = self.frames.load(Ordering::Relaxed);
        let met = self.addresses(from, words).skip((frames >> 16) as usize);
        out.fill(met.take(frames as u16 as usize));
        out.flags = self.flags.load(Ordering::Relaxed);
        out.epoch = self.epoch.load(Ordering::Relaxed);
        out.is_interrupted = false;
    }
}

/// Writes down what a walk reads.
struct Taking<'a> {
    way: &'a Way,
    /// Offsets count from here.
    low: usize,
    count: usize,
    are_frames: u64,
    /// Where the frame pointer was read last, and what.
    pending: Option<(usize, usize)>,
    /// It is still the one of the begin.
    start_bp: bool,
    /// That one counts.
    bp_counts: bool,
    /// All of it can be kept.
    fits: bool,
}
impl Watch for Taking<'_> {
    fn read(&mut self, address: usize, value: usize, is_frame: bool) {
        let offset = address.wrapping_sub(self.low);
        let Some(kept) = self.way.words_read.get(self.count) else {
            self.fits = false;
            return;
        };
        kept.offset.store(offset as u64, Ordering::Relaxed);
        kept.value.store(value as u64, Ordering::Relaxed);
        self.are_frames |= u64::from(is_frame) << self.count;
        self.count += 1;
    }

    fn bp_saved(&mut self, address: usize, value: usize) {
        self.pending = Some((address, value));
        self.start_bp = false;
    }

    fn bp_counts(&mut self) {
        self.bp_counts |= self.start_bp;
        if let Some((address, value)) = self.pending.take() {
            self.read(address, value, false);
        }
    }

    fn stack_changes(&mut self) {
        self.fits = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicUsize;

    struct Memory(Box<Walks>);
    impl Memory {
        fn new() -> Memory {
            // Frames without unwind information are all that these stacks have.
            super::super::set_generated_frames(8);
            // SAFETY: zeros are a value of it; too large for the stack of a test.
            Memory(unsafe { Box::<Walks>::new_zeroed().assume_init() })
        }

        /// The walk as the shim does it: from memory, or anew; whether it was known, and its frames.
        fn walk(&self, from: &Registers, bounds: (usize, usize)) -> (bool, Vec<usize>) {
            let mut found = Stack::empty();
            let known = self.0.find(from, 64, Some(bounds), Some(&mut found));
            if known.is_none() {
                super::super::capture(from, 64, Some(bounds), &mut found);
                let hash =
                    found.frames().iter().fold(1, |sum: u64, pc| sum.rotate_left(40) ^ *pc as u64);
                self.0.keep(from, 64, Some(bounds), &mut found, (hash, 7));
            }
            assert!(known.is_none_or(|id| id == 7));
            (known.is_some(), found.frames().to_vec())
        }
    }

    /// A stack whose frames have no unwind information: the frame pointer leads on.
    struct Made {
        words: [AtomicUsize; 32],
    }
    impl Made {
        /// The frame pointer's frame is at word `at`; the caller's address is `pc`, and it is the last.
        fn of(at: usize, pc: usize) -> Made {
            let made = Made { words: [const { AtomicUsize::new(0) }; 32] };
            made.words[at + 1].store(pc, Ordering::Relaxed);
            made
        }
        fn address(&self, word: usize) -> usize {
            self.words.as_ptr().expose_provenance() + 8 * word
        }
        fn bounds(&self, words: usize) -> (usize, usize) {
            (self.address(0), self.address(words))
        }
        fn registers(&self, bp: usize) -> Registers {
            Registers { pc: 0x5000, sp: self.address(4), bp: self.address(bp) }
        }
    }

    #[test]
    fn what_came_twice_is_known_the_third_time_while_nothing_it_depends_on_changes() {
        let memory = Memory::new();
        let made = Made::of(10, 0x6000);
        let (from, bounds) = (made.registers(10), made.bounds(32));
        let frames = vec![0x5000, 0x6000];
        assert_eq!(memory.walk(&from, bounds), (false, frames.clone()));
        assert_eq!(memory.walk(&from, bounds), (false, frames.clone()));
        assert_eq!(memory.walk(&from, bounds), (true, frames.clone()));
        // The frame pointer at the begin decided.
        assert_eq!(memory.walk(&made.registers(20), bounds), (false, vec![0x5000]));
        // A stack that ends elsewhere is another one: here it ends below the frame.
        assert_eq!(memory.walk(&from, made.bounds(11)).1, vec![0x5000]);
        // Fewer frames are wanted than there are.
        assert_eq!(memory.0.find(&from, 1, Some(bounds), None), None);
        assert_eq!(memory.walk(&from, bounds), (true, frames));
        made.words[11].store(0x7000, Ordering::Relaxed);
        assert_eq!(memory.walk(&from, bounds), (false, vec![0x5000, 0x7000]));
    }

    #[test]
    fn a_stack_whose_bounds_are_not_known_is_never_kept() {
        let memory = Memory::new();
        let made = Made::of(10, 0x6000);
        // Bounds that do not hold the stack pointer are no bounds.
        let elsewhere = (0x1000, 0x2000);
        for _ in 0..4 {
            assert!(!memory.walk(&made.registers(10), elsewhere).0);
        }
    }

    #[test]
    fn many_stacks_take_turns_and_each_is_its_own() {
        let memory = Memory::new();
        let made: Vec<Made> = (0..200).map(|i| Made::of(10, 0x6000 + 16 * i)).collect();
        let mut known = 0;
        for _ in 0..12 {
            for (i, made) in made.iter().enumerate() {
                let (was_known, frames) = memory.walk(&made.registers(10), made.bounds(32));
                assert_eq!(frames, [0x5000, 0x6000 + 16 * i]);
                known += usize::from(was_known);
            }
        }
        assert!(known > 500, "{known}");
    }

    #[test]
    fn a_way_that_is_being_written_is_not_read() {
        let memory = Memory::new();
        let made = Made::of(10, 0x6000);
        let (from, bounds) = (made.registers(10), made.bounds(32));
        while !memory.walk(&from, bounds).0 {}
        for way in memory.0.ways.iter().flatten() {
            way.sequence.fetch_or(1, Ordering::Relaxed);
        }
        assert!(!memory.walk(&from, bounds).0);
    }

    /// Threads with stacks at the same place of the same set, so that they drive each other out.
    #[test]
    fn threads_that_share_ways_never_get_each_others() {
        let memory = Memory::new();
        let made: Vec<Made> = (0..64).map(|i| Made::of(10, 0x6000 + 16 * i)).collect();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (memory, made) = (&memory, &made);
                scope.spawn(move || {
                    for round in 0..20_000 {
                        let i = (round * 7 + thread * 13) % made.len();
                        let made = &made[i];
                        let (_, frames) = memory.walk(&made.registers(10), made.bounds(32));
                        assert_eq!(frames, [0x5000, 0x6000 + 16 * i]);
                    }
                });
            }
        });
    }
}
