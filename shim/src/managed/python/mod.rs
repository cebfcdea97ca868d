//! CPython: the frames that the calling thread runs, read where the interpreter keeps them.
//!
//! The interpreter is found when the unwinder meets the module that has `_PyRuntime`: the executable or
//! libpython. A thread's own state is what `PyGILState_GetThisThreadState` gives, a look at the thread's own
//! storage: the holder of the GIL is another thread while a call like `os.open` runs. (The state of a
//! subinterpreter that the thread has switched to before 3.12 is not seen: its caller's frames are.) While the
//! interpreter ends only the thread that ends it is asked: the states of others are freed under them.
//! Nor is one asked whose stack has nothing of the interpreter, or a signal handler, which may have interrupted
//! it between two steps.
//!
//! The chain of frames is this thread's own and whole whenever one of its calls leads here; what the frames
//! point at lives as long as they do, with two exceptions that are seen to: 3.11 gives a frame's piece of the
//! stack back while it is still the innermost one, and a code object may be the next one at an address: its
//! words are part of the key under which a line is remembered. Before a code object is read the first time
//! its type is looked at, as are those of its strings.

#![allow(unsafe_code, reason = "reads the interpreter's structures")]

mod layout;
mod lines;
mod objects;
mod text;
mod walk;

use self::layout::{DESCRIPTION_WORDS, Layout};
use self::objects::{is_place, word};
use super::Frames;
use crate::real::symbols::{self, Module};
use crate::region::Region;
use crate::stack::{self, ModuleInfo, Stack};
use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::mem::MaybeUninit;
use core::ptr::with_exposed_provenance;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use resshim_format::header::{RUNTIME_UNKNOWN_BUILD, RUNTIME_UNKNOWN_VERSION};
use resshim_format::table::{Runtime, STACK_CUT, STACK_FOLDED, STACK_NO_UNWIND_DATA};

type ThisThread = unsafe extern "C" fn() -> usize;

/// What is known of the interpreter of this process.
struct Interpreter {
    minor: u32,
    layout: Layout,
    this_thread: ThisThread,
    /// Address of `_PyRuntime`.
    runtime: usize,
    /// The module that it is in.
    start: usize,
    end: usize,
    /// Where ld.so lies, start and bytes: it allocates while it changes what thread-local variables are found
    /// by, and from 3.14 on the thread's state is in one.
    loader: (usize, usize),
    code_type: usize,
    text_type: usize,
    bytes_type: usize,
}

struct Place(UnsafeCell<MaybeUninit<Interpreter>>);
// SAFETY: each is written once, by the thread that wins `FOUND`, before anybody is told to read it.
unsafe impl Sync for Place {}
crate::stack::apart! {
    /// One after the other, as libraries with an interpreter are opened and closed.
    static PLACES: [Place; 8] = "resshim_pythons";
}
/// Which of them is the newest: one more than its index.
static NEWEST: AtomicUsize = AtomicUsize::new(0);

const UNKNOWN: u32 = 0;
const LOOKING: u32 = 1;
const READY: u32 = 2;
const REFUSED: u32 = 3;
/// Its library was closed.
const CLOSED: u32 = 4;
static FOUND: AtomicU32 = AtomicU32::new(UNKNOWN);
/// `dlclose` calls under way.
static UNLOADING: AtomicU32 = AtomicU32::new(0);

