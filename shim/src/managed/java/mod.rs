//! Java: frames of the calling thread by HotSpot's `AsyncGetCallTrace`, as profilers take them.
//!
//! For that the shim is loaded a second time, as an agent of the JVM (`-agentpath`): the VM hands the tables of
//! its functions to it. Ids of methods are made as classes are prepared, since nothing can be made in a hook;
//! names and lines are read in the hook, once a method and line, where the VM keeps them ([`method`]): nothing
//! is copied of the hundred thousand methods whose frames are never met.
//!
//! A VM is asked only on a thread that it knows, outside our own callbacks, from its start to its death. It
//! decides itself whether the thread's stack can be read at the moment: `AsyncGetCallTrace` is made to be
//! called in a signal handler at any instruction.

#![allow(unsafe_code, reason = "asks the VM")]

mod agent;
mod interface;
mod layout;
mod lines;
mod method;

use self::interface::{Jni, MethodId};
use self::layout::Layout;
use self::method::Method;
use super::Frames;
use crate::index::hash;
use crate::private::PRIVATE;
use crate::region::Region;
use crate::stack::{ModuleInfo, Stack};
use crate::state::codes::{self, Code};
use crate::tls;
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicPtr, Ordering};
use resshim_format::header::RUNTIME_NO_AGENT;
use resshim_format::table::{Runtime, managed, unpack_managed};

/// Frames that the VM is asked for, at most.
const MOST_CALLS: usize = 256;

/// `ASGCT_CallFrame` (`forte.cpp`).
#[repr(C)]
#[derive(Clone, Copy)]
struct CallFrame {
    /// Index of a byte code; negative = none (a native method).
    bci: i32,
    /// Null = it has no id yet.
    method: MethodId,
}

/// `ASGCT_CallTrace`.
#[repr(C)]
struct CallTrace {
    env: Jni,
    /// How many there are; from 0 down: why there are none.
    count: i32,
    frames: *mut MaybeUninit<CallFrame>,
}

/// No Java frame on the stack, nobody listens to class loading yet, the thread ends; or the VM is between two
/// of a thread's states (-3, -5, -9), at work for itself: native code always runs in one. Not a loss.
const NOTHING_TO_TELL: [i32; 6] = [0, -1, -8, -3, -5, -9];

type AsyncGetCallTrace = unsafe extern "C" fn(*mut CallTrace, i32, *mut c_void);

/// What is known of the VM of this process.
#[derive(Clone, Copy)]
struct Machine {
    ask: AsyncGetCallTrace,
    layout: Layout,
    /// Where ld.so lies: start and bytes.
    loader: (usize, usize),
}

struct Place(UnsafeCell<MaybeUninit<Machine>>);
// SAFETY: written by the thread that starts the VM, before `MACHINE` points at it; never again.
unsafe impl Sync for Place {}
static PLACE: Place = Place(UnsafeCell::new(MaybeUninit::uninit()));
/// Null before the VM can be asked, and after its death.
static MACHINE: AtomicPtr<Machine> = AtomicPtr::new(core::ptr::null_mut());

/// The unwinder met a module. Nothing more is said of a VM where its agent begins.
pub fn met(module: &ModuleInfo<'_>) {
    if module.path.ends_with(b"/libjvm.so") {
        super::say(Runtime::Java, RUNTIME_NO_AGENT);
    }
}

/// Asks for the Java frames of the calling thread, whose native ones are `native`; true: some were left out.
pub fn frames(region: Region, native: &Stack, out: &mut Frames) -> bool {
    let machine = MACHINE.load(Ordering::Acquire);
    let own = tls::block();
    // SAFETY: null or complete; this thread's own block.
    let (machine, env, is_busy) =
        unsafe { (machine.as_ref(), (*own).java as Jni, (*own).asking != 0) };
    let Some(machine) = machine.filter(|_| !env.is_null() && !is_busy) else { return false };
    // ld.so allocates while it changes what thread-local variables are found by; the VM has such.
    let (loader, bytes) = machine.loader;
    let Some(caller) = native.frames().first().copied() else { return false };
    if caller.wrapping_sub(loader) < bytes {
        return false;
    }
    let mut calls = [const { MaybeUninit::uninit() }; MOST_CALLS];
    let asked = (2 * out.depth).min(MOST_CALLS);
    let mut trace = CallTrace { env, count: 0, frames: calls.as_mut_ptr() };
    // SAFETY: the environment is the calling thread's, there is room for so many frames. Without a context
    // the VM begins at the last Java frame that it has noted for this thread, or gives none.
    unsafe {
        (*own).asking += 1;
        (machine.ask)(&mut trace, asked as i32, core::ptr::null_mut());
        (*own).asking -= 1;
    }
    if trace.count <= 0 {
        if !NOTHING_TO_TELL.contains(&trace.count) {
            region.header().managed_lost.fetch_add(1, Ordering::Relaxed);
        }
        return false;
    }
    let count = (trace.count as usize).min(asked);
    // Where there may be more, the outermost are not known and would differ from time to time.
    let cut = count == asked;
    let kept = if cut { out.head } else { count };
    for call in calls.iter().take(kept) {
        // SAFETY: the VM wrote `count` of them.
        let call = unsafe { call.assume_init() };
        let word = word(region, &machine.layout, call);
        out.push_word(word);
        if unpack_managed(word).2 {
            // What follows is of the thread that carries this virtual one now; the next time it is another.
            return false;
        }
    }
    cut
}

/// The stack's word of a frame; remembered, since finding a line takes some hundred steps.
fn word(region: Region, layout: &Layout, call: CallFrame) -> u64 {
    if call.method.is_null() {
        return managed(0, 0, false);
    }
    // SAFETY: the method is on this thread's stack.
    let target = unsafe { method::target(call.method) };
    let key = hash(call.method.addr() as u64 ^ hash(target as u64 ^ (call.bci as u64) << 48));
    let place = PRIVATE.java_words.get(key as usize % PRIVATE.java_words.len());
    if let Some([check, word]) = place {
        let word = word.load(Ordering::Relaxed);
        // Two threads may write at once: the check is of both words.
        if word != 0 && check.load(Ordering::Relaxed) == key ^ word {
            return word;
        }
    }
    // SAFETY: as above.
    let Some(method) = (unsafe { Method::of(target, layout) }) else {
        return managed(0, 0, false);
    };
    let row = codes::row(region, method.identity(), |give| {
        method.describe(|name, file| {
            give(&Code {
                runtime: Runtime::Java,
                address: call.method.addr() as u64,
                first_line: method.line(0),
                name,
                file,
            });
        });
    });
    let word = managed(row, method.line(call.bci), method.begins_virtual_thread());
    if row != 0
        && let Some([check, place]) = place
    {
        place.store(word, Ordering::Relaxed);
        check.store(key ^ word, Ordering::Relaxed);
    }
    word
}
