//! What HotSpot knows of a method, read where it keeps it.
//!
//! The method runs on the calling thread's stack (or was just given by the VM to a callback of ours), so its
//! class cannot be unloaded meanwhile. What is read does not move: metadata lies outside of the heap.

#![allow(unsafe_code, reason = "reads the VM's metadata")]

use super::interface::MethodId;
use super::layout::Layout;
use super::lines::{Lines, line_of};
use crate::index::hash;
use core::ptr::with_exposed_provenance;
use resshim_format::table::CODE_NAME_WORDS;

/// Longest source file that is put together; of a longer one the end is kept.
const LONGEST: usize = 256;
/// Longest name: of a longer one the middle goes. Its package says whose code it is, its end is the method.
const LONGEST_NAME: usize = size_of::<[u64; CODE_NAME_WORDS]>();
/// So much of the beginning is kept.
const BEGINNING: usize = 40;
/// Bytes of a table of lines that are looked at, at most.
const MOST_LINE_BYTES: usize = 1 << 16;

/// A method of the VM.
#[derive(Clone, Copy)]
pub struct Method<'a> {
    layout: &'a Layout,
    constant: usize,
    pool: usize,
    holder: usize,
}

/// # Safety
/// There is a `T` at the address, aligned or not.
unsafe fn at<T: Copy>(address: usize) -> T {
    // SAFETY: by the caller's promise.
    unsafe { with_exposed_provenance::<T>(address).read_unaligned() }
}

/// The word that an id points at: the `Method`. Another one where the class was redefined.
///
/// # Safety
/// The id is of a method whose class is not unloaded.
#[inline(always)]
pub unsafe fn target(id: MethodId) -> usize {
    // SAFETY: an id is the address of such a word (`Method::resolve_jmethod_id`).
    unsafe { at(id.addr()) }
}

impl<'a> Method<'a> {
    /// The method that an id points at.
    ///
    /// # Safety
    /// As [`target`]; the layout is that of its VM.
    pub unsafe fn of(target: usize, layout: &'a Layout) -> Option<Method<'a>> {
        // SAFETY: these lead from a method to its class, which lives.
        unsafe {
            let follow = |address: usize, offset: usize| match address {
                0 => None,
                _ => Some(at::<usize>(address + offset)).filter(|next| *next != 0),
            };
            let constant = follow(target, layout.const_method)?;
            let pool = follow(constant, layout.constants)?;
            let holder = follow(pool, layout.holder)?;
            Some(Method { layout, constant, pool, holder })
        }
    }

    /// A `Symbol`'s bytes.
    ///
    /// # Safety
    /// It is one that the method's class keeps.
    unsafe fn symbol(&self, symbol: usize) -> &'a [u8] {
        if symbol == 0 {
            return &[];
        }
        // SAFETY: by the caller's promise: a length, and so many bytes.
        unsafe {
            let length: u16 = at(symbol + self.layout.symbol_length);
            let first = with_exposed_provenance::<u8>(symbol + self.layout.symbol_body);
            core::slice::from_raw_parts(first, usize::from(length))
        }
    }

    /// A symbol of the pool.
    ///
    /// # Safety
    /// The index is one of a symbol.
    unsafe fn entry(&self, index: u16) -> usize {
        // SAFETY: entries are words, behind the pool's head.
        unsafe { at(self.pool + self.layout.entries + 8 * usize::from(index)) }
    }

    fn name_symbol(&self) -> usize {
        // SAFETY: every method has a name.
        unsafe { self.entry(at(self.constant + self.layout.name_index)) }
    }

    fn class_symbol(&self) -> usize {
        // SAFETY: every class has a name.
        unsafe { at(self.holder + self.layout.class_name) }
    }

    /// A number that tells this method from those of another class, name or source file. A class that is
    /// loaded again (by a loader of its own each time, as scripts and reloaded applications are, or hidden, as
    /// lambdas) is the same one for whoever reads the report, and must not fill the table of functions.
    /// Addresses would not do: a symbol goes with the last class that has it.
    pub fn identity(&self) -> u64 {
        let parts = [without_address(self.class()), self.name(), self.source()];
        let bytes = parts.iter().flat_map(|part| part.chunks(8).chain([&b"."[..]]));
        bytes.fold(0, |sum, part| {
            let word =
                part.iter().fold(part.len() as u64, |word, byte| word << 8 | u64::from(*byte));
            hash(sum ^ word)
        })
    }

