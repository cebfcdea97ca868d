//! The chain of a thread's frames, read from the innermost outward.

#![allow(unsafe_code, reason = "reads the interpreter's structures")]

use super::Interpreter;
use super::layout::{self, Entry, Instruction, Layout};
use super::objects::{File, MIX, byte, half, is_place, look, word};
use crate::managed::Frames;
use crate::private::{PRIVATE, PYTHON_WORDS};
use crate::region::Region;
use core::sync::atomic::{AtomicU64, Ordering};
use resshim_format::table::managed;

/// Frames that are looked at: a recursion may be deeper.
const MOST_FRAMES: usize = 1024;
/// Pieces of a thread's stack of frames that are looked at.
const MOST_CHUNKS: usize = 64;

/// Where a frame that was met is kept.
#[inline(always)]
const fn place_of(key: u64) -> usize {
    (key.wrapping_mul(MIX) >> (64 - PYTHON_WORDS.trailing_zeros())) as usize
}

/// What is known of a version when this is built: a field is then read by one instruction, not by two.
struct Known<const MINOR: u32>;

impl<const MINOR: u32> Known<MINOR> {
    const LAYOUT: Option<Layout> = layout::of_version(MINOR);
}

impl Interpreter {
    /// `caller`: the innermost native frame.
    ///
    /// # Safety
    /// `thread` is the calling thread's state.
    pub(super) unsafe fn walk(
        &self,
        region: Region,
        thread: usize,
        caller: usize,
        out: &mut Frames,
    ) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            match self.minor {
                9 => self.walk_of::<9>(region, thread, caller, out),
                10 => self.walk_of::<10>(region, thread, caller, out),
                11 => self.walk_of::<11>(region, thread, caller, out),
                12 => self.walk_of::<12>(region, thread, caller, out),
                _ => self.walk_of::<0>(region, thread, caller, out),
            }
        }
    }

    /// The walk in a version; 0: one that describes itself.
    ///
    /// # Safety
    /// As for [`Interpreter::walk`].
    #[inline(never)]
    unsafe fn walk_of<const MINOR: u32>(
        &self,
        region: Region,
        thread: usize,
        caller: usize,
        out: &mut Frames,
    ) -> bool {
        let layout = Known::<MINOR>::LAYOUT.as_ref().unwrap_or(&self.layout);
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
            let mut trail = Trail::of(frame, caller);
            // The word of the frame before, until it is known whether an activation began with it.
            let mut pending = None;
            while is_place(frame) {
                if steps == MOST_FRAMES {
                    out.cut();
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
                let tags = if MINOR == 0 { 3 } else { 0 };
                let code = word(frame + layout.code) & !tags;
                if let Some(word) = self.frame(layout, region, frame, code, &mut trail) {
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
    /// (a generator's lies elsewhere) outside the pieces in use. A new piece may be in use before a frame of it is
    /// the innermost.
    ///
    /// # Safety
    /// The calling thread's state, and its innermost frame.
    #[cold]
    #[inline(never)]
    unsafe fn is_taken_down(&self, thread: usize, chunk: usize, frame: usize) -> bool {
        /// `owner` of `_PyInterpreterFrame` in 3.11; 0 = the thread's stack.
        const OWNER: usize = 69;
        /// `_PyStackChunk`: previous, size, top, then the frames.
        const CHUNK_PREVIOUS: usize = 0;
        const CHUNK_SIZE: usize = 8;
        // SAFETY: the frame's memory is mapped until the call that led here is made.
        unsafe {
            if byte(frame + OWNER) != 0 {
                return false;
            }
            let mut chunk = word(thread + chunk);
            for _ in 0..MOST_CHUNKS {
                if !is_place(chunk) {
                    return true;
                }
                if frame.wrapping_sub(chunk) < word(chunk + CHUNK_SIZE) {
                    return false;
                }
                chunk = word(chunk + CHUNK_PREVIOUS);
            }
            true
        }
    }

    /// The stack's word of a frame, without its entry; `None`: it runs no code object.
    ///
    /// # Safety
    /// A frame of the calling thread, and what it runs.
    #[inline(always)]
    unsafe fn frame(
        &self,
        layout: &Layout,
        region: Region,
        frame: usize,
        code: usize,
        trail: &mut Trail,
    ) -> Option<u64> {
        if !is_place(code) {
            return None;
        }
        // SAFETY: fields of the frame and of its code, once that has been seen to be one.
        unsafe {
            if word(code + layout.heads.kind) != self.code_type {
                self.misfits();
                return None;
            }
            let at = match layout.instruction {
                Instruction::Index(offset, unit) => half(frame + offset).wrapping_mul(unit),
                Instruction::Pointer(offset, begin) => {
                    word(frame + offset).wrapping_sub(code + begin) as i32
                }
            };
            // Never 0, as the check of an empty place is.
            let key = look(layout, code, &mut trail.file) ^ (at as u64) << 40 | 1;
            let place = trail.step();
            let known = met(place, key);
            if known != 0 {
                return Some(known);
            }
            let (word, is_known) = self.find(region, code, at, key);
            if is_known {
                remember(place, key, word);
            }
            Some(word)
        }
    }

    /// The word of a frame that was not met at this place of a walk, and whether it is to be kept.
    ///
    /// # Safety
    /// As for [`Interpreter::learn`].
    #[inline(never)]
    unsafe fn find(&self, region: Region, code: usize, at: i32, key: u64) -> (u64, bool) {
        let place = &PRIVATE.python_words[place_of(key) % PYTHON_WORDS];
        let known = met(place, key);
        if known != 0 {
            return (known, true);
        }
        // SAFETY: the caller's promise.
        let (word, is_known) = unsafe { self.learn(region, code, at) };
        if is_known {
            remember(place, key, word);
        }
        (word, is_known)
    }
}

/// Where the frames of a walk are kept: what a thread's innermost frame was called by is mostly called by the same
/// again, so its words stand in a row: the memory of many frames is in few cache lines.
struct Trail {
    next: usize,
    file: File,
}

impl Trail {
    /// That of the walks from a frame, for a native caller.
    #[inline(always)]
    fn of(frame: usize, caller: usize) -> Trail {
        Trail { next: place_of(frame as u64 ^ (caller as u64) << 16), file: File::NONE }
    }

    #[inline(always)]
    fn step(&mut self) -> &'static [AtomicU64; 2] {
        self.next += 1;
        &PRIVATE.python_trails[self.next % PYTHON_WORDS]
    }
}

/// The word that stands at a place for a key; 0: none. Two threads may write at once: the check is of both.
#[inline(always)]
fn met([check, word]: &[AtomicU64; 2], key: u64) -> u64 {
    let known = word.load(Ordering::Relaxed);
    if check.load(Ordering::Relaxed) == key ^ known { known } else { 0 }
}

fn remember([check, place]: &[AtomicU64; 2], key: u64, word: u64) {
    place.store(word, Ordering::Relaxed);
    check.store(key ^ word, Ordering::Relaxed);
}