/// A module was met: if the interpreter is in it, its frames are read from now on.
pub fn met(module: &ModuleInfo<'_>) {
    let found = FOUND.load(Ordering::Relaxed);
    if module.dynamic == 0 || !matches!(found, UNKNOWN | CLOSED) {
        return;
    }
    // SAFETY: one of its functions is on this thread's stack.
    let Some(symbols) = (unsafe { Module::loaded(module.bias, module.dynamic) }) else { return };
    let Some(runtime) = symbols.own(c"_PyRuntime") else { return };
    if FOUND.compare_exchange(found, LOOKING, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        return;
    }
    let newest = NEWEST.load(Ordering::Relaxed);
    let Some(place) = PLACES.get(newest) else {
        FOUND.store(REFUSED, Ordering::Release);
        return;
    };
    match interpreter(&symbols, runtime, module) {
        Ok(found) => {
            // SAFETY: only the winner comes here, and nobody reads before `READY`.
            unsafe { (*place.0.get()).write(found) };
            NEWEST.store(newest + 1, Ordering::Release);
            FOUND.store(READY, Ordering::Release);
            let (start, end) = if is_pythons(module) { (module.start, module.end) } else { (0, 0) };
            super::begin(Runtime::CPython, start, end);
        }
        Err(why) => {
            FOUND.store(REFUSED, Ordering::Release);
            super::say(Runtime::CPython, why);
        }
    }
}

/// Whether a module is the interpreter alone, and no program that has it built in.
fn is_pythons(module: &ModuleInfo<'_>) -> bool {
    let mut own = [0; 512];
    let path = if module.path.is_empty() {
        let length = crate::sys::read_link(c"/proc/self/exe", &mut own).unwrap_or(0);
        own.get(..length).unwrap_or(&[])
    } else {
        module.path
    };
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    name.starts_with(b"python") || name.starts_with(b"libpython")
}

fn interpreter(
    symbols: &Module,
    runtime: usize,
    module: &ModuleInfo<'_>,
) -> Result<Interpreter, u8> {
    let find = |name: &CStr| symbols.own(name).ok_or(RUNTIME_UNKNOWN_VERSION);
    let this_thread = find(c"PyGILState_GetThisThreadState")?;
    // 3.11 and later say it; the two before are told by what they brought.
    let minor = match symbols.own(c"Py_Version") {
        // SAFETY: `const unsigned long Py_Version`, `PY_VERSION_HEX`.
        Some(at) => match unsafe { word(at) } >> 16 {
            hex if hex >> 8 == 3 => (hex & 255) as u32,
            _ => return Err(RUNTIME_UNKNOWN_VERSION),
        },
        None if symbols.own(c"PyIter_Send").is_some() => 10,
        None if symbols.own(c"PyThreadState_GetFrame").is_some() => 9,
        None => return Err(RUNTIME_UNKNOWN_VERSION),
    };
    // A debugging build has other heads of objects, or other states.
    if symbols.own(c"_Py_RefTotal").is_some() || symbols.own(c"_Py_AddToAllObjects").is_some() {
        return Err(RUNTIME_UNKNOWN_BUILD);
    }
    let layout = match minor {
        13.. => {
            // SAFETY: the structure begins with its description, which is longer.
            let words = unsafe { &*with_exposed_provenance::<[u64; DESCRIPTION_WORDS]>(runtime) };
            match layout::described(minor, words) {
                Some(layout) => layout,
                None if minor > 14 => return Err(RUNTIME_UNKNOWN_VERSION),
                None => return Err(RUNTIME_UNKNOWN_BUILD),
            }
        }
        _ => layout::of_version(minor).ok_or(RUNTIME_UNKNOWN_VERSION)?,
    };
    // A program that names one of these has its own copy of it, and then that one is everybody's.
    let executable = symbols::executable();
    let find_type = |name: &CStr| {
        let copy = executable.as_ref().and_then(|executable| executable.own(name));
        copy.map_or_else(|| find(name), Ok)
    };
    let code_type = find_type(c"PyCode_Type")?;
    let frame_type = find_type(c"PyFrame_Type")?;
    // SAFETY: variables of the interpreter.
    let fits = unsafe {
        word(code_type + layout.heads.type_size) == layout.code_size
            && layout
                .frame_size
                .is_none_or(|size| word(frame_type + layout.heads.type_size) == size)
    };
    if !fits {
        return Err(RUNTIME_UNKNOWN_BUILD);
    }
    let loader = match minor {
        14.. => stack::module_of(symbols::inside_loader()),
        _ => None,
    };
    Ok(Interpreter {
        minor,
        layout,
        runtime,
        start: module.start,
        end: module.end,
        loader: loader.map_or((0, 0), |loader| (loader.start, loader.end - loader.start)),
        // SAFETY: the function of this name has this type in all versions.
        this_thread: unsafe {
            core::mem::transmute::<*const (), ThisThread>(with_exposed_provenance(this_thread))
        },
        code_type,
        text_type: find_type(c"PyUnicode_Type")?,
        bytes_type: find_type(c"PyBytes_Type")?,
    })
}

