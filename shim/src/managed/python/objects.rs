//! Code objects, strings and tables of the interpreter.

#![allow(unsafe_code, reason = "reads the interpreter's structures")]

use super::layout::Layout;
use super::lines;
use super::text::{self, Utf8};
use super::{FOUND, Interpreter, REFUSED};
use crate::index::hash;
use crate::region::Region;
use crate::state::codes::{self, Code};
use core::ptr::with_exposed_provenance;
use core::sync::atomic::{AtomicU32, Ordering};
use resshim_format::header::RUNTIME_UNKNOWN_BUILD;
use resshim_format::table::{CodeRow, Runtime, managed};

/// Longest line table that is read.
const MOST_TABLE: usize = 1 << 20;
/// Longest string of which the end is read.
const MOST_TEXT: usize = 1 << 16;
/// An odd number without a pattern.
pub(super) const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
/// Misfits after which the structures are taken for others than we know.
const PATIENCE: u32 = 16;
/// Frames whose code was none.
static MISFITS: AtomicU32 = AtomicU32::new(0);

/// Whether a pointer may be one: aligned, in the lower half.
#[inline(always)]
pub(super) fn is_place(address: usize) -> bool {
    // The three lowest bits are the highest then.
    address.rotate_right(3).wrapping_sub(0x10000 >> 3) < ((1 << 47) - 0x10000) >> 3
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

/// What the string of a file looks like: code objects of a module share it.
#[derive(Clone, Copy)]
pub(super) struct File {
    address: usize,
    look: u64,
}

impl File {
    pub(super) const NONE: File = File { address: 0, look: 0 };

    /// Its address, its length, and its last characters.
    ///
    /// # Safety
    /// A string that lives.
    #[inline(never)]
    unsafe fn of(layout: &Layout, address: usize) -> File {
        // SAFETY: by the caller's promise: a compact string has its characters behind its head.
        unsafe {
            let length = word(address + layout.heads.length);
            let (words, end) = match text::form(half(address + layout.heads.state) as u32) {
                None => (0, 0),
                // Eight bytes at least.
                _ if length < 8 => (1, 8),
                _ => ((length / 8).min(6), length),
            };
            let begin = address + layout.ascii + end - words * 8;
            let held = (0..words).map(|at| word(begin + at * 8) as u64);
            File { address, look: mixed([address as u64, length as u64].into_iter().chain(held)) }
        }
    }
}

/// What tells a code object from others, those that stood at its address before included, as far as can be seen
/// at a glance: objects that are made alike one after the other get the same addresses, so what they hold is looked
/// at too, where they have no number. An object may come to look otherwise once, when its name gets its hash.
///
/// # Safety
/// A code object in use: it keeps its strings and its table.
#[inline(always)]
pub(super) unsafe fn look(layout: &Layout, code: usize, known: &mut File) -> u64 {
    // SAFETY: by the caller's promise.
    unsafe {
        let (name, table) = (word(code + layout.name), word(code + layout.line_table));
        // The number before the first line is one that stays, too.
        let numbers =
            word(code + layout.heads.size) as u64 ^ word(code + layout.first_line - 4) as u64;
        let own = (code as u64).wrapping_add((name as u64).rotate_left(24)) ^ numbers;
        // Two products: neither waits for the other.
        let (own, held) = if let Some(version) = layout.version {
            (own, table as u64 ^ (half(code + version) as u64) << 32)
        } else {
            let file = word(code + layout.filename);
            if file != known.address {
                *known = File::of(layout, file);
            }
            let size = word(table + layout.heads.size);
            let begin = table + layout.heads.bytes;
            // Bytes end with a NUL, and objects on a multiple of sixteen.
            let (first, last) = (word(begin) as u64, word(begin + size.max(8) - 8) as u64);
            let middle = word(begin + size / 16 * 8) as u64;
            let lines =
                (first ^ last.wrapping_add(size as u64).rotate_left(41)).wrapping_add(middle);
            // Identifiers are interned, and then they have a hash. Eight bytes at least follow a string's head.
            let letters =
                word(name + layout.heads.length) as u64 ^ word(name + layout.ascii) as u64;
            let hash = word(word(code + layout.plain_name) + layout.heads.hash) as u64;
            let names = letters.rotate_left(17) ^ hash;
            (own ^ names ^ known.look, lines ^ (table as u64).rotate_left(29))
        };
        own.wrapping_mul(MIX) ^ held.wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(32)
    }
}

fn mixed(words: impl Iterator<Item = u64>) -> u64 {
    words.fold(0, |sum, word| (sum.rotate_left(23) ^ word).wrapping_mul(MIX))
}

/// A hash of bytes.
fn hash_of(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    let rest = rest.iter().map(|byte| u64::from(*byte));
    mixed(core::iter::once(bytes.len() as u64).chain(words).chain(rest))
}

impl Interpreter {
    /// A frame whose code is none.
    #[cold]
    #[inline(never)]
    pub(super) fn misfits(&self) {
        if MISFITS.fetch_add(1, Ordering::Relaxed) == PATIENCE {
            FOUND.store(REFUSED, Ordering::Release);
            crate::managed::end(Runtime::CPython);
            crate::managed::say(Runtime::CPython, RUNTIME_UNKNOWN_BUILD);
        }
    }

    /// The word of a frame that was not met before, and whether it is to be kept: there was a row for its code.
    ///
    /// # Safety
    /// As for [`look`].
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn learn(&self, region: Region, code: usize, at: i32) -> (u64, bool) {
        let layout = &self.layout;
        // SAFETY: a code object; the types of its table and its strings are looked at.
        unsafe {
            let first = half(code + layout.first_line);
            let table = self.bytes(word(code + layout.line_table)).unwrap_or(&[]);
            let line = lines::line(layout.table, table, first, at);
            let line = line.unwrap_or(first.max(0) as u32);
            let name = self.text(word(code + layout.name));
            let file = self.text(word(code + layout.filename));
            // What it holds, and where; all of it, where it has no number.
            let held = [layout.name, layout.filename, layout.line_table];
            let [name_at, file_at, table_at] = held.map(|at| word(code + at) as u64);
            let own = [code as u64, word(code + layout.heads.size) as u64, first as u64];
            let identity = own.into_iter().chain([name_at, file_at, table_at]);
            let identity = match layout.version {
                Some(version) => mixed(identity.chain([half(code + version) as u64])),
                None => mixed(identity.chain([table, name.1, file.1].map(hash_of))),
            };
            let row = codes::row(region, hash(identity), |give| {
                let [name, file] = [name, file].map(|(width, text)| Utf8::of(width, text));
                give(&Code {
                    runtime: Runtime::CPython,
                    address: code as u64,
                    first_line: first.max(0) as u32,
                    name: name.end(size_of_name()),
                    file: file.end(size_of_file()),
                });
            });
            (managed(row, line, false), row != 0)
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

    /// Bytes of a character of a string, and the characters.
    ///
    /// # Safety
    /// An object that lives.
    unsafe fn text(&self, object: usize) -> (usize, &'static [u8]) {
        const NOTHING: (usize, &[u8]) = (1, &[]);
        let heads = &self.layout.heads;
        // SAFETY: by the caller's promise.
        unsafe {
            if !is_place(object) || word(object + heads.kind) != self.text_type {
                return NOTHING;
            }
            let length = word(object + heads.length);
            let Some((width, is_ascii)) = text::form(half(object + heads.state) as u32) else {
                return NOTHING;
            };
            if length > MOST_TEXT {
                return NOTHING;
            }
            let from = object + if is_ascii { self.layout.ascii } else { self.layout.wide };
            let text = core::slice::from_raw_parts(with_exposed_provenance(from), length * width);
            (width, text)
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