    /// Its name.
    pub fn name(&self) -> &'a [u8] {
        // SAFETY: the class keeps it.
        unsafe { self.symbol(self.name_symbol()) }
    }

    /// Its class's name as the VM has it: `java/lang/String`.
    pub fn class(&self) -> &'a [u8] {
        // SAFETY: the class keeps it.
        unsafe { self.symbol(self.class_symbol()) }
    }

    /// Whether a virtual thread's frames end with this one.
    pub fn begins_virtual_thread(&self) -> bool {
        self.name() == b"enterSpecial" && self.class() == b"jdk/internal/vm/Continuation"
    }

    /// Its class's source file: `String.java`; empty = not known.
    pub fn source(&self) -> &'a [u8] {
        let place = if self.layout.source_in_pool { self.pool } else { self.holder };
        // SAFETY: an index of the pool, 0 = none.
        unsafe {
            match at::<u16>(place + self.layout.source_index) {
                0 => &[],
                index => self.symbol(self.entry(index)),
            }
        }
    }

    /// Its lines.
    pub fn lines(&self) -> Lines<'a> {
        // SAFETY: fields of the method; the table, where there is one, lies between its byte codes and its end.
        let bytes = unsafe {
            let has = at::<u16>(self.constant + self.layout.flags) & self.layout.has_lines;
            let words: u32 = at(self.constant + self.layout.const_method_words);
            let code = usize::from(at::<u16>(self.constant + self.layout.code_bytes));
            let begin = self.layout.code + code;
            let room = (words as usize * 8).saturating_sub(begin).min(MOST_LINE_BYTES);
            if has == 0 || room == 0 {
                &[][..]
            } else {
                let first = with_exposed_provenance::<u8>(self.constant + begin);
                core::slice::from_raw_parts(first, room)
            }
        };
        Lines::new(bytes, self.layout.coding)
    }

    /// Line of a byte code, 0 = not known.
    pub fn line(&self, bci: i32) -> u32 {
        if bci < 0 { 0 } else { line_of(self.lines(), bci) }
    }

    /// `java.lang.String.format` and `java/lang/String.java`.
    pub fn describe(&self, give: impl FnOnce(&[u8], &[u8])) {
        let class = without_address(self.class());
        let readable = class.iter().map(|byte| if *byte == b'/' { b'.' } else { *byte });
        let package = class.iter().rposition(|byte| *byte == b'/').map_or(0, |last| last + 1);
        let package = class.get(..package).unwrap_or(&[]).iter();
        let source = self.source();
        let package = if source.is_empty() { [].iter() } else { package };
        let name = readable.chain([b'.']).chain(self.name().iter().copied());
        let file = package.chain(source).copied();
        let name = Joined::<LONGEST_NAME>::without_middle(name, BEGINNING);
        give(name.bytes(), Joined::<LONGEST>::end_of(file).bytes());
    }
}

/// The name of a class without the address with which that of a hidden one ends, behind a sign that no other
/// name has.
fn without_address(class: &[u8]) -> &[u8] {
    let hidden = class.windows(3).rposition(|three| three == b"+0x");
    class.get(..hidden.unwrap_or(class.len())).unwrap_or(class)
}

/// A text that is put together from parts, and made to fit.
struct Joined<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Joined<N> {
    /// As much as there is room for.
    fn of(text: impl Iterator<Item = u8>) -> Joined<N> {
        let mut joined = Joined { bytes: [0; N], length: 0 };
        for (to, byte) in joined.bytes.iter_mut().zip(text) {
            *to = byte;
            joined.length += 1;
        }
        joined
    }

    fn end_of(text: impl Iterator<Item = u8> + Clone) -> Joined<N> {
        let more = text.clone().count().saturating_sub(N);
        Joined::of(text.skip(more))
    }

    fn without_middle(text: impl Iterator<Item = u8> + Clone, beginning: usize) -> Joined<N> {
        let length = text.clone().count();
        if length <= N {
            return Joined::of(text);
        }
        let gap = "…".bytes();
        let end = length - N + gap.len() + beginning;
        // Neither part begins or ends inside a character.
        let is_inside = |byte: &u8| byte & 0xc0 == 0x80;
        let before = text.clone().nth(beginning).filter(is_inside).map_or(beginning, |_| {
            let starts = text.clone().take(beginning).enumerate().filter(|(_, b)| !is_inside(b));
            starts.last().map_or(0, |(place, _)| place)
        });
        let after = text.clone().skip(end).skip_while(is_inside);
        Joined::of(text.take(before).chain(gap).chain(after))
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }
}
