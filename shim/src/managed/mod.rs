//! Frames of managed languages: what a thread runs inside an interpreter or a virtual machine.
//!
//! The native stack of such a program tells little: two functions of it that call the same library
//! function come there by the same native frames. So each runtime that is found in the process is asked
//! for the calling thread's own frames, in the same moment in which the native ones are taken.
//!
//! As the native walk, it must not allocate, lock, panic, or call into the runtime in a way that can wait;
//! whatever it reads of the runtime's memory may be in the middle of a change by this very thread.

mod java;
mod python;

use crate::region::Region;
use crate::stack::{MAX_FRAMES, ModuleInfo, Stack};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use resshim_format::table::Runtime;

/// Bit a runtime (1 << its number) that can be asked for frames.
static ACTIVE: AtomicU32 = AtomicU32::new(0);
/// Where the interpreters' own code lies: start and bytes.
/// The last one is of code that a runtime made.
static INTERPRETERS: [[AtomicUsize; 2]; 3] = [const { [const { AtomicUsize::new(0) }; 2] }; 3];
/// What is to be said of the runtimes of this process: see the header's field.
static SAID: AtomicU32 = AtomicU32::new(0);

/// Whether a runtime tears itself down: not yet, seen, told.
static END: AtomicU32 = AtomicU32::new(LIVES);
const LIVES: u32 = 0;
const SEEN: u32 = 1;
const TOLD: u32 = 2;

/// Whether a runtime begins to tear itself down, and it was not told yet: from now on it releases what the
/// program has forgotten.
#[inline(always)]
pub fn begins_to_end() -> bool {
    END.load(Ordering::Relaxed) == SEEN
        && END.compare_exchange(SEEN, TOLD, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// A runtime was seen to tear itself down.
#[cold]
fn ends() {
    let _ = END.compare_exchange(LIVES, SEEN, Ordering::Relaxed, Ordering::Relaxed);
}

/// Whether any runtime can be asked.
#[inline(always)]
pub fn is_active() -> bool {
    ACTIVE.load(Ordering::Relaxed) != 0
}

/// Whether this one can.
fn is(runtime: Runtime) -> bool {
    ACTIVE.load(Ordering::Acquire) & 1 << runtime as u32 != 0
}

/// Managed frames of a thread, as words of a stack.
pub struct Frames {
    words: [u64; MAX_FRAMES],
    /// Where the ring of the newest begins.
    head: usize,
    depth: usize,
    next: usize,
    folded: bool,
}

impl Frames {
    /// None yet; `depth` of them are kept: where there are more, the innermost three quarters and the
    /// outermost quarter, as of native frames.
    pub fn empty(depth: usize) -> Frames {
        let depth = depth.clamp(1, MAX_FRAMES);
        Frames { words: [0; MAX_FRAMES], head: depth - depth / 4, depth, next: 0, folded: false }
    }

    /// Adds the next outer frame: the word of it.
    #[inline(always)]
    pub fn push_word(&mut self, word: u64) {
        if self.next >= self.depth {
            self.next = self.head;
            self.folded = true;
        }
        if let Some(slot) = self.words.get_mut(self.next) {
            *slot = word;
        }
        self.next += 1;
    }

    /// What lies further out is not known: the frames in the ring are not the outermost and would differ with
    /// each depth, so they are left out.
    fn cut(&mut self) {
        if self.folded {
            (self.next, self.folded) = (self.head, false);
        }
    }

    /// Puts the ring in order; whether frames were left out.
    fn finish(&mut self) -> bool {
        if self.folded {
            if let Some(ring) = self.words.get_mut(self.head..self.depth) {
                ring.rotate_left((self.next - self.head).min(ring.len()));
            }
            self.next = self.depth;
        }
        self.folded
    }

    /// The frames, innermost first.
    pub fn words(&self) -> &[u64] {
        self.words.get(..self.next).unwrap_or(&[])
    }
}

/// Asks the runtimes for the calling thread's frames, whose native ones are `native`; whether some were left
/// out.
pub fn collect(region: Region, native: &Stack, out: &mut Frames) -> bool {
    tell(region);
    let cut = (is(Runtime::Java) && java::frames(region, native, out))
        | (is(Runtime::CPython) && python::frames(region, native, out));
    out.finish() | cut
}

/// Where the interpreters' own code lies at the moment.
pub struct Interpreters([[usize; 2]; 3]);

/// Asked once a stack.
#[inline(always)]
pub fn interpreters() -> Interpreters {
    Interpreters(
        INTERPRETERS.each_ref().map(|it| it.each_ref().map(|at| at.load(Ordering::Relaxed))),
    )
}

impl Interpreters {
    /// Whether an address lies in one: by which of its functions a thread came to a line of the program is no part
    /// of a site.
    #[inline(always)]
    pub fn has(&self, pc: usize) -> bool {
        self.0.iter().any(|[start, bytes]| pc.wrapping_sub(*start) < *bytes)
    }
}

/// A runtime was found, and its frames can be read from now on. Its own code lies from `start` to `end`.
pub fn begin(runtime: Runtime, start: usize, end: usize) {
    set_range(runtime as usize - 1, start, end);
    say(runtime, resshim_format::header::RUNTIME_FRAMES);
    ACTIVE.fetch_or(1 << runtime as u32, Ordering::Release);
}

/// The frames of a runtime are not read any more.
fn end(runtime: Runtime) {
    ACTIVE.fetch_and(!(1 << runtime as u32), Ordering::Release);
    let bit = u32::from(resshim_format::header::RUNTIME_FRAMES) << (8 * (runtime as u32 - 1));
    SAID.fetch_and(!bit, Ordering::Relaxed);
}

/// A library is about to be closed: a runtime may be in it.
pub fn before_unload() {
    python::before_unload();
}

/// It was closed.
pub fn after_unload() {
    python::after_unload();
}

/// The unwinder met a module.
pub fn met(module: &ModuleInfo<'_>) {
    java::met(module);
    python::met(module);
}

/// Where a runtime puts code that it makes: the same method is in other places of it from time to time.
pub fn set_generated_code(start: usize, end: usize) {
    set_range(INTERPRETERS.len() - 1, start, end);
}

fn set_range(place: usize, start: usize, end: usize) {
    if let Some([at, bytes]) = INTERPRETERS.get(place) {
        at.store(start, Ordering::Relaxed);
        bytes.store(end.saturating_sub(start), Ordering::Relaxed);
    }
}

/// Says of a runtime what the report shall know: bits of the header's `runtimes`.
pub fn say(runtime: Runtime, bits: u8) {
    SAID.fetch_or(u32::from(bits) << (8 * (runtime as u32 - 1)), Ordering::Relaxed);
    if let Some(region) = crate::region::live() {
        tell(region);
    }
}

/// Tells a region what was said.
pub fn tell(region: Region) {
    let (said, told) = (SAID.load(Ordering::Relaxed), &region.header().runtimes);
    if told.load(Ordering::Relaxed) != said {
        told.store(said, Ordering::Relaxed);
    }
}
