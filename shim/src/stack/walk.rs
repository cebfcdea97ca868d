//! The walk itself: from the hook's registers outward, frame by frame.
//!
//! What is read: the words that a rule names, if the CFA is above the stack pointer and not above the
//! end of the stack. That end is known where the caller gives bounds, on the first thread (the start-up
//! stack ends at `__libc_stack_end`) and on glibc's threads (their descriptor lies at the upper end). On
//! other stacks (coroutines) a frame may have 8 MiB.
//!
//! A frame pointer without unwind information is followed only where the walk is inside the bounds for
//! certain, since any number may stand in the register.

use super::arch::{self, HIGHEST_PC, LOWEST_PC};
use super::cache::View;
use super::rule::{self, Base, Rule, Saved};
use super::{
    MAX_FRAMES, Registers, SHARED, STACK_CUT, STACK_FOLDED, STACK_NO_UNWIND_DATA, Stack, modules,
};
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
struct Limit {
    /// No CFA is above this.
    end: usize,
    /// All from the stack pointer to `end` is mapped, for certain.
    certain: bool,
}
impl Limit {
    fn of(sp: usize, bounds: Option<(usize, usize)>) -> Limit {
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
unsafe fn word(address: usize) -> usize {
    // SAFETY: the caller's promise; stack slots of x86-64 need no alignment to be read.
    unsafe { with_exposed_provenance::<usize>(address).read_unaligned() }
}

/// Collects frames: the innermost three quarters of the depth in order, then a ring of the newest.
struct Kept<'a> {
    frames: &'a mut [usize; MAX_FRAMES],
    head: usize,
    depth: usize,
    /// Where the next one goes.
    next: usize,
    folded: bool,
}
impl Kept<'_> {
    #[inline(always)]
    fn push(&mut self, pc: usize) {
        if self.next == self.depth {
            self.next = self.head;
            self.folded = true;
        }
        if let Some(slot) = self.frames.get_mut(self.next) {
            *slot = pc;
        }
        self.next += 1;
    }
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
    let depth = depth.clamp(1, MAX_FRAMES);
    out.epoch = super::epoch();
    let mut kept =
        Kept { frames: &mut out.frames, head: depth - depth / 4, depth, next: 0, folded: false };
    let mut flags = 0;
    let mut at = Position {
        registers: *from,
        interrupted: 0,
        limit: Limit::of(from.sp, stack_bounds),
        bounds: stack_bounds,
    };
    let mut view = View::now();
    let own_start = SHARED.own_start.load(Ordering::Relaxed);
    let mut own_bytes = SHARED.own_bytes.load(Ordering::Relaxed);
    let mut unknown = 0;
    let mut steps = 0;
    loop {
        let pc = at.registers.pc;
        if pc.wrapping_sub(LOWEST_PC) >= HIGHEST_PC - LOWEST_PC {
            // A return address of null ends threads of some libraries properly.
            flags |= if pc == 0 { 0 } else { STACK_CUT };
            break;
        }
        steps += 1;
        if steps > MOST_STEPS {
            flags |= STACK_CUT;
            break;
        }
        let probe = pc.wrapping_add(at.interrupted).wrapping_sub(1);
        let hit = view.get(probe);
        let rule = match hit {
            Some(code) => {
                if code & 0b110 == 0 {
                    if pc.wrapping_sub(own_start) >= own_bytes {
                        own_bytes = 0;
                        kept.push(pc.wrapping_add(at.interrupted));
                    }
                    if !at.plain(code) {
                        flags |= STACK_CUT;
                        break;
                    }
                    continue;
                }
                Rule::decode(code)
            }
            None => {
                let rule = look_up(view, probe, out.epoch);
                view = View::now();
                rule
            }
        };
        if matches!(rule, Rule::Unknown) {
            // What follows a frame of generated code may be junk, and must not make new sites.
            unknown += 1;
            if unknown == 2 {
                flags |= STACK_NO_UNWIND_DATA;
                break;
            }
        }
        if pc.wrapping_sub(own_start) >= own_bytes {
            own_bytes = 0;
            kept.push(pc.wrapping_add(at.interrupted));
        }
        match at.leave(rule) {
            Left::Frame => {}
            Left::Outermost => break,
            Left::Bad => {
                flags |= STACK_CUT;
                break;
            }
            Left::NoData => {
                flags |= STACK_NO_UNWIND_DATA;
                break;
            }
        }
    }
    let (head, next, folded) = (kept.head, kept.next, kept.folded);
    out.count = next;
    if folded {
        flags |= STACK_FOLDED;
        out.count = depth;
        if flags & STACK_CUT != 0 {
            // The frames in the ring are not the outermost: they would differ with each depth.
            out.count = head;
        } else if let Some(tail) = out.frames.get_mut(head..depth)
            && next - head <= tail.len()
        {
            tail.rotate_left(next - head);
        }
    }
    out.flags = flags;
}

/// The rule of an address that the cache does not have.
#[cold]
#[inline(never)]
fn look_up(view: View, probe: usize, epoch: u32) -> Rule {
    let Some(object) = modules::find(probe) else { return Rule::Unknown };
    modules::meet(&object, epoch);
    let rule = object.unwind_tables().map_or(Rule::NoData, |tables| tables.rule(probe));
    if let Some(code) = rule.encode() {
        view.put(probe, code);
    }
    rule
}

