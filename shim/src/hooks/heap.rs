//! The heap. `malloc` and `free` are called millions of times a second: their fast path is a
//! countdown in bytes and a bit in a filter, then a jump; no frame, no record, no time.
//!
//! ```text
//! malloc:  countdown -= size; negative → slow; jump to the real one
//! free:    bit of the address in the filter set → slow; jump to the real one
//! ```
//!
//! Whether to sample depends on the size alone, so it is decided before the call; a caller that
//! unwinds or measures finds no frame of ours. With every block recorded the countdown is always below 0.
#![allow(unsafe_code, reason = "hooks; the bootstrap arena")]

use crate::emit::{self, Inside};
use crate::private::{PRIVATE, Private, Status};
use crate::stack::{Registers, apart, here};
use crate::state::heap;
use crate::tls::{self, Tls};
use crate::{real as originals, region, sample, start, sys};
use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use libc::size_t;
use resshim_format::header::Level;
use resshim_format::op::{Kind, Op};

type Malloc = unsafe extern "C-unwind" fn(size_t) -> *mut c_void;
type Calloc = unsafe extern "C-unwind" fn(size_t, size_t) -> *mut c_void;
type Realloc = unsafe extern "C-unwind" fn(*mut c_void, size_t) -> *mut c_void;
type ReallocArray = unsafe extern "C-unwind" fn(*mut c_void, size_t, size_t) -> *mut c_void;
type Free = unsafe extern "C-unwind" fn(*mut c_void);
type Aligned = unsafe extern "C-unwind" fn(size_t, size_t) -> *mut c_void;
type PosixMemalign = unsafe extern "C-unwind" fn(*mut *mut c_void, size_t, size_t) -> c_int;

/// What `malloc` and `free` jump to; at first functions that look the real ones up.
static REAL_MALLOC: AtomicPtr<c_void> = AtomicPtr::new(first_malloc as *mut c_void);
static REAL_FREE: AtomicPtr<c_void> = AtomicPtr::new(first_free as *mut c_void);

/// Hook of `malloc`.
///
/// # Safety
/// That of the real function.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn malloc(size: size_t) -> *mut c_void {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "mov rax, qword ptr fs:[0]",
        "add rax, qword ptr [rip + resshim_tls_block@GOTTPOFF]",
        "sub qword ptr [rax + {left}], rdi",
        "js 2f",
        "jmp qword ptr [rip + {real}]",
        "2:",
        "jmp {slow}",
        ".cfi_endproc",
        left = const core::mem::offset_of!(Tls, heap_left),
        real = sym REAL_MALLOC,
        slow = sym slow_malloc,
    )
}

/// Hook of `free`.
///
/// # Safety
/// That of the real function.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn free(block: *mut c_void) {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "mov rax, rdi",
        "shr rax, 4",
        "imul eax, eax, {factor}",
        "shr eax, 17",
        "mov ecx, eax",
        "shr ecx, 6",
        "lea rdx, [rip + {private} + {filter}]",
        "mov rcx, qword ptr [rdx + rcx * 8]",
        "bt rcx, rax",
        "jc 2f",
        "jmp qword ptr [rip + {real}]",
        "2:",
        "jmp {slow}",
        ".cfi_endproc",
        factor = const heap::FILTER_FACTOR as i32,
        filter = const core::mem::offset_of!(Private, heap_filter),
        private = sym PRIVATE,
        real = sym REAL_FREE,
        slow = sym slow_free,
    )
}

mod real {
    use crate::real::Real;
    macro_rules! reals {
        ($($name:ident $symbol:literal)*) => { $(pub static $name: Real = Real::new($symbol);)* };
    }
    reals! {
        MALLOC c"malloc" FREE c"free" CALLOC c"calloc" REALLOC c"realloc"
        REALLOCARRAY c"reallocarray" POSIX_MEMALIGN c"posix_memalign"
        ALIGNED_ALLOC c"aligned_alloc" MEMALIGN c"memalign" VALLOC c"valloc" PVALLOC c"pvalloc"
    }
}

