//! CPython: the frames that the calling thread runs, read where the interpreter keeps them.
//!
//! The interpreter is found when the unwinder meets the module that has `_PyRuntime`: the executable or
//! libpython. A thread's own state is what `PyGILState_GetThisThreadState` gives, a look at the thread's own
//! storage: the holder of the GIL is another thread while a call like `os.open` runs. (The state of a
//! subinterpreter that the thread has switched to before 3.12 is not seen: its caller's frames are.)
//!
//! The chain of frames is this thread's own and whole whenever one of its calls leads here; what the frames
//! point at lives as long as they do, with two exceptions that are seen to: 3.11 gives a frame's piece of the
//! stack back while it is still the innermost one, and a code object may be the next one at an address: its
//! words are part of the key under which a line is remembered. Before a code object is read the first time
//! its type is looked at, as are those of its strings.

#![allow(unsafe_code, reason = "reads the interpreter's structures")]

mod layout;
mod lines;
mod text;

use self::layout::{
    BYTES, DESCRIPTION_WORDS, Entry, Instruction, LENGTH, Layout, SIZE, STATE, TYPE,
};
use self::text::Utf8;
use super::Frames;
use crate::index::hash;
use crate::private::PRIVATE;
use crate::real::symbols::Module;
use crate::region::Region;
use crate::stack::ModuleInfo;
use crate::state::codes::{self, Code};
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_int};
use core::mem::MaybeUninit;
use core::ptr::with_exposed_provenance;
use core::sync::atomic::{AtomicU32, Ordering};
use resshim_format::header::{RUNTIME_UNKNOWN_BUILD, RUNTIME_UNKNOWN_VERSION};
use resshim_format::table::{CodeRow, Runtime, managed};

/// Frames that are looked at: a recursion may be deeper.
const MOST_FRAMES: usize = 4096;
/// Longest line table that is read.
const MOST_TABLE: usize = 1 << 20;
/// Longest string of which the end is read.
const MOST_TEXT: usize = 1 << 16;
/// Misfits after which the structures are taken for others than we know.
const PATIENCE: u32 = 16;

type ThisThread = unsafe extern "C" fn() -> usize;
type IsFinalizing = unsafe extern "C" fn() -> c_int;

/// What is known of the interpreter of this process.
struct Interpreter {
    layout: Layout,
    this_thread: ThisThread,
    is_finalizing: IsFinalizing,
    code_type: usize,
    text_type: usize,
    bytes_type: usize,
}

struct Place(UnsafeCell<MaybeUninit<Interpreter>>);
// SAFETY: written by the thread that wins `FOUND`, before anybody is told to read it; never again.
unsafe impl Sync for Place {}
static PLACE: Place = Place(UnsafeCell::new(MaybeUninit::uninit()));

const UNKNOWN: u32 = 0;
const LOOKING: u32 = 1;
const READY: u32 = 2;
const REFUSED: u32 = 3;
static FOUND: AtomicU32 = AtomicU32::new(UNKNOWN);
/// Frames whose code was none.
static MISFITS: AtomicU32 = AtomicU32::new(0);

