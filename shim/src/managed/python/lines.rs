//! Line of an instruction of a code object, from the tables of each version (CPython's
//! `Objects/locations.md`, `Objects/lnotab_notes.txt`). Pure: bytes in, a line out.

/// How a version writes its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// `co_lnotab`, up to 3.9: pairs of address and line increments.
    Increments,
    /// `co_linetable` of 3.10: pairs of lengths and line deltas.
    Ranges,
    /// `co_linetable` from 3.11 on: entries of lengths and positions.
    Locations,
}

/// Line of the instruction at byte `at` of a code that begins in line `first`; `None` where it has none.
pub fn line(table: Table, bytes: &[u8], first: i32, at: i32) -> Option<u32> {
    let line = match table {
        _ if at < 0 => Some(first),
        Table::Increments => Some(increments(bytes, first, at)),
        Table::Ranges => ranges(bytes, first, at),
        Table::Locations => locations(bytes, first, at),
    };
    line.and_then(|line| u32::try_from(line).ok()).filter(|line| *line > 0)
}

fn increments(bytes: &[u8], first: i32, at: i32) -> i32 {
    let (mut line, mut address) = (first, 0i32);
    for [length, delta] in bytes.as_chunks::<2>().0 {
        address = address.wrapping_add(i32::from(*length));
        if address > at {
            break;
        }
        line = line.wrapping_add(i32::from(*delta as i8));
    }
    line
}

fn ranges(bytes: &[u8], first: i32, at: i32) -> Option<i32> {
    const NO_LINE: i8 = -128;
    let (mut line, mut end) = (first, 0i32);
    for [length, delta] in bytes.as_chunks::<2>().0 {
        let delta = *delta as i8;
        end = end.wrapping_add(i32::from(*length));
        if delta != NO_LINE {
            line = line.wrapping_add(i32::from(delta));
        }
        if at < end {
            return (delta != NO_LINE).then_some(line);
        }
    }
    None
}

fn locations(bytes: &[u8], first: i32, at: i32) -> Option<i32> {
    const NO_COLUMNS: u8 = 13;
    const LONG: u8 = 14;
    const NONE: u8 = 15;
    /// Bytes of an instruction.
    const UNIT: i32 = 2;
    let (mut line, mut end) = (first, 0i32);
    let mut rest = bytes;
    while let Some((head, behind)) = rest.split_first() {
        let form = head >> 3 & 15;
        let delta = match form {
            NO_COLUMNS | LONG => signed(behind),
            10..=12 => i32::from(form - 10),
            _ => 0,
        };
        line = line.wrapping_add(delta);
        end = end.wrapping_add((i32::from(head & 7) + 1) * UNIT);
        if at < end {
            return (form != NONE).then_some(line);
        }
        // The first byte of an entry has its highest bit set, no other has.
        let next = behind.iter().position(|byte| byte & 128 != 0)?;
        rest = behind.get(next..)?;
    }
    None
}

/// A number in pieces of six bits, the sign in the lowest.
fn signed(bytes: &[u8]) -> i32 {
    let (mut number, mut shift) = (0u32, 0);
    for byte in bytes {
        if shift < 32 {
            number |= u32::from(byte & 63) << shift;
        }
        shift += 6;
        if byte & 64 == 0 {
            break;
        }
    }
    let half = (number >> 1) as i32;
    if number & 1 == 0 { half } else { -half }
}
