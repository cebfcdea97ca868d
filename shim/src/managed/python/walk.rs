//! The chain of a thread's frames, read from the innermost outward.

#![allow(unsafe_code, reason = "reads the interpreter's structures")]

use super::Interpreter;
use super::layout::{Entry, Instruction};
use super::objects::{byte, half, is_place, word};
use crate::managed::Frames;
use crate::private::PRIVATE;
use crate::region::Region;
use core::sync::atomic::Ordering;
use resshim_format::table::managed;

/// Frames that are looked at: a recursion may be deeper.
const MOST_FRAMES: usize = 1024;
/// Pieces of a thread's stack of frames that are looked at.
const MOST_CHUNKS: usize = 64;

impl Interpreter {
    /// # Safety
    /// `thread` is the calling thread's state.
    #[inline(always)]
    pub(super) unsafe fn walk(&self, region: Region, thread: usize, out: &mut Frames) -> bool {
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
}