/// A module was met: if the interpreter is in it, its frames are read from now on.
pub fn met(module: &ModuleInfo<'_>) {
    if module.dynamic == 0 || FOUND.load(Ordering::Relaxed) != UNKNOWN {
        return;
    }
    // SAFETY: one of its functions is on this thread's stack.
    let Some(symbols) = (unsafe { Module::loaded(module.bias, module.dynamic) }) else { return };
    let Some(runtime) = symbols.own(c"_PyRuntime") else { return };
    if FOUND.compare_exchange(UNKNOWN, LOOKING, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        return;
    }
    match interpreter(&symbols, runtime) {
        Ok(found) => {
            // SAFETY: only the winner comes here, and nobody reads before `READY`.
            unsafe { (*PLACE.0.get()).write(found) };
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

fn interpreter(symbols: &Module, runtime: usize) -> Result<Interpreter, u8> {
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
    // The first is that of 3.13.
    let is_finalizing = find(c"Py_IsFinalizing").or_else(|_| find(c"_Py_IsFinalizing"))?;
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
    Ok(Interpreter {
        layout,
        // SAFETY: the functions of these names have these types in all versions.
        this_thread: unsafe {
            core::mem::transmute::<*const (), ThisThread>(with_exposed_provenance(this_thread))
        },
        // SAFETY: as above.
        is_finalizing: unsafe {
            core::mem::transmute::<*const (), IsFinalizing>(with_exposed_provenance(is_finalizing))
        },
        code_type: find(c"PyCode_Type")?,
        text_type: find(c"PyUnicode_Type")?,
        bytes_type: find(c"PyBytes_Type")?,
    })
}

/// Pushes the calling thread's frames; true: there were more than are looked at.
pub fn frames(region: Region, out: &mut Frames) -> bool {
    if FOUND.load(Ordering::Acquire) != READY {
        return false;
    }
    // SAFETY: complete.
    let python = unsafe { (*PLACE.0.get()).assume_init_ref() };
    // SAFETY: reads one word.
    if unsafe { (python.is_finalizing)() } != 0 {
        super::ends();
    }
    // SAFETY: looks at this thread's storage; before the interpreter begins and after its end it gives null.
    let thread = unsafe { (python.this_thread)() };
    if !is_place(thread) {
        return false;
    }
    // SAFETY: the thread's own state, and the chain of frames that it runs.
    unsafe { python.walk(region, thread, out) }
}

/// Whether a pointer may be one: aligned, in the lower half.
#[inline(always)]
fn is_place(address: usize) -> bool {
    address & 7 == 0 && address.wrapping_sub(0x10000) < (1 << 47) - 0x10000
}

/// # Safety
/// A word of a structure that lives.
#[inline(always)]
unsafe fn word(at: usize) -> usize {
    // SAFETY: by the caller's promise.
    unsafe { with_exposed_provenance::<usize>(at).read_unaligned() }
}

/// # Safety
/// As for [`word`].
#[inline(always)]
unsafe fn half(at: usize) -> i32 {
    // SAFETY: by the caller's promise.
    unsafe { with_exposed_provenance::<i32>(at).read_unaligned() }
}

/// # Safety
/// As for [`word`].
#[inline(always)]
unsafe fn byte(at: usize) -> u8 {
    // SAFETY: by the caller's promise.
    unsafe { *with_exposed_provenance::<u8>(at) }
}

impl Interpreter {
    /// # Safety
    /// `thread` is the calling thread's state.
    #[inline(always)]
    unsafe fn walk(&self, region: Region, thread: usize, out: &mut Frames) -> bool {
        let layout = &self.layout;
        // SAFETY: fields of structures that live: see the module's head. The thread's number is `pthread_self`
        // where the structure is the one that we know.
        unsafe {
            if word(thread + layout.thread_id) != libc::pthread_self() as usize {
                return false;
            }
            let mut frame = word(thread + layout.current);
            if let Some(offset) = layout.through {
                if !is_place(frame) {
                    return false;
                }
                frame = word(frame + offset);
            }
            if let Some(chunk) = layout.stack_chunk
                && is_place(frame)
                && self.is_taken_down(thread, chunk, frame)
            {
                frame = word(frame + layout.previous);
            }
            let mut steps = 0;
            // The word of the frame before, until it is known whether an activation began with it.
            let mut pending = None;
            while is_place(frame) {
                if steps == MOST_FRAMES {
                    return true;
                }
                steps += 1;
                if let Entry::OuterOwner(owner) = layout.entry
                    && byte(frame + owner) >= 3
                {
                    if let Some(word) = pending.take() {
                        out.push_word(word | managed(0, 0, true));
                    }
                    frame = word(frame + layout.previous);
                    continue;
                }
                if let Some(word) = pending.take() {
                    out.push_word(word);
                }
                // From 3.14 on the pointer carries tags.
                let code = word(frame + layout.code) & !3;
                if let Some(word) = self.frame(region, frame, code) {
                    match layout.entry {
                        Entry::Always => out.push_word(word | managed(0, 0, true)),
                        Entry::Flag(flag) => {
                            out.push_word(word | managed(0, 0, byte(frame + flag) != 0));
                        }
                        Entry::OuterOwner(_) => pending = Some(word),
                    }
                }
                frame = word(frame + layout.previous);
            }
            if let Some(word) = pending {
                out.push_word(word | managed(0, 0, true));
            }
        }
        false
    }

    /// Whether the innermost frame is one whose piece of the stack is being given back: a function's frame
    /// (a generator's lies elsewhere) outside the piece in use.
    ///
    /// # Safety
    /// The calling thread's state, and its innermost frame.
    #[cold]
    #[inline(never)]
    unsafe fn is_taken_down(&self, thread: usize, chunk: usize, frame: usize) -> bool {
        /// `owner` of `_PyInterpreterFrame` in 3.11; 0 = the thread's stack.
        const OWNER: usize = 69;
        /// `_PyStackChunk`: previous, size, top, then the frames.
        const CHUNK_SIZE: usize = 8;
        // SAFETY: the frame's memory is mapped until the call that led here is made.
        unsafe {
            if byte(frame + OWNER) != 0 {
                return false;
            }
            let chunk = word(thread + chunk);
            !is_place(chunk) || frame.wrapping_sub(chunk) >= word(chunk + CHUNK_SIZE)
        }
    }

    /// The stack's word of a frame, without its entry; `None`: it runs no code object.
    ///
    /// # Safety
    /// A frame of the calling thread, and what it runs.
    #[inline(always)]
    unsafe fn frame(&self, region: Region, frame: usize, code: usize) -> Option<u64> {
        let layout = &self.layout;
        if !is_place(code) {
            return None;
        }
        // SAFETY: fields of the frame and of its code.
        unsafe {
            let at = match layout.instruction {
                Instruction::Index(offset, unit) => half(frame + offset).wrapping_mul(unit),
                Instruction::Pointer(offset, begin) => {
                    word(frame + offset).wrapping_sub(code + begin) as i32
                }
            };
            let identity = self.identity(code);
            let key = (identity ^ at as u32 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let index = (key >> 48) as usize % PRIVATE.python_words.len();
            let place = PRIVATE.python_words.get(index)?;
            let [check, word] = place;
            let known = word.load(Ordering::Relaxed);
            // Two threads may write at once: the check is of both words.
            if known != 0 && check.load(Ordering::Relaxed) == key ^ known {
                return Some(known);
            }
            self.learn(region, code, at, identity, key, place)
        }
    }

    /// What tells a code object from others, those that stood at its address before included: objects that
    /// are made alike one after the other get the same addresses, so what they hold is looked at too.
    ///
    /// # Safety
    /// A code object, or memory as long as one that begins like one.
    #[inline(always)]
    unsafe fn identity(&self, code: usize) -> u64 {
        let layout = &self.layout;
        // SAFETY: by the caller's promise; a frame keeps its code, and that its strings and its table.
        unsafe {
            let (file, name, table) = (
                word(code + layout.filename),
                word(code + layout.name),
                word(code + layout.line_table),
            );
            let numbers = word(code + SIZE) as u64 ^ (half(code + layout.first_line) as u64) << 32;
            let mut mixed = code as u64 ^ numbers.rotate_left(29);
            if is_place(file) && is_place(name) && is_place(table) {
                mixed ^= self.end_of_text(file).rotate_left(11);
                mixed ^= self.end_of_text(name).rotate_left(23);
                let size = word(table + SIZE);
                let begin = table + BYTES;
                // Bytes end with a NUL, and objects on a multiple of sixteen.
                let (first, middle, last) =
                    (begin, begin + size / 2 - size / 2 % 8, begin + size.saturating_sub(8));
                mixed ^= (word(first) as u64).wrapping_mul(0x9fb2_1c65_1e98_df25);
                mixed ^= (word(middle) as u64).wrapping_mul(0xa24b_aed4_963e_e407);
                mixed ^= (word(last) as u64 ^ size as u64).wrapping_mul(0x9e6c_63d0_676a_9a99);
            }
            mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9)
        }
    }

    /// The address of a string, its length, and its last characters.
    ///
    /// # Safety
    /// A string that lives.
    #[inline(always)]
    unsafe fn end_of_text(&self, object: usize) -> u64 {
        // SAFETY: by the caller's promise: a string has eight bytes at least behind its head.
        unsafe {
            let length = word(object + LENGTH);
            let end = word(object + self.layout.ascii + length.saturating_sub(8)) as u64;
            (object as u64 ^ length as u64).wrapping_add(end.wrapping_mul(0x9fb2_1c65_1e98_df25))
        }
    }

    /// A frame that was not met before.
    ///
    /// # Safety
    /// As for [`Interpreter::frame`].
    #[cold]
    #[inline(never)]
    unsafe fn learn(
        &self,
        region: Region,
        code: usize,
        at: i32,
        identity: u64,
        key: u64,
        [check, place]: &[core::sync::atomic::AtomicU64; 2],
    ) -> Option<u64> {
        let layout = &self.layout;
        // SAFETY: a code object, once its type has been looked at; its table and strings likewise.
        unsafe {
            if word(code + TYPE) != self.code_type {
                if MISFITS.fetch_add(1, Ordering::Relaxed) == PATIENCE {
                    FOUND.store(REFUSED, Ordering::Release);
                    super::end(Runtime::CPython);
                    super::say(Runtime::CPython, RUNTIME_UNKNOWN_BUILD);
                }
                return None;
            }
            let first = half(code + layout.first_line);
            let table = self.bytes(word(code + layout.line_table)).unwrap_or(&[]);
            let line = lines::line(layout.table, table, first, at);
            let line = line.unwrap_or(first.max(0) as u32);
            let row = codes::row(region, hash(identity), |give| {
                let name = self.text(word(code + layout.name));
                let file = self.text(word(code + layout.filename));
                give(&Code {
                    runtime: Runtime::CPython,
                    address: code as u64,
                    first_line: first.max(0) as u32,
                    name: name.end(size_of_name()),
                    file: file.end(size_of_file()),
                });
            });
            let word = managed(row, line, false);
            if row != 0 {
                place.store(word, Ordering::Relaxed);
                check.store(key ^ word, Ordering::Relaxed);
            }
            Some(word)
        }
    }

    /// # Safety
    /// An object that lives.
    unsafe fn bytes(&self, object: usize) -> Option<&'static [u8]> {
        // SAFETY: by the caller's promise; its size is its own.
        unsafe {
            if !is_place(object) || word(object + TYPE) != self.bytes_type {
                return None;
            }
            let size = word(object + SIZE).min(MOST_TABLE);
            Some(core::slice::from_raw_parts(with_exposed_provenance(object + BYTES), size))
        }
    }

    /// # Safety
    /// An object that lives.
    unsafe fn text(&self, object: usize) -> Utf8 {
        const COMPACT: u32 = 1 << 5;
        const ASCII: u32 = 1 << 6;
        let nothing = || Utf8::of(1, &[]);
        // SAFETY: by the caller's promise.
        unsafe {
            if !is_place(object) || word(object + TYPE) != self.text_type {
                return nothing();
            }
            let (length, state) = (word(object + LENGTH), half(object + STATE) as u32);
            let (is_ascii, width) = (state & ASCII != 0, (state >> 2 & 7) as usize);
            if state & COMPACT == 0 || !matches!(width, 1 | 2 | 4) || length > MOST_TEXT {
                return nothing();
            }
            let from = object + if is_ascii { self.layout.ascii } else { self.layout.wide };
            Utf8::of(
                width,
                core::slice::from_raw_parts(with_exposed_provenance(from), length * width),
            )
        }
    }
}

/// Bytes that a row has for a name.
const fn size_of_name() -> usize {
    core::mem::size_of::<CodeRow>() - core::mem::offset_of!(CodeRow, name) - size_of_file()
}

/// Bytes that a row has for a file.
const fn size_of_file() -> usize {
    core::mem::size_of::<CodeRow>() - core::mem::offset_of!(CodeRow, file)
}