/// The family's hooks.
pub static HOOKS: &[crate::table::Hook] = &[
    crate::table::Hook { real: &real::MALLOC, settle: Some(settle) },
    crate::table::Hook { real: &real::FREE, settle: None },
    crate::table::Hook { real: &real::CALLOC, settle: None },
    crate::table::Hook { real: &real::REALLOC, settle: None },
    crate::table::Hook { real: &real::REALLOCARRAY, settle: None },
    crate::table::Hook { real: &real::POSIX_MEMALIGN, settle: None },
    crate::table::Hook { real: &real::ALIGNED_ALLOC, settle: None },
    crate::table::Hook { real: &real::MEMALIGN, settle: None },
    crate::table::Hook { real: &real::VALLOC, settle: None },
    crate::table::Hook { real: &real::PVALLOC, settle: None },
];

/// Points the jumps at the real functions.
fn settle() {
    resolving(|| {
        let malloc = real::MALLOC.get();
        let free = real::FREE.get();
        REAL_MALLOC.store(malloc.cast_mut(), Ordering::Relaxed);
        let arena = ARENA_USED.load(Ordering::Relaxed) != 0;
        let free = if arena { free_beside_arena as *const c_void } else { free };
        REAL_FREE.store(free.cast_mut(), Ordering::Relaxed);
    });
}

unsafe extern "C-unwind" fn first_malloc(size: size_t) -> *mut c_void {
    if is_resolving() {
        return from_arena(size);
    }
    settle();
    // SAFETY: the real function with its own prototype.
    unsafe { core::mem::transmute::<*const c_void, Malloc>(real::MALLOC.get())(size) }
}

unsafe extern "C-unwind" fn first_free(block: *mut c_void) {
    if is_in_arena(block) || is_resolving() {
        return;
    }
    settle();
    // SAFETY: as above.
    unsafe { core::mem::transmute::<*const c_void, Free>(real::FREE.get())(block) }
}

unsafe extern "C-unwind" fn free_beside_arena(block: *mut c_void) {
    if !is_in_arena(block) {
        // SAFETY: as above.
        unsafe { core::mem::transmute::<*const c_void, Free>(real::FREE.get())(block) }
    }
}

// Until the real functions are known, looking them up may itself allocate (`dlsym` callocs before
// glibc 2.34): such blocks come from here and are never given back.

const ARENA_BYTES: usize = 16 << 10;
#[repr(align(16))]
struct Arena(core::cell::UnsafeCell<[u8; ARENA_BYTES]>);
// SAFETY: parts are handed out once each, by an atomic count.
unsafe impl Sync for Arena {}
apart! { static ARENA: Arena = "resshim_arena"; }
static ARENA_USED: AtomicUsize = AtomicUsize::new(0);
static RESOLVING: AtomicUsize = AtomicUsize::new(0);

/// Runs `work`, during which this process's allocations come from the arena. The first allocation of
/// a process is made by ld.so, when there is one thread.
fn resolving(work: impl FnOnce()) {
    RESOLVING.fetch_add(1, Ordering::Relaxed);
    work();
    RESOLVING.fetch_sub(1, Ordering::Relaxed);
}

fn is_resolving() -> bool {
    RESOLVING.load(Ordering::Relaxed) != 0
}

fn from_arena(size: usize) -> *mut c_void {
    let size = size.max(1).next_multiple_of(16);
    let at = ARENA_USED.fetch_add(size, Ordering::Relaxed);
    if at + size > ARENA_BYTES {
        originals::set_errno(libc::ENOMEM);
        return core::ptr::null_mut();
    }
    // SAFETY: inside the arena.
    unsafe { ARENA.0.get().cast::<u8>().add(at).cast() }
}

fn is_in_arena(block: *mut c_void) -> bool {
    let start = ARENA.0.get() as usize;
    (start..start + ARENA_BYTES).contains(&(block as usize))
}

/// Counts `size` down; true when a block of it is to be sampled.
#[inline(always)]
fn count_down(size: usize) -> bool {
    let block = tls::block();
    // SAFETY: this thread's own block.
    unsafe {
        let left = (*block).heap_left.wrapping_sub(size as i64);
        (*block).heap_left = left;
        left < 0
    }
}

