//! Code objects, strings and tables of the interpreter.

#![allow(unsafe_code, reason = "reads the interpreter's structures")]

use super::lines;
use super::text::{self, Utf8};
use super::{FOUND, Interpreter, REFUSED};
use crate::index::hash;
use crate::region::Region;
use crate::state::codes::{self, Code};
use core::ptr::with_exposed_provenance;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use resshim_format::header::RUNTIME_UNKNOWN_BUILD;
use resshim_format::table::{CodeRow, Runtime, managed};

/// Longest line table that is read.
const MOST_TABLE: usize = 1 << 20;
/// Longest string of which the end is read.
const MOST_TEXT: usize = 1 << 16;
/// Misfits after which the structures are taken for others than we know.
const PATIENCE: u32 = 16;
/// Frames whose code was none.
static MISFITS: AtomicU32 = AtomicU32::new(0);

/// Whether a pointer may be one: aligned, in the lower half.
#[inline(always)]
pub(super) fn is_place(address: usize) -> bool {
    address & 7 == 0 && address.wrapping_sub(0x10000) < (1 << 47) - 0x10000
}

/// # Safety
/// A word of a structure that lives.
#[inline(always)]
pub(super) unsafe fn word(at: usize) -> usize {
    // SAFETY: by the caller's promise.
    unsafe { with_exposed_provenance::<usize>(at).read_unaligned() }
}

/// # Safety
/// As for [`word`].
#[inline(always)]
pub(super) unsafe fn half(at: usize) -> i32 {
    // SAFETY: by the caller's promise.
    unsafe { with_exposed_provenance::<i32>(at).read_unaligned() }
}

/// # Safety
/// As for [`word`].
#[inline(always)]
pub(super) unsafe fn byte(at: usize) -> u8 {
    // SAFETY: by the caller's promise.
    unsafe { *with_exposed_provenance::<u8>(at) }
}

impl Interpreter {
    /// What tells a code object from others, those that stood at its address before included: objects that
    /// are made alike one after the other get the same addresses, so what they hold is looked at too, where
    /// they have no number.
    ///
    /// # Safety
    /// A code object, or memory as long as one that begins like one.
    #[inline(always)]
    pub(super) unsafe fn identity(&self, code: usize) -> u64 {
        let layout = &self.layout;
        // SAFETY: by the caller's promise; a frame keeps its code, and that its strings and its table.
        unsafe {
            let (name, table) = (word(code + layout.name), word(code + layout.line_table));
            let numbers = word(code + layout.heads.size) as u64
                ^ (half(code + layout.first_line) as u64) << 32;
            let mixed = (code as u64).wrapping_add((name as u64).rotate_left(24)) ^ numbers;
            let held = if let Some(version) = layout.version {
                table as u64 ^ (half(code + version) as u64) << 32
            } else if is_place(name) && is_place(table) {
                let size = word(table + layout.heads.size);
                let begin = table + layout.heads.bytes;
                // Bytes end with a NUL, and objects on a multiple of sixteen.
                let (first, last) = (word(begin), word(begin + size.saturating_sub(8)));
                let middle = word(begin + size / 2 - size / 2 % 8);
                let file = word(code + layout.filename) as u64;
                let ends = (first as u64).rotate_left(17) ^ (last as u64).rotate_left(41);
                let sizes = (table as u64) ^ (size as u64) << 48;
                self.end_of_text(name).wrapping_add(file.rotate_left(33))
                    ^ (ends ^ sizes).wrapping_add(middle as u64).wrapping_mul(0x9e6c_63d0_676a_9a99)
            } else {
                0
            };
            mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ held.wrapping_mul(0x94d0_49bb_1331_11eb)
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
            let length = word(object + self.layout.heads.length);
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
    pub(super) unsafe fn learn(
        &self,
        region: Region,
        code: usize,
        at: i32,
        identity: u64,
        key: u64,
        [check, place]: &[AtomicU64; 2],
    ) -> Option<u64> {
        let layout = &self.layout;
        // SAFETY: a code object, once its type has been looked at; its table and strings likewise.
        unsafe {
            if word(code + layout.heads.kind) != self.code_type {
                if MISFITS.fetch_add(1, Ordering::Relaxed) == PATIENCE {
                    FOUND.store(REFUSED, Ordering::Release);
                    crate::managed::end(Runtime::CPython);
                    crate::managed::say(Runtime::CPython, RUNTIME_UNKNOWN_BUILD);
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
        let heads = &self.layout.heads;
        // SAFETY: by the caller's promise; its size is its own.
        unsafe {
            if !is_place(object) || word(object + heads.kind) != self.bytes_type {
                return None;
            }
            let size = word(object + heads.size).min(MOST_TABLE);
            Some(core::slice::from_raw_parts(with_exposed_provenance(object + heads.bytes), size))
        }
    }

    /// # Safety
    /// An object that lives.
    unsafe fn text(&self, object: usize) -> Utf8 {
        let heads = &self.layout.heads;
        let nothing = || Utf8::of(1, &[]);
        // SAFETY: by the caller's promise.
        unsafe {
            if !is_place(object) || word(object + heads.kind) != self.text_type {
                return nothing();
            }
            let length = word(object + heads.length);
            let Some((width, is_ascii)) = text::form(half(object + heads.state) as u32) else {
                return nothing();
            };
            if length > MOST_TEXT {
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