/// How a frame was left.
enum Left {
    Frame,
    Outermost,
    NoData,
    Bad,
}

/// Where the walk stands.
struct Position {
    registers: Registers,
    /// 1 if a signal interrupted the instruction at `pc`, 0 if `pc` is a return address.
    interrupted: usize,
    limit: Limit,
    bounds: Option<(usize, usize)>,
}

impl Position {
    /// Leaves a frame by a code of kind SP or BP.
    #[inline(always)]
    fn plain(&mut self, code: u32) -> bool {
        let Registers { sp, bp, .. } = self.registers;
        let base = if code & 1 == 0 { sp } else { bp };
        let cfa = base.wrapping_add(rule::operand_a(code) as usize * 8);
        if cfa <= sp || cfa > self.limit.end {
            return false;
        }
        let saved = rule::operand_b(code) as usize;
        // SAFETY: the CFA is inside the stack; the word below it is the return address, and the frame
        // pointer was saved below that.
        let (pc, saved_bp) =
            unsafe { (word(cfa.wrapping_sub(8)), word(cfa.wrapping_sub(8 + 8 * saved))) };
        self.registers = Registers { pc, sp: cfa, bp: if saved == 0 { bp } else { saved_bp } };
        self.interrupted = 0;
        true
    }

    /// Leaves a frame by any rule.
    fn leave(&mut self, rule: Rule) -> Left {
        let Registers { pc, sp, bp } = self.registers;
        let base_of = |base| if base == Base::Sp { sp } else { bp };
        match rule {
            Rule::Plain { base, offset, bp: saved } => {
                let cfa = base_of(base).wrapping_add_signed(offset as isize);
                self.step_to(cfa, saved)
            }
            Rule::Plt { threshold } => {
                let pushed = pc & 15 >= usize::from(threshold);
                self.step_to(sp.wrapping_add(if pushed { 16 } else { 8 }), Saved::Same)
            }
            Rule::Deref { base, offset, addend, bp: saved } => {
                let place = base_of(base).wrapping_add_signed(offset as isize);
                if place < sp || place > self.limit.end.wrapping_sub(8) {
                    return Left::Bad;
                }
                // SAFETY: a slot of the current frame.
                let cfa = unsafe { word(place) }.wrapping_add_signed(addend as isize);
                if addend != 0 {
                    // The parent of a coroutine's stack: anywhere else.
                    if cfa % 8 != 0 || !(LOWEST_PC..HIGHEST_PC).contains(&cfa) {
                        return Left::Bad;
                    }
                    self.limit = Limit::of(cfa.wrapping_sub(16), self.bounds);
                    self.registers.sp = cfa.wrapping_sub(16);
                }
                self.step_to(cfa, saved)
            }
            Rule::Signal => {
                let end = sp.wrapping_add(arch::SIGNAL_PC + 8);
                if end > self.limit.end && self.limit.certain {
                    return Left::Bad;
                }
                // SAFETY: the kernel wrote its frame here before it called the handler.
                let (pc, new_sp, bp) = unsafe {
                    (
                        word(sp.wrapping_add(arch::SIGNAL_PC)),
                        word(sp.wrapping_add(arch::SIGNAL_SP)),
                        word(sp.wrapping_add(arch::SIGNAL_BP)),
                    )
                };
                self.registers = Registers { pc, sp: new_sp, bp };
                self.interrupted = 1;
                self.limit = Limit::of(new_sp, self.bounds);
                Left::Frame
            }
            Rule::NoData | Rule::Unknown => {
                let inside = self.limit.certain
                    && bp >= sp
                    && bp % 8 == 0
                    && bp <= self.limit.end.wrapping_sub(16);
                if !inside {
                    return Left::NoData;
                }
                // SAFETY: between the stack pointer and the end of a stack that is mapped for certain.
                let (pc, caller_bp) = unsafe { (word(bp + 8), word(bp)) };
                self.registers = Registers { pc, sp: bp + 16, bp: caller_bp };
                self.interrupted = 0;
                Left::Frame
            }
            Rule::Outermost => Left::Outermost,
            Rule::Unsupported => Left::Bad,
        }
    }

    fn step_to(&mut self, cfa: usize, saved: Saved) -> Left {
        let Registers { sp, bp, .. } = self.registers;
        if cfa <= sp || cfa > self.limit.end {
            return Left::Bad;
        }
        let place = match saved {
            Saved::Same => None,
            Saved::Cfa(offset) => Some(cfa.wrapping_add_signed(offset as isize)),
            Saved::Bp(offset) => Some(bp.wrapping_add_signed(offset as isize)),
        };
        let caller_bp = match place {
            None => bp,
            Some(place) if place >= sp.wrapping_sub(128) && place < self.limit.end => {
                // SAFETY: a slot of the current frame (or of the red zone below it).
                unsafe { word(place) }
            }
            Some(_) => return Left::Bad,
        };
        // SAFETY: the CFA is inside the stack, the word below it is the return address.
        let pc = unsafe { word(cfa.wrapping_sub(8)) };
        self.registers = Registers { pc, sp: cfa, bp: caller_bp };
        self.interrupted = 0;
        Left::Frame
    }
}