/// Pushes the calling thread's frames; true: there were more than are looked at.
pub fn frames(region: Region, native: &Stack, out: &mut Frames) -> bool {
    let Some(python) = newest() else { return false };
    if FOUND.load(Ordering::Acquire) != READY && !python.is_back(native)
        || UNLOADING.load(Ordering::Acquire) != 0 && !python.is_the_programs()
        || native.is_interrupted
        || !python.may_be_on(native)
    {
        return false;
    }
    // SAFETY: a variable of the interpreter.
    let ending = unsafe { word(python.runtime + python.layout.finalizing) };
    if ending != 0 {
        super::ends();
    }
    let (loader, bytes) = python.loader;
    let caller = native.frames().first().copied().unwrap_or(0);
    if caller.wrapping_sub(loader) < bytes {
        return false;
    }
    // SAFETY: looks at this thread's storage; before the interpreter begins and after its end it gives null.
    let thread = unsafe { (python.this_thread)() };
    if !is_place(thread) || ending != 0 && ending != thread {
        return false;
    }
    // SAFETY: the thread's own state, and the chain of frames that it runs.
    unsafe { python.walk(region, thread, caller, out) }
}

/// What was found last, be it closed by now.
fn newest() -> Option<&'static Interpreter> {
    let place = PLACES.get(NEWEST.load(Ordering::Acquire).checked_sub(1)?)?;
    // SAFETY: it is counted when it is complete.
    Some(unsafe { (*place.0.get()).assume_init_ref() })
}

/// A library is about to be closed: until that is done, an interpreter that came in one is not asked.
pub fn before_unload() {
    UNLOADING.fetch_add(1, Ordering::AcqRel);
}

/// A library was closed.
pub fn after_unload() {
    if FOUND.load(Ordering::Acquire) == READY
        && newest().is_some_and(|python| !python.is_the_programs() && !python.is_loaded())
    {
        FOUND.store(CLOSED, Ordering::Release);
    }
    UNLOADING.fetch_sub(1, Ordering::AcqRel);
}

impl Interpreter {
    /// Whether it is in the executable, which is never closed.
    fn is_the_programs(&self) -> bool {
        stack::is_executable(self.start)
    }

    /// Whether the library that it was found in is where it was.
    fn is_loaded(&self) -> bool {
        let asked = self.this_thread as usize;
        stack::module_of(asked).is_some_and(|module| {
            // SAFETY: the loader has just said that it is loaded.
            let symbols = unsafe { Module::loaded(module.bias, module.dynamic) };
            (module.start, module.end) == (self.start, self.end)
                && symbols.and_then(|it| it.own(c"PyGILState_GetThisThreadState")) == Some(asked)
        })
    }

    /// Whether its library was closed, and opened again at the same place: a frame of it says so.
    #[cold]
    fn is_back(&self, native: &Stack) -> bool {
        let is_back =
            FOUND.load(Ordering::Acquire) == CLOSED && self.is_on(native) && self.is_loaded();
        is_back
            && FOUND.compare_exchange(CLOSED, READY, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn is_on(&self, native: &Stack) -> bool {
        let bytes = self.end - self.start;
        native.frames().iter().any(|pc| pc.wrapping_sub(self.start) < bytes)
    }

    /// Whether the interpreter may be running on a stack: one that is known as a whole has a frame of it then.
    fn may_be_on(&self, native: &Stack) -> bool {
        const PARTS: u32 = STACK_CUT | STACK_FOLDED | STACK_NO_UNWIND_DATA;
        native.flags & PARTS != 0 || self.is_on(native)
    }
}
