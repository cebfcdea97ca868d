//! A string of CPython's as UTF-8.

/// Most characters of a string that are looked at: its last ones.
const MOST: usize = 256;

/// Bytes of each character of a string, and whether all are ASCII, from its `state`; `None`: its characters do
/// not stand behind its head.
///
/// How it is interned comes first, in two bits or, without the GIL, in a byte (3.14): a number up to 3, so the
/// rest is where there is a width.
pub fn form(state: u32) -> Option<(usize, bool)> {
    const COMPACT: u32 = 1 << 3;
    const ASCII: u32 = 1 << 4;
    [2, 8].into_iter().map(|interned| state >> interned).find_map(|rest| {
        let is_form = matches!(rest & 7, 1 | 2 | 4) && rest & COMPACT != 0;
        is_form.then_some(((rest & 7) as usize, rest & ASCII != 0))
    })
}

/// UTF-8 of the end of a string.
pub struct Utf8 {
    bytes: [u8; MOST * 4],
    length: usize,
}

impl Utf8 {
    /// Of characters of one, two or four bytes each.
    pub fn of(width: usize, characters: &[u8]) -> Utf8 {
        let mut text = Utf8 { bytes: [0; MOST * 4], length: 0 };
        let from = characters.len().saturating_sub(MOST * width);
        for character in characters.get(from..).unwrap_or(&[]).chunks_exact(width) {
            let number = character.iter().rev().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte));
            let mut buffer = [0; 4];
            // Half of a surrogate pair: an undecodable byte of a file name.
            let letter = char::from_u32(number).unwrap_or('?');
            text.push(letter.encode_utf8(&mut buffer).as_bytes());
        }
        text
    }

    fn push(&mut self, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(self.length..self.length + bytes.len()) {
            place.copy_from_slice(bytes);
            self.length += bytes.len();
        }
    }

    /// The last bytes of it, at most `most`, whole characters.
    pub fn end(&self, most: usize) -> &[u8] {
        let all = self.bytes.get(..self.length).unwrap_or(&[]);
        let mut end = all.get(all.len().saturating_sub(most)..).unwrap_or(all);
        while let [first, rest @ ..] = end
            && first & 0xc0 == 0x80
        {
            end = rest;
        }
        end
    }
}
