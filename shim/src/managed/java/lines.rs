//! A method's table of lines as HotSpot keeps it (`compressedStream.hpp`): behind the byte codes, as
//! differences. A byte holds five bits of the step in byte codes and three of the step in lines; 0xFF says
//! that two numbers follow; 0 ends it. Safe code: it gets bytes.

/// How the numbers behind 0xFF are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// A byte from 192 on has one more behind it.
    BeforeJdk20,
    /// No byte is 0: all are one more, and from 192 on there is one more behind (`unsigned5.hpp`).
    SinceJdk20,
}

/// Pairs of byte code and line, in the order of the table.
pub struct Lines<'a> {
    bytes: &'a [u8],
    coding: Coding,
    bci: i32,
    line: i32,
}

impl<'a> Lines<'a> {
    /// Of a table that begins with `bytes`.
    pub fn new(bytes: &'a [u8], coding: Coding) -> Lines<'a> {
        Lines { bytes, coding, bci: 0, line: 0 }
    }

    fn byte(&mut self) -> Option<u32> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(u32::from(*first))
    }

    fn signed(&mut self) -> Option<i32> {
        let excluded = match self.coding {
            Coding::BeforeJdk20 => 0,
            Coding::SinceJdk20 => 1,
        };
        let mut sum = 0u32;
        for place in 0..5 {
            let byte = self.byte()?;
            let digit = byte.checked_sub(excluded)?;
            sum = sum.wrapping_add(digit << (6 * place));
            if byte < 192 {
                break;
            }
        }
        Some((sum >> 1) as i32 ^ -((sum & 1) as i32))
    }
}

impl Iterator for Lines<'_> {
    type Item = (i32, i32);

    fn next(&mut self) -> Option<(i32, i32)> {
        let (bci, line) = match self.byte()? {
            0 => return None,
            0xff => (self.signed()?, self.signed()?),
            byte => ((byte >> 3) as i32, (byte & 7) as i32),
        };
        self.bci = self.bci.wrapping_add(bci);
        self.line = self.line.wrapping_add(line);
        Some((self.bci, self.line))
    }
}

/// The line of a byte code, as HotSpot finds it (`Method::line_number_from_bci`); 0 = not known.
pub fn line_of(lines: Lines<'_>, bci: i32) -> u32 {
    let (mut best, mut found) = (0, 0);
    for (start, line) in lines {
        if start == bci {
            return line.max(0) as u32;
        }
        if start < bci && start >= best {
            (best, found) = (start, line);
        }
    }
    found.max(0) as u32
}
