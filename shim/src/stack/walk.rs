//! The walk itself: from the hook's registers outward, frame by frame.
//!
//! What is read: the words that a rule names, if the CFA is above the stack pointer and not above the
//! end of the stack. That end is known where the caller gives bounds, on the first thread (the start-up
//! stack ends at `__libc_stack_end`) and on glibc's threads (their descriptor lies at the upper end). On
//! other stacks (coroutines) a frame may have 8 MiB.
//!
//! The walk changes stacks where a signal frame or an expression says so, and where a CFA by frame pointer
//! lies on a stack that is known for certain.
//!
//! A frame pointer without unwind information is followed only where the walk is inside the bounds for
//! certain, since any number may stand in the register.

use super::arch::{self, HIGHEST_PC, LOWEST_PC};
use super::cache::View;
use super::rule::{self, Base, Rule, Saved};
use super::{
    MAX_FRAMES, Registers, SHARED, STACK_CUT, STACK_FOLDED, STACK_NO_UNWIND_DATA, Stack, modules,
};
use core::mem::MaybeUninit;
use core::ptr::with_exposed_provenance;
use core::sync::atomic::Ordering;

/// Frames that are looked at before the walk gives up.
const MOST_STEPS: usize = 1024;
/// Largest frame where the end of the stack is not known.
const LARGEST_FRAME: usize = 8 << 20;
/// A stack pointer this close below the end of the first thread's stack is on it: the kernel keeps
/// 128 MiB at least between that stack and where it maps anything else.
const FIRST_STACK_BYTES: usize = 64 << 20;

/// How far up the walk may read.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    /// No CFA is above this.
    pub(super) end: usize,
    /// All from the stack pointer to `end` is mapped, for certain.
    pub(super) certain: bool,
}
impl Limit {
    #[inline(always)]
    pub(super) fn of(sp: usize, bounds: Option<(usize, usize)>) -> Limit {
        if let Some((low, high)) = bounds
            && low <= sp
            && sp < high
        {
            return Limit { end: high, certain: true };
        }
        let first = SHARED.first_stack_end.load(Ordering::Relaxed);
        if first.wrapping_sub(sp) < FIRST_STACK_BYTES {
            return Limit { end: first, certain: true };
        }
        let near = sp.saturating_add(LARGEST_FRAME);
        let thread = arch::thread_pointer();
        Limit { end: if sp < thread { near.min(thread) } else { near }, certain: false }
    }
}

/// The word at an address of the stack.
///
/// # Safety
/// The address must be mapped: see the head of this file.
#[inline(always)]
pub(super) unsafe fn word(address: usize) -> usize {
    // SAFETY: the caller's promise; stack slots of x86-64 need no alignment to be read.
    unsafe { with_exposed_provenance::<usize>(address).read_unaligned() }
}

/// Collects frames: the innermost three quarters of the depth in order, then a ring of the newest.
struct Kept<'a> {
    frames: &'a mut [MaybeUninit<usize>; MAX_FRAMES],
    /// Where the ring begins.
    head: usize,
    /// Where it ends, at most [`MAX_FRAMES`].
    depth: usize,
    /// Where the next frame goes.
    next: usize,
    folded: bool,
}
impl Kept<'_> {
    #[inline(always)]
    fn push(&mut self, pc: usize) {
        if self.next >= self.depth {
            core::hint::cold_path();
            self.next = self.head;
            self.folded = true;
        }
        if let Some(slot) = self.frames.get_mut(self.next) {
            slot.write(pc);
        }
        self.next += 1;
    }

    /// Puts the ring in order; gives how many frames there are. Where the walk was cut, the frames in the
    /// ring are not the outermost and would differ with each depth: they are left out.
    fn finish(self, flags: &mut u32) -> usize {
        if !self.folded {
            return self.next;
        }
        *flags |= STACK_FOLDED;
        if *flags & STACK_CUT != 0 {
            return self.head;
        }
        if let Some(ring) = self.frames.get_mut(self.head..self.depth)
            && let Some(newest) = self.next.checked_sub(self.head)
            && newest <= ring.len()
        {
            ring.rotate_left(newest);
        }
        self.depth
    }
}

