//! Call stacks: the program's frames above a hook, by cached unwind rules.
//!
//! Owns the cache pc → [`rule::Rule`], which all threads share, and the registry of modules whose
//! frames were met. A frame that the cache knows costs three loads and a step; one
//! that it does not know is looked up in the module's `.eh_frame_hdr` (found by `_dl_find_object`, read
//! by `gimli`) and remembered. libgcc takes some sixty times longer for the same stack.
//!
//! It must not allocate, lock, panic, use thread-local state of std, or call anything but
//! `_dl_find_object` (lock-free, async-signal-safe; before glibc 2.35 the reader of `/proc/self/maps` in
//! its place) and the module hook: it runs in signal handlers,
//! before constructors, on 16 KiB stacks, inside the dynamic loader. There is no state that an
//! interrupted or forked thread could leave half done: cache entries are single words, evaluation of
//! unwind instructions needs a hundred bytes of the caller's stack.
//!
//! It must not read memory that may be unmapped. Reads are those that unwind information of the code at
//! hand asks for, at addresses above the stack pointer and below the end of the stack as far as that is
//! known ([`walk`]); a frame pointer is believed only inside known bounds of the stack.

#![allow(unsafe_code, reason = "reads the stack and unwind tables in place")]

mod again;
mod apart;
#[cfg(target_arch = "x86_64")]
#[path = "arch_x86_64.rs"]
mod arch;
mod cache;
mod cfi;
mod executable;
mod mapped;
mod modules;
mod rule;
mod walk;

pub use again::Walks;
pub(crate) use apart::apart;
pub use arch::here;
pub use executable::set_program_headers;
pub use mapped::set_reader as set_maps_reader;
pub use modules::{ModuleInfo, announce_known, set_find_object, set_module_hook};
pub use walk::capture;

use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use resshim_format::table::{STACK_CUT, STACK_FOLDED, STACK_NO_UNWIND_DATA};

/// Most frames that a stack can keep, whatever depth is asked for.
pub const MAX_FRAMES: usize = 128;

/// Where a walk begins.
#[derive(Clone, Copy, Debug)]
pub struct Registers {
    /// A return address, or any address inside an instruction that has not changed `sp` and `bp`:
    /// rules are looked up for the byte before it.
    pub pc: usize,
    /// Stack pointer in the frame of `pc` (for a return address: just above it).
    pub sp: usize,
    /// Frame-pointer register in the frame of `pc`.
    pub bp: usize,
}

/// What a walk found.
#[derive(Debug)]
pub struct Stack {
    /// Only the first `count` were written: a kilobyte of zeros would cost a tenth of the walk.
    frames: [MaybeUninit<usize>; MAX_FRAMES],
    /// How many frames there are.
    count: usize,
    /// `STACK_FOLDED`, `STACK_CUT`, `STACK_NO_UNWIND_DATA` of the format's `table`.
    pub flags: u32,
    /// The epoch of `dlclose` in which the frames were read.
    pub epoch: u32,
    /// A signal handler is among the frames: what it interrupted may be half done.
    pub is_interrupted: bool,
}
impl Stack {
    /// No frames. Not a constant, which would be written as a whole.
    #[inline(always)]
    pub fn empty() -> Stack {
        // SAFETY: an array of `MaybeUninit` needs no value.
        let frames =
            unsafe { MaybeUninit::<[MaybeUninit<usize>; MAX_FRAMES]>::uninit().assume_init() };
        Stack { frames, count: 0, flags: 0, epoch: 0, is_interrupted: false }
    }

    /// Takes frames from elsewhere.
    fn fill(&mut self, frames: impl Iterator<Item = usize>) {
        self.count = 0;
        for (slot, frame) in self.frames.iter_mut().zip(frames) {
            slot.write(frame);
            self.count += 1;
        }
    }

    /// Return addresses, innermost first; the call is before them. A frame that a signal interrupted
    /// stands here with the address after the first byte of the interrupted instruction, so that
    /// "one less" names the instruction in every frame.
    pub fn frames(&self) -> &[usize] {
        let written = self.frames.get(..self.count).unwrap_or(&[]);
        // SAFETY: the walk wrote the first `count`; nobody else can raise it beyond them.
        unsafe { written.assume_init_ref() }
    }
}

/// What every walk reads; one cache line, written at start and by `dlclose`.
#[repr(align(64))]
struct Shared {
    /// Number of `dlclose` calls so far.
    epoch: AtomicU32,
    /// Lowest address of this module.
    own_start: AtomicUsize,
    /// Bytes of this module.
    own_bytes: AtomicUsize,
    /// End of the first thread's stack, 0 = not known.
    first_stack_end: AtomicUsize,
    /// Frames in code that is no module's which belong to a stack.
    generated_frames: AtomicUsize,
}
static SHARED: Shared = Shared {
    epoch: AtomicU32::new(0),
    own_start: AtomicUsize::new(0),
    own_bytes: AtomicUsize::new(0),
    first_stack_end: AtomicUsize::new(0),
    generated_frames: AtomicUsize::new(1),
};

/// How many times a library may have gone so far. Addresses mean something only within an epoch.
pub fn epoch() -> u32 {
    SHARED.epoch.load(Ordering::Acquire)
}

/// A library may have gone: what is known about addresses is not to be used any more. To be called
/// after the real `dlclose` has returned (before it, the library's own destructors would still be
/// entered under the new epoch).
pub fn bump_epoch() {
    cache::next_generation();
    SHARED.epoch.fetch_add(1, Ordering::AcqRel);
}

/// Where this module lies: its frames are left out at the inner end of stacks. Without it the frames of
/// the hooks themselves are kept.
pub fn skip_own(start: usize, end: usize) {
    SHARED.own_bytes.store(0, Ordering::Relaxed);
    SHARED.own_start.store(start, Ordering::Release);
    SHARED.own_bytes.store(end.saturating_sub(start), Ordering::Release);
}

/// [`skip_own`] for the module that this code is in, as the dynamic loader knows it; false if it does not.
pub fn skip_own_module() -> bool {
    match modules::find(here().pc) {
        Some(object) => {
            skip_own(object.start, object.end);
            true
        }
        None => false,
    }
}

/// The module that an address lies in, as the dynamic loader knows it.
pub fn module_of(address: usize) -> Option<ModuleInfo<'static>> {
    modules::find(address).map(|object| object.info(epoch()))
}

/// Whether an address lies in the executable.
pub fn is_executable(address: usize) -> bool {
    executable::range_around(address).is_some()
}

/// `__libc_stack_end`: bounds the walk on the first thread's stack.
pub fn set_first_stack_end(end: usize) {
    SHARED.first_stack_end.store(end, Ordering::Relaxed);
}

/// How many frames in code that is no module's belong to a stack; without it one, since what follows it
/// may be junk.
pub fn set_generated_frames(frames: usize) {
    SHARED.generated_frames.store(frames, Ordering::Relaxed);
}
