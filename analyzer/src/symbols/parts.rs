//! Names of the parts of functions that a compiler moved elsewhere, in files without a symbol table.
//!
//! GCC keeps what it takes for rarely run away from the rest of its function. Where local symbols are stripped
//! such a part has no name, though its function may have one: the loop of Debian's CPython 3.14 is nearly whole in
//! such a part. It is told by where it jumps: into the middle of a function jumps nothing but the function itself.
//!
//! Nothing is disassembled: any bytes that look like a jump have a say, and chance hits are outvoted.

use std::fs::File;

use gimli::{BaseAddresses, CieOrFde, EhFrame, LittleEndian, UnwindSection};

use crate::elf::{ElfFile, MACHINE_X86_64, Segment, name_at, u32_at, u64_at};

/// Largest part that is looked at.
const MOST_BYTES: u64 = 1 << 20;
/// Bytes of parts of one file that are looked at.
const MOST_LOOKED_AT: u64 = 64 << 20;
/// Part in which one jump is no chance.
const SHORT: usize = 4096;
const PT_LOAD: u32 = 1;
/// Bytes of a symbol.
const SYMBOL: usize = 24;
const STT_FUNC: u8 = 2;

/// A function with a name.
#[derive(Clone, Copy, Debug)]
struct Function {
    start: u64,
    end: u64,
    /// Where its name is among the names.
    name: u32,
}

/// What a file says of its functions.
pub struct Parts {
    /// Where code with unwind information begins and ends, in order.
    pieces: Vec<(u64, u64)>,
    /// In order.
    functions: Vec<Function>,
    names: Vec<u8>,
    segments: Vec<Segment>,
    /// Bytes of parts that may still be looked at.
    left: u64,
}

impl Parts {
    /// Of a binary of this machine's kind that has unwind information and dynamic symbols.
    pub fn read(file: &File) -> Option<Parts> {
        let elf = ElfFile::open(file)?;
        if elf.machine() != MACHINE_X86_64 {
            return None;
        }
        let sections = elf.sections()?;
        let section_names = elf.section_names(&sections);
        let find = |name: &[u8]| {
            let mut all = sections.iter();
            all.find(|section| name_at(&section_names, section.name.into()) == Some(name))
        };
        let content = |name: &[u8]| {
            let section = find(name)?;
            Some((section.address, elf.bytes(section.offset, section.bytes)?))
        };
        let (address, frames) = content(b".eh_frame")?;
        let function = |symbol: &[u8]| {
            let (start, bytes) = (u64_at(symbol, 8)?, u64_at(symbol, 16)?);
            let is_function = symbol.get(4)? & 15 == STT_FUNC && start != 0 && bytes != 0;
            let end = start.checked_add(bytes)?;
            is_function.then_some(Function { start, end, name: u32_at(symbol, 0)? })
        };
        let (_, symbols) = content(b".dynsym")?;
        let mut functions: Vec<Function> =
            symbols.chunks_exact(SYMBOL).filter_map(function).collect();
        functions.sort_unstable_by_key(|function| (function.start, function.end));
        Some(Parts {
            pieces: pieces(&frames, address),
            functions,
            names: content(b".dynstr")?.1,
            segments: elf.segments()?,
            left: MOST_LOOKED_AT,
        })
    }

    /// The name of the function that the code at `offset` (an address as the file has it) is a part of.
    pub fn name(&mut self, file: &File, offset: u64) -> Option<&str> {
        let at = self.pieces.partition_point(|(start, _)| *start <= offset).checked_sub(1)?;
        let (start, end) = *self.pieces.get(at)?;
        let bytes = end.checked_sub(start).filter(|bytes| *bytes <= MOST_BYTES)?;
        if offset >= end {
            return None;
        }
        self.left = self.left.checked_sub(bytes)?;
        let segment = self.segments.iter().find(|segment| {
            let inside = start.checked_sub(segment.address);
            segment.kind == PT_LOAD && inside.is_some_and(|inside| inside < segment.bytes)
        })?;
        let place = segment.offset.checked_add(start - segment.address)?;
        let code = ElfFile::open(file)?.bytes(place, bytes)?;
        let function = whole(&code, start, &self.functions)?;
        let name = name_at(&self.names, function.name.into())?;
        std::str::from_utf8(name).ok().filter(|name| !name.is_empty())
    }
}

