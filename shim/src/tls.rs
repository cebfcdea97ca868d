//! The only thread-local state of the shim: one hidden initial-exec block of 256 bytes.
//!
//! Why not `thread_local!`: in a shared object it is general-dynamic TLS (`__tls_get_addr`: +19
//! instructions, may allocate), and one with a destructor calls `__cxa_thread_atexit_impl`, which
//! callocs: endless recursion in a process whose `calloc` is ours. Initial-exec needs a place in the
//! static TLS block, which an `LD_PRELOAD` object always gets; 256 bytes, since the block eats the
//! stacks of threads that were made with the smallest one.
//!
//! All zero means: not set up. New threads and processes before our constructor start that way.
#![allow(unsafe_code, reason = "the TLS block is reached through the thread pointer")]

use resshim_format::ring::writer::Cursor;

/// Bytes of the block.
const TLS_BYTES: usize = 256;

/// The block. Field order matters: the heap's fast path finds `heap_left` at offset 0.
#[repr(C, align(64))]
pub struct Tls {
    /// Bytes that may still be allocated before the next heap sample; negative = take the slow path.
    pub heap_left: i64,
    /// Hooks of this thread that are inside the shim now (more than one: signal handlers).
    pub busy: u32,
    /// Kernel thread id, 0 = not asked yet.
    pub tid: u32,
    /// Which incarnation of the process's private state this block belongs to; another one: start afresh.
    pub incarnation: u32,
    /// This thread runs in a vfork child, whose memory is its parent's: nothing is recorded.
    pub in_vfork: u32,
    /// This thread's row of the thread table, 0 = none.
    pub thread_row: u32,
    /// Generation of that row.
    pub thread_generation: u32,
    /// State of this thread's random numbers, 0 = not seeded.
    pub random: u64,
    /// Where this thread writes.
    pub cursor: Cursor,
    /// Rounds of key destructors that have passed.
    pub ending: u32,
    /// Mean for which `heap_left` was drawn, so that a change takes effect.
    pub heap_epoch: u32,
    /// What this thread allocates now belongs to something else (a thread that is being made, what a VM keeps
    /// for our agent): no sample is taken of it.
    pub not_for_heap: u32,
    /// Calls of `realloc` by this thread: `reallocarray` may come to it, or not.
    pub reallocs: u32,
    /// Lowest address of this thread's stack that is mapped for certain, 0 = not known.
    pub stack_low: usize,
    /// Its `JNIEnv`, 0 = it is no thread of a JVM.
    pub java: usize,
    /// This thread asks a managed runtime for its frames, or is in our agent: it is not asked again.
    pub asking: u32,
    /// Times that this thread has left the shim; one in [`crate::emit::TIMED`] is timed.
    pub left: u32,
    /// Waits of this thread that ended without result.
    pub waits: u32,
}

const _: () = assert!(core::mem::size_of::<Tls>() <= TLS_BYTES);

core::arch::global_asm!(
    ".section .tbss.resshim_tls,\"awT\",@nobits",
    ".globl resshim_tls_block",
    ".hidden resshim_tls_block",
    ".type resshim_tls_block,@object",
    ".size resshim_tls_block, 256",
    ".p2align 6",
    "resshim_tls_block:",
    ".zero 256",
    ".text",
);

/// This thread's block. Never null; valid as long as the thread.
#[inline(always)]
pub fn block() -> *mut Tls {
    let block: *mut Tls;
    // SAFETY: the thread pointer plus the block's offset, which ld.so stored in the GOT at load
    // time (initial-exec model); reads two words that always exist.
    unsafe {
        core::arch::asm!(
            "mov {0}, qword ptr fs:[0]",
            "add {0}, qword ptr [rip + resshim_tls_block@GOTTPOFF]",
            out(reg) block,
            options(nostack, readonly),
        );
    }
    block
}

/// Whether this thread runs in a child of vfork.
#[inline(always)]
pub fn is_in_vfork() -> bool {
    // SAFETY: this thread's own block.
    unsafe { (*block()).in_vfork != 0 }
}

/// Counts a wait that ended without result; how many there were (modulo 2^32).
#[inline(always)]
pub fn counts_wait() -> u32 {
    let own = block();
    // SAFETY: this thread's own block.
    unsafe {
        (*own).waits = (*own).waits.wrapping_add(1);
        (*own).waits
    }
}

/// Times that this thread has left the shim (modulo 2^32).
#[inline(always)]
pub fn visits() -> u32 {
    // SAFETY: this thread's own block.
    unsafe { (*block()).left }
}

/// Lowest address and end of what is known of this thread's stack: glibc puts the thread's descriptor at
/// the upper end.
#[inline(always)]
pub fn stack_bounds() -> Option<(usize, usize)> {
    let own = block();
    let thread: usize;
    // SAFETY: this thread's own block; the first word of the thread control block is its own address.
    let low = unsafe {
        core::arch::asm!("mov {}, fs:[0]", out(reg) thread, options(nostack, readonly, preserves_flags));
        (*own).stack_low
    };
    (low != 0 && low < thread).then_some((low, thread))
}

/// Takes the size that this thread's stack was asked to have. What glibc keeps at the upper end (the
/// descriptor, static TLS of every library) counts in it: so much of the lower end is left out.
pub fn set_stack_bytes(bytes: usize) {
    const SMALLEST: usize = 256 << 10;
    if bytes < SMALLEST {
        return;
    }
    let known = bytes - (bytes / 4).max(SMALLEST / 2);
    let own = block();
    // SAFETY: this thread's own block.
    unsafe { (*own).stack_low = (own as usize).saturating_sub(known) };
}