/// Draws the distance to the next sample, and says whether this block is one: a thread's first
/// slow call only starts its countdown.
fn draw(inside: &Inside) -> bool {
    let block = inside.tls();
    let mean = heap::mean(inside);
    // SAFETY: this thread's own block.
    unsafe {
        let first = (*block).random == 0;
        if first {
            let seed = crate::index::hash(inside.now ^ (inside.tid() as u64) << 32);
            (*block).random = seed | 1;
        }
        if inside.level(Kind::Heap) == Level::Off {
            (*block).heap_left = i64::MAX;
            return false;
        }
        if mean <= 1 {
            heap::watch_all();
        }
        (*block).heap_left = sample::next(&mut (*block).random, mean);
        !first || mean <= 1
    }
}

/// A thread's first slow call only starts its countdown; that is not worth making a region.
fn is_first() -> bool {
    let block = tls::block();
    let settings = start::settings();
    // SAFETY: this thread's own block.
    unsafe {
        if (*block).random != 0 || settings.heap_mean <= 1 || region::live().is_some() {
            return false;
        }
        (*block).random = crate::index::hash(sys::counter() ^ block as u64) | 1;
        (*block).heap_left = sample::next(&mut (*block).random, settings.heap_mean);
    }
    true
}

/// After an allocation for which the countdown had run out.
#[inline(never)]
fn sampled(at: Registers, op: Op, result: *mut c_void, size: usize) {
    if !start::has_started() || is_first() {
        return;
    }
    match emit::enter(at) {
        Some(inside) => {
            // SAFETY: this thread's own block.
            let elsewhere = unsafe { (*tls::block()).not_for_heap } != 0;
            // With every block recorded this one is, too: its address must not be mistaken for another's.
            let wanted = !elsewhere || heap::mean(&inside) <= 1;
            if draw(&inside) && wanted && !result.is_null() {
                heap::acquired(&inside, op, result as usize, size as u64);
            }
            inside.leave();
        }
        // Another thread, or this one further out, makes the region now: the next block is asked for again.
        None if PRIVATE.status() == Status::Making => {}
        None => {
            // No region: not asked again soon.
            // SAFETY: this thread's own block.
            unsafe { (*tls::block()).heap_left = 1 << 20 };
        }
    }
}

unsafe extern "C-unwind" fn slow_malloc(size: size_t) -> *mut c_void {
    let at = here();
    // SAFETY: the real function, or the one that looks it up.
    let result = unsafe {
        let real: Malloc = core::mem::transmute(REAL_MALLOC.load(Ordering::Relaxed));
        real(size)
    };
    sampled(at, Op::Malloc, result, size);
    result
}

unsafe extern "C-unwind" fn slow_free(block: *mut c_void) {
    before_release(here(), block, Op::Free);
    // SAFETY: the real function, or the one that looks it up.
    unsafe {
        let real: Free = core::mem::transmute(REAL_FREE.load(Ordering::Relaxed));
        real(block)
    }
}

fn before_release(at: Registers, block: *mut c_void, op: Op) {
    if let Some(inside) = emit::enter(at) {
        match heap::take(&inside, block as usize) {
            Some(taken) => heap::released(&inside, op, taken),
            None => heap::unknown(&inside, block as usize),
        }
        inside.leave();
    }
}

/// Hook of `calloc`.
///
/// # Safety
/// That of the real function.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn calloc(count: size_t, size: size_t) -> *mut c_void {
    if is_resolving() {
        return from_arena(count.saturating_mul(size));
    }
    let slow = count_down(count.wrapping_mul(size));
    let at = here();
    // SAFETY: the real function with its own prototype.
    let result =
        unsafe { core::mem::transmute::<*const c_void, Calloc>(found(&real::CALLOC))(count, size) };
    if slow {
        sampled(at, Op::Calloc, result, count.wrapping_mul(size));
    }
    result
}