/// What a walk depends on beside the rules: told in the order in which the walk reads it.
pub(super) trait Watch {
    /// A word decided where the walk goes on. `is_frame`: as a return address.
    fn read(&mut self, address: usize, value: usize, is_frame: bool);
    /// This is the caller's frame pointer now; it decides nothing unless [`Watch::bp_counts`] follows.
    fn bp_saved(&mut self, address: usize, value: usize);
    /// The frame pointer, wherever it came from, decides.
    fn bp_counts(&mut self);
    /// The walk goes over to another stack, or leaves a signal handler.
    fn stack_changes(&mut self);
}
/// Nobody watches.
struct Unwatched;
impl Watch for Unwatched {
    #[inline(always)]
    fn read(&mut self, _: usize, _: usize, _: bool) {}
    #[inline(always)]
    fn bp_saved(&mut self, _: usize, _: usize) {}
    #[inline(always)]
    fn bp_counts(&mut self) {}
    #[inline(always)]
    fn stack_changes(&mut self) {}
}

/// Walks outward from `from` and writes what it finds into `out`. `depth` frames are kept (at most
/// [`MAX_FRAMES`]): where there are more, the innermost three quarters and the outermost quarter. Frames
/// of this module at the inner end are left out. `stack_bounds` are the lowest address and the end of the
/// stack that the thread runs on, if the caller knows them.
pub fn capture(
    from: &Registers,
    depth: usize,
    stack_bounds: Option<(usize, usize)>,
    out: &mut Stack,
) {
    capture_watched(from, depth, stack_bounds, out, &mut Unwatched);
}

/// [`capture`], telling `watch` what is read.
#[inline(always)]
pub(super) fn capture_watched(
    from: &Registers,
    depth: usize,
    stack_bounds: Option<(usize, usize)>,
    out: &mut Stack,
    watch: &mut impl Watch,
) {
    let depth = depth.clamp(1, MAX_FRAMES);
    out.epoch = super::epoch();
    let head = depth - depth / 4;
    let mut kept = Kept { frames: &mut out.frames, head, depth, next: 0, folded: false };
    let mut at = Position {
        registers: *from,
        limit: Limit::of(from.sp, stack_bounds),
        bounds: stack_bounds,
        steps: MOST_STEPS,
        is_interrupted: false,
    };
    let own_start = SHARED.own_start.load(Ordering::Relaxed);
    let own_bytes = SHARED.own_bytes.load(Ordering::Relaxed);
    let is_own = |pc: usize| pc.wrapping_sub(own_start) < own_bytes;
    let mut inside = is_own(from.pc);
    let mut unknown = 0;
    let mut view = View::now();
    let mut flags = loop {
        let step = if inside {
            at.follow(view, watch, is_own)
        } else {
            at.follow(view, watch, |pc| {
                kept.push(pc);
                true
            })
        };
        let rule = match step {
            Step::Refused => {
                inside = false;
                continue;
            }
            Step::End(flags) => break flags,
            Step::Unusual(code) => Rule::decode(code),
            Step::Missing => {
                let rule = look_up(view, at.registers.pc, out.epoch);
                view = View::now();
                rule
            }
        };
        if matches!(rule, Rule::Unknown) {
            // What follows a frame of generated code may be junk, and must not make new sites.
            unknown += 1;
            if unknown > SHARED.generated_frames.load(Ordering::Relaxed) {
                break STACK_NO_UNWIND_DATA;
            }
        }
        inside = inside && is_own(at.registers.pc);
        if !inside {
            kept.push(at.registers.pc);
        }
        if let Some(flags) = at.leave(rule, watch) {
            break flags;
        }
    };
    out.count = kept.finish(&mut flags);
    out.flags = flags;
    out.is_interrupted = at.is_interrupted;
}

