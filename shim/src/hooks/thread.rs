//! Threads: creation through a trampoline, join, detach, end.
#![allow(unsafe_code, reason = "hooks")]

use crate::emit::{self, Inside};
use crate::stack::here;
use crate::state::threads::{self, Runs};
use crate::table::hooks;
use crate::{real as originals, tls};
use core::ffi::{c_int, c_uint, c_void};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use libc::{pthread_attr_t, pthread_t, timespec};
use resshim_format::record::ThreadHandle;

hooks! {
    fn pthread_join(thread: pthread_t, value: *mut *mut c_void) -> c_int; libc live;
        before(inside) threads::find(inside, thread);
        after(inside, result, handle) after_join(&inside, handle, result);
    fn pthread_tryjoin_np(thread: pthread_t, value: *mut *mut c_void) -> c_int; own live;
        before(inside) threads::find(inside, thread);
        after(inside, result, handle) after_join(&inside, handle, result);
    fn pthread_timedjoin_np(thread: pthread_t, value: *mut *mut c_void, until: *const timespec) -> c_int; own live;
        before(inside) threads::find(inside, thread);
        after(inside, result, handle) after_join(&inside, handle, result);
    fn pthread_clockjoin_np(thread: pthread_t, value: *mut *mut c_void, clock: libc::clockid_t, until: *const timespec) -> c_int; own live;
        before(inside) threads::find(inside, thread);
        after(inside, result, handle) after_join(&inside, handle, result);
    fn pthread_detach(thread: pthread_t) -> c_int; libc live;
        before(inside) threads::find(inside, thread);
        after(inside, result, handle) after_detach(&inside, handle, result);
    fn thrd_join(thread: pthread_t, value: *mut c_int) -> c_int; own live;
        before(inside) threads::find(inside, thread);
        after(inside, result, handle) after_join(&inside, handle, result);
    fn thrd_detach(thread: pthread_t) -> c_int; own live;
        before(inside) threads::find(inside, thread);
        after(inside, result, handle) after_detach(&inside, handle, result);
    by_hand: pthread_create, thrd_create;
}

fn after_join(inside: &Inside, handle: Option<Option<ThreadHandle>>, error: c_int) {
    // C11's `thrd_success` is 0 as well.
    if let (Some(Some(handle)), 0) = (handle, error) {
        threads::joined(inside, handle);
    }
}

fn after_detach(inside: &Inside, handle: Option<Option<ThreadHandle>>, error: c_int) {
    if let (Some(Some(handle)), 0) = (handle, error) {
        let stack = inside.stack(crate::start::settings().stack_depth);
        threads::detach(inside, handle, stack);
    }
}

type Start = unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void;
type StartC11 = unsafe extern "C-unwind" fn(*mut c_void) -> c_int;

/// Hook of `pthread_create`: the one call whose arguments are changed, to a trampoline and a row.
///
/// # Safety
/// That of the real function.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn pthread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    type Create = unsafe extern "C-unwind" fn(
        *mut pthread_t,
        *const pthread_attr_t,
        Start,
        *mut c_void,
    ) -> c_int;
    let at = here();
    // SAFETY: the real function with its own prototype.
    let create: Create = unsafe { core::mem::transmute(real::pthread_create.get()) };
    // SAFETY: attributes that the caller gives to the real function as well.
    let stack_bytes = unsafe { stack_bytes(attributes) };
    let runs = Runs { start: start as usize, argument: argument as usize, stack_bytes };
    let Some(handle) = claim(at, runs) else {
        // SAFETY: as the caller asked.
        return unsafe { create(thread, attributes, start, argument) };
    };
    let block = tls::block();
    // SAFETY: the trampoline calls `start(argument)` in the new thread; the block is this thread's own.
    // Not a cancellation point: the mark is taken back.
    let error = unsafe {
        (*block).not_for_heap += 1;
        let error = create(thread, attributes, trampoline, handle.pack() as *mut c_void);
        (*block).not_for_heap -= 1;
        error
    };
    // SAFETY: on success glibc has written the thread's id.
    unsafe { created(at, handle, thread, is_detached(attributes), error) };
    error
}

/// Hook of C11's `thrd_create`.
///
/// # Safety
/// That of the real function.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn thrd_create(
    thread: *mut pthread_t,
    start: StartC11,
    argument: *mut c_void,
) -> c_int {
    type Create = unsafe extern "C-unwind" fn(*mut pthread_t, StartC11, *mut c_void) -> c_int;
    let at = here();
    // SAFETY: the real function with its own prototype.
    let create: Create = unsafe { core::mem::transmute(real::thrd_create.get()) };
    let runs = Runs { start: start as usize, argument: argument as usize, stack_bytes: 0 };
    let Some(handle) = claim(at, runs) else {
        // SAFETY: as the caller asked.
        return unsafe { create(thread, start, argument) };
    };
    // SAFETY: the trampoline calls `start(argument)` in the new thread.
    let error = unsafe { create(thread, trampoline_c11, handle.pack() as *mut c_void) };
    // `thrd_nomem` is 3, `thrd_error` 2 (threads.h).
    let errno = match error {
        0 => 0,
        3 => libc::ENOMEM,
        _ => libc::EAGAIN,
    };
    // SAFETY: on success glibc has written the thread's id.
    unsafe { created(at, handle, thread, false, errno) };
    error
}

fn claim(at: crate::stack::Registers, runs: Runs) -> Option<ThreadHandle> {
    let inside = emit::enter(at)?;
    let handle = threads::claim(&inside, runs);
    inside.leave();
    handle
}

