//! Perf maps: `START SIZE NAME` lines, the numbers hexadecimal (Linux, `tools/perf/Documentation/jit-interface.txt`).
//!
//! The file grows while its process runs; a line may be half written when it is read. Who wrote it may
//! write anything: a line that is none is passed over.

use super::batch::Filling;

/// Longest line; of a longer one only this much is looked at.
const LONGEST_LINE: usize = 8192;

/// Lines of a perf map, in pieces.
#[derive(Debug, Default)]
pub struct PerfMap {
    /// Begin of a line whose end was not there yet.
    rest: Vec<u8>,
    /// Lines that were none.
    pub bad_lines: u64,
}

impl PerfMap {
    /// Takes the next bytes of the file.
    pub fn feed(&mut self, mut bytes: &[u8], into: &mut Filling) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            if self.rest.is_empty() {
                self.line(line, into);
            } else {
                self.keep(line);
                let line = std::mem::take(&mut self.rest);
                self.line(&line, into);
            }
            bytes = rest;
        }
        self.keep(bytes);
    }

    /// The last line may have no end.
    pub fn finish(&mut self, into: &mut Filling) {
        if !self.rest.is_empty() {
            let line = std::mem::take(&mut self.rest);
            self.line(&line, into);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LONGEST_LINE - self.rest.len().min(LONGEST_LINE);
        self.rest.extend(&bytes[..bytes.len().min(room)]);
    }

    fn line(&mut self, line: &[u8], into: &mut Filling) {
        match parse(line) {
            Some((start, size, name)) => into.code(start, size, name, 0),
            None if line.trim_ascii().is_empty() => {}
            None => self.bad_lines += 1,
        }
    }
}

fn parse(line: &[u8]) -> Option<(u64, u64, &[u8])> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (start, rest) = number(line)?;
    let (size, name) = number(rest)?;
    // An end beyond the address space, an empty name: nothing that could be asked for.
    let fits = size > 0 && start.checked_add(size).is_some() && !name.is_empty();
    fits.then_some((start, size, name))
}

/// A hexadecimal number, with `0x` or without, and what follows the blank behind it.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let at = text.iter().position(|byte| *byte == b' ')?;
    let (digits, rest) = (text.get(..at)?, text.get(at + 1..)?);
    let digits = digits.strip_prefix(b"0x").unwrap_or(digits);
    let digits = str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    Some((u64::from_str_radix(digits, 16).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::generated::Batch;

    fn read(pieces: &[&[u8]]) -> (Batch, u64) {
        let (mut map, mut into) = (PerfMap::default(), Filling::default());
        for piece in pieces {
            map.feed(piece, &mut into);
        }
        map.finish(&mut into);
        (into.finish(0), map.bad_lines)
    }

    const MAP: &[u8] =
        b"7f00 10 JS:~leaky /a b.js:2:15\n0x8000 20 py::f:/x.py\r\n7f00 8 JS:^ /x.js:1:1\n";

    #[test]
    fn lines_are_read_wherever_the_file_was_cut() {
        let (whole, bad) = read(&[MAP]);
        assert_eq!((whole.starts.as_slice(), bad), (&[0x7f00, 0x8000, 0x7f00][..], 0));
        assert_eq!(whole.sizes, [0x10, 0x20, 8]);
        assert_eq!(whole.strings, ["JS:~leaky /a b.js:2:15", "py::f:/x.py", "JS:^ /x.js:1:1"]);
        for cut in 0..MAP.len() {
            let (first, second) = MAP.split_at(cut);
            assert_eq!(read(&[first, second]).0, whole, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_line_is_counted_and_passed_over() {
        let bad: &[&[u8]] = &[
            b"7f00 10\n",
            b"7f00 0 empty\n",
            b"x 10 f\n",
            b"+1 10 f\n",
            b"ffffffffffffffff 10 f\n",
            b"fffffffffffffffff 1 f\n",
            b" 10 f\n",
            b"\xff\xfe 1 f\n",
            b"1 1 \n",
        ];
        for line in bad {
            assert_eq!(read(&[line]), (Batch::default(), 1), "{}", line.escape_ascii());
        }
        assert_eq!(read(&[b"\n\n"]).1, 0);
        let (batch, bad) = read(&[b"nonsense\n10 10 good\n", b"\0\0\0"]);
        assert_eq!((batch.strings, bad), (vec!["good".to_owned()], 2));
    }

    #[test]
    fn a_line_without_an_end_takes_bounded_memory() {
        let (mut map, mut into) = (PerfMap::default(), Filling::default());
        map.feed(b"10 10 ", &mut into);
        for _ in 0..1000 {
            map.feed(&[b'a'; 1000], &mut into);
        }
        assert!(map.rest.len() <= LONGEST_LINE);
        map.feed(b"\n20 10 next\n", &mut into);
        let batch = into.finish(0);
        assert_eq!(batch.starts, [0x10, 0x20]);
        assert!(batch.strings[0].len() <= 4096);
    }

    #[test]
    fn every_byte_may_be_another_one() {
        for at in 0..MAP.len() {
            for byte in [0, b'\n', b' ', b'f', 0xff] {
                let mut bytes = MAP.to_vec();
                bytes[at] = byte;
                assert!(read(&[&bytes]).0.is_whole());
            }
        }
    }
}