/// The real function; its look-up may allocate.
#[inline(always)]
fn found(real: &'static originals::Real) -> *const c_void {
    if start::has_started() {
        return real.get();
    }
    let mut address = core::ptr::null();
    resolving(|| address = real.get());
    address
}

/// Before a block changes its size, and perhaps its place: it is taken out of the tables.
#[inline(always)]
fn take_for_resize(at: Registers, block: *mut c_void) -> Option<heap::Taken> {
    if block.is_null() || !heap::may_be_sampled(block as usize) {
        return None;
    }
    let inside = emit::enter(at)?;
    let taken = heap::take(&inside, block as usize);
    inside.leave();
    taken
}

/// After it: the old block is gone, unless the call failed, which leaves it as it was (realloc(3)).
#[inline(always)]
fn put_after_resize(at: Registers, old: Option<heap::Taken>, result: *mut c_void, size: usize) {
    if let Some(old) = old
        && let Some(inside) = emit::enter(at)
    {
        if result.is_null() && size != 0 {
            heap::put(&inside, old);
        } else {
            heap::released(&inside, Op::ReallocFree, old);
        }
        inside.leave();
    }
}

/// Hook of `realloc`.
///
/// # Safety
/// That of the real function.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn realloc(block: *mut c_void, size: size_t) -> *mut c_void {
    let at = here();
    if is_resolving() || is_in_arena(block) {
        return moved_from_arena(block, size);
    }
    let slow = count_down(size);
    let own = tls::block();
    // SAFETY: this thread's own block.
    unsafe { (*own).reallocs = (*own).reallocs.wrapping_add(1) };
    let old = take_for_resize(at, block);
    // SAFETY: the real function with its own prototype.
    let result = unsafe {
        core::mem::transmute::<*const c_void, Realloc>(found(&real::REALLOC))(block, size)
    };
    put_after_resize(at, old, result, size);
    if slow {
        sampled(at, Op::Realloc, result, size);
    }
    result
}

#[cold]
fn moved_from_arena(block: *mut c_void, size: usize) -> *mut c_void {
    let new = if is_resolving() {
        from_arena(size)
    } else {
        // SAFETY: our own hook.
        unsafe { malloc(size) }
    };
    if !block.is_null() && !new.is_null() && is_in_arena(block) {
        let room = ARENA.0.get() as usize + ARENA_BYTES - block as usize;
        // SAFETY: reads inside the arena (the old size is not kept), writes at most `size` bytes.
        unsafe { core::ptr::copy(block.cast::<u8>(), new.cast::<u8>(), size.min(room)) };
    }
    new
}

/// Whether the real `reallocarray` calls our `realloc`, as glibc's does (malloc/reallocarray.c), or is
/// an allocator's own: 0 = not seen yet.
static REALLOCARRAY: AtomicUsize = AtomicUsize::new(0);
const CALLS_REALLOC: usize = 1;
const IS_ITS_OWN: usize = 2;

/// Hook of `reallocarray`.
///
/// # Safety
/// That of the real function.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn reallocarray(
    block: *mut c_void,
    count: size_t,
    size: size_t,
) -> *mut c_void {
    let at = here();
    let bytes = count.saturating_mul(size);
    let own = tls::block();
    let kept = REALLOCARRAY.load(Ordering::Relaxed) == IS_ITS_OWN;
    // SAFETY: this thread's own block.
    let before = unsafe { (*own).reallocs };
    let old = if kept { take_for_resize(at, block) } else { None };
    let real = found(&real::REALLOCARRAY);
    // SAFETY: the real function with its own prototype.
    let result =
        unsafe { core::mem::transmute::<*const c_void, ReallocArray>(real)(block, count, size) };
    if kept {
        put_after_resize(at, old, result, bytes);
        if count_down(bytes) {
            sampled(at, Op::Realloc, result, bytes);
        }
    } else if !result.is_null() {
        // SAFETY: as above.
        let met = unsafe { (*own).reallocs } != before;
        let kind = if met { CALLS_REALLOC } else { IS_ITS_OWN };
        REALLOCARRAY.store(kind, Ordering::Relaxed);
    }
    result
}