/// Ranges of the entries of an `.eh_frame` that is loaded at `address`.
fn pieces(frames: &[u8], address: u64) -> Vec<(u64, u64)> {
    let bases = BaseAddresses::default().set_eh_frame(address);
    let section = EhFrame::new(frames, LittleEndian);
    let mut pieces = Vec::new();
    let mut entries = section.entries(&bases);
    while let Ok(Some(entry)) = entries.next() {
        if let CieOrFde::Fde(partial) = entry
            && let Ok(entry) = partial.parse(EhFrame::cie_from_offset)
        {
            let start = entry.initial_address();
            pieces.push((start, start.saturating_add(entry.len())));
        }
    }
    pieces.sort_unstable();
    pieces
}

/// The function into which the code at `start` jumps, more often than into all others together.
fn whole(code: &[u8], start: u64, functions: &[Function]) -> Option<Function> {
    let mut votes: Vec<(usize, usize)> = Vec::new();
    for (at, window) in code.windows(6).enumerate() {
        // `jmp rel32`, `jcc rel32`.
        let distance_at = match window {
            [0xe9, ..] => 1,
            [0x0f, 0x80..=0x8f, ..] => 2,
            _ => continue,
        };
        let Some(distance) = u32_at(window, distance_at) else { continue };
        let next = start.wrapping_add((at + distance_at + 4) as u64);
        let target = next.wrapping_add_signed(i64::from(distance as i32));
        let before = functions.partition_point(|function| function.start < target);
        let Some(index) = before.checked_sub(1) else { continue };
        if functions.get(index).is_none_or(|function| target >= function.end) {
            continue;
        }
        match votes.iter_mut().find(|(voted, _)| *voted == index) {
            Some((_, count)) => *count += 1,
            None => votes.push((index, 1)),
        }
    }
    let all: usize = votes.iter().map(|(_, count)| count).sum();
    let (index, count) = votes.into_iter().max_by_key(|(_, count)| *count)?;
    let is_sure = count * 2 > all && (count > 1 || code.len() <= SHORT);
    is_sure.then(|| functions.get(index).copied()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code at 0x5000 that jumps to these addresses.
    fn jumping(targets: &[u64], filler: usize) -> Vec<u8> {
        let mut code = vec![0x90; filler];
        for target in targets {
            code.push(0xe9);
            let next = 0x5000 + code.len() as u64 + 4;
            code.extend((target.wrapping_sub(next) as u32).to_le_bytes());
        }
        code.extend([0x90; 4]);
        code
    }

    #[test]
    fn a_part_belongs_to_the_function_into_which_it_jumps() {
        let function = |start, end| Function { start, end, name: start as u32 };
        let functions = [function(0x1000, 0x1100), function(0x2000, 0x2400)];
        let of = |targets: &[u64], filler: usize| {
            whole(&jumping(targets, filler), 0x5000, &functions).map(|function| function.start)
        };
        assert_eq!(of(&[0x2010], 0), Some(0x2000));
        assert_eq!(of(&[0x2010, 0x2020, 0x1010], 0), Some(0x2000));
        assert_eq!(of(&[0x2010, 0x1010], 0), None, "one says this, one that");
        assert_eq!(of(&[0x2000, 0x2000], 0), None, "a call at the end of another function");
        assert_eq!(of(&[0x2400, 0x1800], 0), None, "of no function that is known");
        assert_eq!(of(&[0x2010], SHORT), None, "one of so many bytes is chance");
        assert_eq!(of(&[0x2010, 0x2014], SHORT), Some(0x2000));
    }

    #[test]
    fn any_bytes_are_survived() {
        let (mut bytes, mut state) = (vec![0u8; 4096], 1u64);
        for _ in 0..200 {
            for byte in &mut bytes {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                *byte = (state >> 33) as u8;
            }
            pieces(&bytes, state);
            let function = Function { start: state, end: state.saturating_add(1 << 40), name: 0 };
            whole(&bytes, state, &[function]);
        }
    }

    #[test]
    fn pieces_of_this_program_hold_its_functions() {
        let file = File::open(std::env::current_exe().unwrap()).unwrap();
        let elf = ElfFile::open(&file).unwrap();
        let sections = elf.sections().unwrap();
        let names = elf.section_names(&sections);
        let frames = sections
            .iter()
            .find(|section| name_at(&names, section.name.into()) == Some(b".eh_frame"))
            .unwrap();
        // More than is read at a time in a large test program.
        let bytes = elf.bytes(frames.offset, frames.bytes.min(1 << 20)).unwrap();
        assert!(pieces(&bytes, frames.address).len() > 100);
    }
}