/// # Safety
/// `thread` points at the id where `error` is 0.
unsafe fn created(
    at: crate::stack::Registers,
    handle: ThreadHandle,
    thread: *mut pthread_t,
    detached: bool,
    error: c_int,
) {
    if let Some(inside) = emit::enter(at) {
        // SAFETY: by the caller's promise.
        let id = if error == 0 { unsafe { *thread } } else { 0 };
        threads::created(&inside, handle, id, detached, error);
        inside.leave();
    }
}

type StackBytes = unsafe extern "C" fn(*const pthread_attr_t, *mut usize) -> c_int;
static STACK_BYTES: AtomicUsize = AtomicUsize::new(0);

/// The size that these attributes ask for, 0 = not known.
///
/// # Safety
/// They are attributes, or null.
unsafe fn stack_bytes(attributes: *const pthread_attr_t) -> usize {
    let get = STACK_BYTES.load(Ordering::Relaxed);
    if attributes.is_null() || get == 0 {
        return 0;
    }
    let mut bytes = 0;
    // SAFETY: glibc's prototype; it reads a field of the attributes.
    let error = unsafe { core::mem::transmute::<usize, StackBytes>(get)(attributes, &mut bytes) };
    if error == 0 { bytes } else { 0 }
}

/// Whether a thread with these attributes is made detached.
unsafe fn is_detached(attributes: *const pthread_attr_t) -> bool {
    if attributes.is_null() {
        return false;
    }
    let mut state: c_int = 0;
    unsafe extern "C" {
        fn pthread_attr_getdetachstate(
            attributes: *const pthread_attr_t,
            state: *mut c_int,
        ) -> c_int;
    }
    // SAFETY: attributes that glibc has just accepted.
    unsafe { pthread_attr_getdetachstate(attributes, &mut state) };
    state == libc::PTHREAD_CREATE_DETACHED
}

unsafe extern "C-unwind" fn trampoline(token: *mut c_void) -> *mut c_void {
    let Runs { start, argument, .. } = begin(token);
    // SAFETY: stored by `pthread_create` from its caller's arguments.
    unsafe { core::mem::transmute::<usize, Start>(start)(argument as *mut c_void) }
}

unsafe extern "C-unwind" fn trampoline_c11(token: *mut c_void) -> c_int {
    let Runs { start, argument, .. } = begin(token);
    // SAFETY: stored by `thrd_create` from its caller's arguments.
    unsafe { core::mem::transmute::<usize, StartC11>(start)(argument as *mut c_void) }
}

/// First thing in a new thread: what it runs; its row learns of it.
fn begin(token: *mut c_void) -> Runs {
    let handle = ThreadHandle::unpack(token as u64);
    let runs = threads::start_of(handle);
    tls::set_stack_bytes(runs.stack_bytes);
    if let Some(inside) = emit::enter(here()) {
        // SAFETY: pthread_self always succeeds.
        threads::started(&inside, handle, unsafe { libc::pthread_self() });
        let tls = inside.tls();
        // SAFETY: this thread's own block.
        unsafe {
            (*tls).thread_row = handle.number;
            (*tls).thread_generation = handle.generation;
        }
        inside.leave();
        arm(1);
    }
    runs
}

static KEY: AtomicU32 = AtomicU32::new(u32::MAX);
static SET: AtomicUsize = AtomicUsize::new(0);

type KeyCreate = unsafe extern "C" fn(*mut c_uint, unsafe extern "C" fn(*mut c_void)) -> c_int;
type SetSpecific = unsafe extern "C" fn(c_uint, *const c_void) -> c_int;

/// Once at start: the key whose destructor tells that a thread ends. Looked up by name: where the C
/// library has no threads in it (before 2.34) and none is loaded, there is none.
pub fn prepare() {
    STACK_BYTES.store(originals::find(c"pthread_attr_getstacksize") as usize, Ordering::Relaxed);
    let create = originals::find(c"pthread_key_create");
    let set = originals::find(c"pthread_setspecific");
    if create.is_null() || set.is_null() {
        return;
    }
    let mut key = 0;
    // SAFETY: glibc's prototypes.
    let made = unsafe { core::mem::transmute::<*mut c_void, KeyCreate>(create)(&mut key, ending) };
    if made == 0 {
        SET.store(set as usize, Ordering::Relaxed);
        KEY.store(key, Ordering::Release);
    }
}

fn arm(round: usize) {
    let key = KEY.load(Ordering::Acquire);
    let set = SET.load(Ordering::Relaxed);
    if set != 0 {
        // SAFETY: glibc's prototype; a key made at start has its slot in the thread's own block,
        // so this does not allocate.
        unsafe {
            core::mem::transmute::<usize, SetSpecific>(set)(key, round as *const c_void);
        }
    }
}

/// Rounds of destructors that glibc runs (`PTHREAD_DESTRUCTOR_ITERATIONS`).
const ROUNDS: u32 = 4;

/// Destructor of the key: sets itself again up to the last round, so that whatever other
/// destructors do is still this thread's.
unsafe extern "C" fn ending(_: *mut c_void) {
    let block = tls::block();
    // SAFETY: this thread's own block.
    let round = unsafe {
        (*block).ending += 1;
        (*block).ending
    };
    if round < ROUNDS {
        arm(round as usize + 1);
        return;
    }
    if let Some(inside) = emit::enter(here()) {
        // SAFETY: as above.
        let handle = unsafe {
            ThreadHandle { number: (*block).thread_row, generation: (*block).thread_generation }
        };
        if handle.number != 0 {
            threads::ended(&inside, handle);
        }
        inside.leave();
    }
    emit::park();
}