/// Hook of `posix_memalign`.
///
/// # Safety
/// That of the real function.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn posix_memalign(
    to: *mut *mut c_void,
    alignment: size_t,
    size: size_t,
) -> c_int {
    let at = here();
    let slow = count_down(size);
    let real = found(&real::POSIX_MEMALIGN);
    // SAFETY: the real function with its own prototype; it writes `to` where it gives 0.
    unsafe {
        let error = core::mem::transmute::<*const c_void, PosixMemalign>(real)(to, alignment, size);
        if slow {
            let result = if error == 0 { *to } else { core::ptr::null_mut() };
            sampled(at, Op::AlignedAlloc, result, size);
        }
        error
    }
}

macro_rules! aligned {
    ($($name:ident $real:ident)*) => { $(
        /// An aligned allocation.
        ///
        /// # Safety
        /// That of the real function.
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $name(alignment: size_t, size: size_t) -> *mut c_void {
            let at = here();
            let slow = count_down(size);
            // SAFETY: the real function with its own prototype.
            let result = unsafe {
                core::mem::transmute::<*const c_void, Aligned>(found(&real::$real))(alignment, size)
            };
            if slow {
                sampled(at, Op::AlignedAlloc, result, size);
            }
            result
        }
    )* };
}
aligned! { aligned_alloc ALIGNED_ALLOC memalign MEMALIGN }

macro_rules! page_aligned {
    ($($name:ident $real:ident)*) => { $(
        /// A page-aligned allocation.
        ///
        /// # Safety
        /// That of the real function.
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $name(size: size_t) -> *mut c_void {
            let at = here();
            let slow = count_down(size);
            // SAFETY: the real function with its own prototype.
            let result = unsafe {
                core::mem::transmute::<*const c_void, Malloc>(found(&real::$real))(size)
            };
            if slow {
                sampled(at, Op::AlignedAlloc, result, size);
            }
            result
        }
    )* };
}
page_aligned! { valloc VALLOC pvalloc PVALLOC }

/// The allocator library that brings an `operator new` beside its `malloc`: C++ blocks do not pass through
/// `malloc` then (jemalloc, tcmalloc and mimalloc do this; libstdc++'s calls `malloc`).
pub fn library_with_own_new() -> Option<&'static [u8]> {
    let new = originals::find(c"_Znwm");
    let malloc = originals::next(c"malloc");
    if new.is_null() || malloc.is_null() {
        return None;
    }
    let (new, malloc) =
        (crate::stack::module_of(new as usize)?, crate::stack::module_of(malloc as usize)?);
    if new.start != malloc.start {
        return None;
    }
    new.path.rsplit(|byte| *byte == b'/').next()
}

/// The `malloc` that the program calls, where that is not ours: the executable's own, or that of a
/// library that was put before us (a sanitizer's runtime). 0 = ours.
pub fn malloc_of_others() -> usize {
    let first = originals::find(c"malloc") as usize;
    // Not by comparing with our `malloc`: its name is resolved to the same first definition.
    let ours = crate::stack::module_of(library_with_own_new as *const () as usize);
    let is_ours = match (ours, crate::stack::module_of(first)) {
        (Some(ours), Some(theirs)) => {
            ours.start == theirs.start || (theirs.path.is_empty() && is_jump(first))
        }
        _ => first == malloc as *const () as usize,
    };
    if is_ours { 0 } else { first }
}

/// Whether code is an entry of a procedure linkage table: a program that is not position-independent and
/// takes the address of a function has that one as the function's, without defining it.
fn is_jump(code: usize) -> bool {
    // SAFETY: the beginning of a function or of such an entry, 16 bytes long at least.
    let bytes = unsafe { *core::ptr::with_exposed_provenance::<[u8; 10]>(code) };
    let bytes = bytes.strip_prefix(&[0xf3, 0x0f, 0x1e, 0xfa]).unwrap_or(&bytes);
    let bytes = bytes.strip_prefix(&[0xf2]).unwrap_or(bytes);
    bytes.starts_with(&[0xff, 0x25])
}