/// The rule of a frame that the cache does not have: that of the address before `pc`.
#[cold]
#[inline(never)]
fn look_up(view: View, pc: usize, epoch: u32) -> Rule {
    let probe = pc.wrapping_sub(1);
    let Some(object) = modules::find(probe) else { return Rule::Unknown };
    modules::meet(&object, epoch);
    let rule = object.unwind_tables().map_or(Rule::NoData, |tables| tables.rule(probe));
    if let Some(code) = rule.encode() {
        view.put(pc, code);
    }
    rule
}

/// Why [`Position::follow`] stopped.
enum Step {
    /// The frame was not wanted.
    Refused,
    /// The frame's code is neither of kind SP nor BP, or leads out of the stack.
    Unusual(u32),
    /// The cache does not have the frame.
    Missing,
    /// No more frames; the flags of the stack.
    End(u32),
}

/// Where the walk stands.
struct Position {
    /// `pc` is a return address, or one more than the address of an interrupted instruction.
    registers: Registers,
    limit: Limit,
    bounds: Option<(usize, usize)>,
    /// Frames that may still be looked at.
    steps: usize,
    /// A signal handler was left.
    is_interrupted: bool,
}

impl Position {
    /// Leaves frames whose rules are cached and plain, as long as `wanted` takes their addresses.
    #[inline(always)]
    fn follow(
        &mut self,
        view: View,
        watch: &mut impl Watch,
        mut wanted: impl FnMut(usize) -> bool,
    ) -> Step {
        let Registers { mut pc, mut sp, mut bp } = self.registers;
        let (end, mut steps) = (self.limit.end, self.steps);
        let step = loop {
            if pc.wrapping_sub(LOWEST_PC) >= HIGHEST_PC - LOWEST_PC {
                // A return address of null ends the threads of some libraries properly.
                break Step::End(if pc == 0 { 0 } else { STACK_CUT });
            }
            let Some(code) = view.get(pc) else { break Step::Missing };
            // By a branch: the processor guesses it, and does not wait for both.
            let base = match code & 7 {
                rule::SP => sp,
                kind => {
                    core::hint::cold_path();
                    if kind != rule::BP {
                        break Step::Unusual(code);
                    }
                    watch.bp_counts();
                    bp
                }
            };
            let cfa = base.wrapping_add(rule::operand_a_bytes(code));
            if cfa <= sp || cfa > end {
                break Step::Unusual(code);
            }
            if !wanted(pc) {
                break Step::Refused;
            }
            if steps == 0 {
                break Step::End(STACK_CUT);
            }
            steps -= 1;
            // SAFETY: the CFA is inside the stack; the word below it is the return address, and the
            // frame pointer was saved below that.
            unsafe {
                pc = word(cfa.wrapping_sub(8));
                watch.read(cfa.wrapping_sub(8), pc, true);
                let saved = rule::operand_b(code) as usize;
                if saved != 0 {
                    let place = cfa.wrapping_sub(8 + 8 * saved);
                    bp = word(place);
                    watch.bp_saved(place, bp);
                }
            }
            sp = cfa;
        };
        self.registers = Registers { pc, sp, bp };
        self.steps = steps;
        step
    }

