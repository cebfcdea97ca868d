//! The shim's stack capture as a library of its own, so that programs can hold it against libgcc.
//!
//! The shim itself cannot be linked (it interposes), and exports nothing of this.

#![allow(unsafe_code, reason = "C ABI")]

#[path = "../../shim/src/stack/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the shim's core uses the rest")]
mod stack;

use stack::{ModuleInfo, Stack, Walks};
use std::ffi::{c_char, c_int};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

stack::apart! { static WALKS: Walks = "probe_walks"; }
/// Stacks that were known, as the program asked.
static KNOWN: AtomicUsize = AtomicUsize::new(0);

/// What the module hook was told, as C programs read it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Module {
    start: usize,
    end: usize,
    bias: usize,
    build_id_bytes: usize,
    epoch: u32,
    build_id: [u8; 20],
    path: [u8; 256],
}
static MODULES: Mutex<Vec<Module>> = Mutex::new(Vec::new());

fn note_module(info: &ModuleInfo<'_>) {
    let mut path = [0; 256];
    let kept = info.path.len().min(255);
    path[..kept].copy_from_slice(&info.path[..kept]);
    // A signal handler may come while the list is held: it must not wait.
    if let Ok(mut modules) = MODULES.try_lock() {
        modules.push(Module {
            start: info.start,
            end: info.end,
            bias: info.bias,
            build_id_bytes: info.build_id_bytes,
            epoch: info.epoch,
            build_id: info.build_id,
            path,
        });
    }
}

/// Hands out `/proc/self/maps` as the shim does, by system calls that neither allocate nor lock.
fn read_maps(wants_more: &mut dyn FnMut(&[u8]) -> bool) {
    let mut buffer = [0u8; 1024];
    // SAFETY: a valid name; the buffer is as long as it is said to be.
    unsafe {
        let file = libc::open(c"/proc/self/maps".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        loop {
            let count = libc::read(file, buffer.as_mut_ptr().cast(), buffer.len());
            let piece = usize::try_from(count).ok().and_then(|count| buffer.get(..count));
            if !piece.is_some_and(|piece| !piece.is_empty() && wants_more(piece)) {
                break;
            }
        }
        libc::close(file);
    }
}

/// To be called once, before the others. With `PROBE_MAPS` in the environment modules are found as before
/// glibc 2.35.
#[unsafe(no_mangle)]
pub extern "C" fn probe_start() -> c_int {
    // SAFETY: a lookup by name.
    let find = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_dl_find_object".as_ptr()) };
    // SAFETY: as above; the variable is a pointer, written before the first program starts.
    let end = unsafe {
        let at = libc::dlsym(libc::RTLD_DEFAULT, c"__libc_stack_end".as_ptr()).cast::<usize>();
        if at.is_null() { 0 } else { *at }
    };
    MODULES.lock().map(|mut modules| modules.reserve(1024)).ok();
    if std::env::var_os("PROBE_MAPS").is_some() {
        stack::set_maps_reader(read_maps);
    } else {
        stack::set_find_object(find.cast_const().cast());
    }
    stack::set_first_stack_end(end);
    stack::set_module_hook(note_module);
    c_int::from(stack::skip_own_module())
}

/// Captures the caller's stack, from memory where it is known there; gives the number of frames.
///
/// # Safety
/// `frames` has room for `depth` words, `flags` may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_capture(frames: *mut usize, depth: usize, flags: *mut u32) -> usize {
    let mut found = Stack::empty();
    let at = stack::here();
    if WALKS.find(&at, depth, None, Some(&mut found)).is_some() {
        KNOWN.fetch_add(1, Ordering::Relaxed);
    } else {
        stack::capture(&at, depth, None, &mut found);
        let hash = found.frames().iter().fold(found.epoch as u64, |hash, pc| {
            (hash ^ *pc as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
        });
        WALKS.keep(&at, depth, None, &mut found, (hash, 1));
    }
    let kept = found.frames();
    // SAFETY: the caller's promise; no more than `depth` are found.
    unsafe {
        frames.copy_from_nonoverlapping(kept.as_ptr(), kept.len());
        if !flags.is_null() {
            *flags = found.flags;
        }
    }
    kept.len()
}

/// How many of the captured stacks were known.
#[unsafe(no_mangle)]
pub extern "C" fn probe_known() -> usize {
    KNOWN.load(Ordering::Relaxed)
}

/// Captures the caller's stack `times` times over; gives a sum of what was found.
#[unsafe(no_mangle)]
pub extern "C" fn probe_repeat(times: usize, depth: usize) -> usize {
    let mut sum = 0usize;
    let mut found = Stack::empty();
    for _ in 0..times {
        stack::capture(&stack::here(), depth, None, &mut found);
        sum = sum.wrapping_add(found.frames().len());
    }
    sum
}

/// A library has gone.
#[unsafe(no_mangle)]
pub extern "C" fn probe_bump_epoch() -> u32 {
    stack::bump_epoch();
    stack::epoch()
}

/// A fork child begins: announces again what is known.
#[unsafe(no_mangle)]
pub extern "C" fn probe_begin_again() {
    if let Ok(mut modules) = MODULES.lock() {
        modules.clear();
    }
    stack::announce_known();
}

/// The modules announced so far: how many, the first `room` of them copied.
///
/// # Safety
/// `out` has room for `room` of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_modules(out: *mut c_char, room: usize) -> usize {
    let Ok(modules) = MODULES.lock() else { return 0 };
    let count = modules.len().min(room);
    // SAFETY: the caller's promise.
    unsafe { out.cast::<Module>().copy_from_nonoverlapping(modules.as_ptr(), count) };
    modules.len()
}
