//! The bytes of a region without its chunks: extents, as read from a file or from a stored state.
//!
//! Stored form, inside one zstd stream: for each extent `offset: u64, length: u64, bytes`.

use std::io::{Read, Write};

use zerocopy::FromBytes;

/// Memory that one region's state may take, whatever it claims.
pub const LARGEST_STATE: u64 = 256 << 20;
/// Extents that a stored state may have: header, states, and one a table.
const MOST_EXTENTS: usize = 64;
const LEVEL: i32 = 1;

/// Bytes of a region by offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    extents: Vec<(u64, Vec<u8>)>,
    bytes: u64,
}

impl Image {
    /// Adds an extent; false = it would be too much.
    pub fn push(&mut self, offset: u64, bytes: Vec<u8>) -> bool {
        let total = self.bytes.saturating_add(bytes.len() as u64);
        if total > LARGEST_STATE || self.extents.len() >= MOST_EXTENTS {
            return false;
        }
        self.bytes = total;
        self.extents.push((offset, bytes));
        true
    }

    /// Bytes that are left of what a region may take.
    pub fn room(&self) -> u64 {
        LARGEST_STATE - self.bytes
    }

    /// `length` bytes at `offset`, if one extent holds them all.
    pub fn at(&self, offset: u64, length: usize) -> Option<&[u8]> {
        self.extents.iter().find_map(|(start, bytes)| {
            let from = usize::try_from(offset.checked_sub(*start)?).ok()?;
            bytes.get(from..from.checked_add(length)?)
        })
    }

    /// How many bytes stand at `offset` in one extent, at most `most`.
    pub fn available(&self, offset: u64, most: usize) -> usize {
        let found = self.extents.iter().filter_map(|(start, bytes)| {
            let from = usize::try_from(offset.checked_sub(*start)?).ok()?;
            bytes.len().checked_sub(from)
        });
        found.max().unwrap_or(0).min(most)
    }

    /// The value at `offset`.
    pub fn value<T: FromBytes>(&self, offset: u64) -> Option<T> {
        T::read_from_bytes(self.at(offset, size_of::<T>())?).ok()
    }

    /// The value in `row_bytes` bytes at `offset`: a shorter row of an older version is filled up
    /// with zeros, what a newer one has more is left out.
    pub fn row<T: FromBytes>(&self, offset: u64, row_bytes: usize) -> Option<T> {
        let known = size_of::<T>();
        if row_bytes >= known {
            return self.value(offset);
        }
        let mut bytes = vec![0; known];
        bytes[..row_bytes].copy_from_slice(self.at(offset, row_bytes)?);
        T::read_from_bytes(&bytes).ok()
    }

    /// Writes the stored form.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn store(&self, out: impl Write) -> std::io::Result<()> {
        let mut encoder = zstd::stream::Encoder::new(out, LEVEL)?;
        for (offset, bytes) in &self.extents {
            encoder.write_all(&offset.to_le_bytes())?;
            encoder.write_all(&(bytes.len() as u64).to_le_bytes())?;
            encoder.write_all(bytes)?;
        }
        encoder.finish()?;
        Ok(())
    }

    /// Reads the stored form; what is cut short or too long ends it, and is counted in `damaged`.
    pub fn load(stored: impl Read, damaged: &mut u64) -> Image {
        let mut image = Image::default();
        let Ok(mut decoder) = zstd::stream::Decoder::new(stored) else {
            *damaged += 1;
            return image;
        };
        loop {
            let mut head = [0; 16];
            match read_full(&mut decoder, &mut head) {
                Some(0) => return image,
                Some(16) => {}
                _ => break,
            }
            let [offset, length] = [0, 8].map(|at| {
                let mut word = [0; 8];
                word.copy_from_slice(&head[at..at + 8]);
                u64::from_le_bytes(word)
            });
            let mut bytes = Vec::new();
            if length > image.room() {
                break;
            }
            // `take`: memory grows with what is really there, not with what `length` claims.
            let read = (&mut decoder).take(length).read_to_end(&mut bytes);
            if read.is_err() || bytes.len() as u64 != length || !image.push(offset, bytes) {
                break;
            }
        }
        *damaged += 1;
        image
    }
}

/// Bytes read: all of `into`, or fewer at the end; `None` on an error.
fn read_full(from: &mut impl Read, into: &mut [u8]) -> Option<usize> {
    let mut length = 0;
    while length < into.len() {
        match from.read(&mut into[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_image_is_the_same_when_loaded() {
        let mut image = Image::default();
        assert!(image.push(0, vec![1; 4096]) && image.push(1 << 20, (0..=255).collect()));
        let mut stored = Vec::new();
        image.store(&mut stored).unwrap();
        let mut damaged = 0;
        assert_eq!(Image::load(&stored[..], &mut damaged), image);
        assert_eq!(damaged, 0);
        assert_eq!(image.at((1 << 20) + 255, 1), Some(&[255][..]));
        assert_eq!(image.at((1 << 20) + 255, 2), None);
        assert_eq!(image.at(u64::MAX, usize::MAX), None);
    }

    #[test]
    fn every_prefix_of_a_stored_image_loads_without_a_panic() {
        let mut image = Image::default();
        image.push(0, (0..200).map(|i| (i * 7) as u8).collect());
        let mut stored = Vec::new();
        image.store(&mut stored).unwrap();
        for length in 0..stored.len() {
            let mut damaged = 0;
            Image::load(&stored[..length], &mut damaged);
            assert_eq!(damaged, 1, "prefix of {length}");
        }
    }

    #[test]
    fn a_length_beyond_the_limit_takes_no_memory() {
        let mut plain = 0u64.to_le_bytes().to_vec();
        plain.extend(u64::MAX.to_le_bytes());
        let stored = zstd::encode_all(&plain[..], 1).unwrap();
        let mut damaged = 0;
        assert_eq!(Image::load(&stored[..], &mut damaged), Image::default());
        assert_eq!(damaged, 1);
    }
}