    /// Leaves a frame by any rule; the flags of the stack if there is no more.
    fn leave(&mut self, rule: Rule, watch: &mut impl Watch) -> Option<u32> {
        let Registers { pc, sp, bp } = self.registers;
        if self.steps == 0 {
            return Some(STACK_CUT);
        }
        self.steps -= 1;
        let base_of = |base| if base == Base::Sp { sp } else { bp };
        // Rules that are not plain are few: that the frame pointer counts in each of them is no loss.
        watch.bp_counts();
        match rule {
            Rule::Plain { base, offset, bp: saved } => {
                let cfa = base_of(base).wrapping_add_signed(offset as isize);
                if base == Base::Bp && !(cfa > sp && cfa <= self.limit.end) {
                    // A function that runs its callee on another stack, and keeps its own in bp.
                    let own = cfa.wrapping_sub(16);
                    let limit = Limit::of(own, self.bounds);
                    if limit.certain && cfa % 8 == 0 {
                        watch.stack_changes();
                        self.registers.sp = own;
                        self.limit = limit;
                    }
                }
                self.step_to(cfa, saved, watch)
            }
            Rule::Plt { threshold } => {
                let pushed = pc.wrapping_sub(1) & 15 >= usize::from(threshold);
                self.step_to(sp.wrapping_add(if pushed { 16 } else { 8 }), Saved::Same, watch)
            }
            Rule::Deref { base, offset, addend, bp: saved } => {
                let place = base_of(base).wrapping_add_signed(offset as isize);
                if place < sp || place > self.limit.end.wrapping_sub(8) {
                    return Some(STACK_CUT);
                }
                // SAFETY: a slot of the current frame.
                let read = unsafe { word(place) };
                watch.read(place, read, false);
                let cfa = read.wrapping_add_signed(addend as isize);
                if addend != 0 {
                    // The parent of a coroutine's stack: anywhere else.
                    if cfa % 8 != 0 || !(LOWEST_PC..HIGHEST_PC).contains(&cfa) {
                        return Some(STACK_CUT);
                    }
                    watch.stack_changes();
                    self.registers.sp = cfa.wrapping_sub(16);
                    self.limit = Limit::of(self.registers.sp, self.bounds);
                }
                self.step_to(cfa, saved, watch)
            }
            Rule::Signal => {
                let end = sp.wrapping_add(arch::SIGNAL_PC + 8);
                if end > self.limit.end && self.limit.certain {
                    return Some(STACK_CUT);
                }
                watch.stack_changes();
                // SAFETY: the kernel wrote its frame here before it called the handler.
                self.registers = unsafe {
                    Registers {
                        pc: word(sp.wrapping_add(arch::SIGNAL_PC)).wrapping_add(1),
                        sp: word(sp.wrapping_add(arch::SIGNAL_SP)),
                        bp: word(sp.wrapping_add(arch::SIGNAL_BP)),
                    }
                };
                self.limit = Limit::of(self.registers.sp, self.bounds);
                self.is_interrupted = true;
                None
            }
            Rule::NoData | Rule::Unknown => {
                let inside = self.limit.certain
                    && bp >= sp
                    && bp % 8 == 0
                    && bp <= self.limit.end.wrapping_sub(16);
                if !inside {
                    return Some(STACK_NO_UNWIND_DATA);
                }
                // SAFETY: between the stack pointer and the end of a stack that is mapped for certain.
                let (pc, caller_bp) = unsafe { (word(bp + 8), word(bp)) };
                watch.read(bp + 8, pc, true);
                watch.bp_saved(bp, caller_bp);
                self.registers = Registers { pc, sp: bp + 16, bp: caller_bp };
                None
            }
            Rule::Outermost => Some(0),
            Rule::Unsupported => Some(STACK_CUT),
        }
    }

    fn step_to(&mut self, cfa: usize, saved: Saved, watch: &mut impl Watch) -> Option<u32> {
        let Registers { sp, bp, .. } = self.registers;
        if cfa <= sp || cfa > self.limit.end {
            return Some(STACK_CUT);
        }
        let place = match saved {
            Saved::Same => None,
            Saved::Cfa(offset) => Some(cfa.wrapping_add_signed(offset as isize)),
            Saved::Bp(offset) => Some(bp.wrapping_add_signed(offset as isize)),
        };
        // SAFETY: the CFA is inside the stack, the word below it is the return address.
        let pc = unsafe { word(cfa.wrapping_sub(8)) };
        watch.read(cfa.wrapping_sub(8), pc, true);
        let caller_bp = match place {
            None => bp,
            Some(place) if place >= sp.wrapping_sub(128) && place < self.limit.end => {
                // SAFETY: a slot of the current frame (or of the red zone below it).
                let value = unsafe { word(place) };
                watch.bp_saved(place, value);
                value
            }
            Some(_) => return Some(STACK_CUT),
        };
        self.registers = Registers { pc, sp: cfa, bp: caller_bp };
        None
    }
}
