//! Mappings by start address. Approximate: a mapping can be cut in the middle or mapped over; the
//! events say what happened, the rows hold what is whole.

use super::{failures, fds, sites};
use crate::emit::Inside;
use crate::index::hash;
use crate::private::PRIVATE;
use crate::start;
use core::ffi::c_int;
use core::sync::atomic::Ordering;
use resshim_format::header::Level;
use resshim_format::op::{Kind, Op};
use resshim_format::table::{LABEL_BYTES, MappingRow};

/// A mapping as a row has it.
#[derive(Clone, Copy)]
pub struct Mapped {
    address: u64,
    length: u64,
    acquired: u64,
    args: u64,
    site: u32,
}

/// `prot:8, flags:24, fd:32`.
fn args(protection: c_int, flags: c_int, fd: c_int) -> u64 {
    protection as u64 & 0xff | (flags as u64 & 0xff_ffff) << 8 | (fd as u32 as u64) << 32
}

/// After an `mmap`.
pub fn mapped(
    inside: &Inside,
    result: usize,
    length: usize,
    protection: c_int,
    flags: c_int,
    fd: c_int,
) {
    if inside.level(Kind::Mapping) == Level::Off {
        return;
    }
    let args = args(protection, flags, fd);
    if result == usize::MAX {
        failures::failed(inside, Op::Mmap, Kind::Mapping, [0, args], &[]);
        return;
    }
    let stack = inside.stack(start::settings().stack_depth);
    let region = inside.region;
    let site = sites::find(region, stack, Kind::Mapping as u32, Op::Mmap, inside.now);
    let length = length as u64;
    // A fixed mapping replaces what was there (mmap(2)).
    if flags & libc::MAP_FIXED != 0
        && let Some(old) = take(inside, result as u64)
    {
        count_release(inside, &old, old.length);
    }
    let new = Mapped { address: result as u64, length, acquired: inside.now, args, site };
    put(inside, new);
    sites::acquired(region, site, inside.now, 1, length.max(1));
    let mut label = [0; LABEL_BYTES];
    let named =
        if flags & libc::MAP_ANONYMOUS == 0 { fds::describe(region, fd, &mut label).1 } else { 0 };
    let texts = [label.get(..named).unwrap_or(&[])];
    let texts = if named == 0 { &[][..] } else { &texts[..] };
    inside.write(Op::Mmap, stack, &[result as u64, length, args], texts);
}

/// Before a `munmap`: the row is taken out, its addresses are somebody else's right after.
pub fn unmapping(inside: &Inside, address: usize) -> Option<Mapped> {
    if inside.level(Kind::Mapping) == Level::Off {
        return None;
    }
    take(inside, address as u64)
}

/// After a `munmap` of `length` bytes at `address`.
pub fn unmapped(
    inside: &Inside,
    address: usize,
    length: usize,
    row: Option<Mapped>,
    result: c_int,
) {
    if result != 0 {
        if let Some(row) = row {
            put(inside, row);
        }
        return;
    }
    if inside.level(Kind::Mapping) == Level::Off {
        return;
    }
    let length = (length as u64).next_multiple_of(4096);
    if let Some(row) = row {
        let whole = row.length.next_multiple_of(4096);
        if length < whole {
            // The front part went: the rest lives on behind it.
            let rest = Mapped { address: row.address + length, length: whole - length, ..row };
            put(inside, rest);
            sites::released(inside.region, row.site, inside.now, 0, length, 0);
        } else {
            count_release(inside, &row, row.length);
        }
    }
    let stack = inside.stack(start::settings().stack_depth);
    inside.write(Op::Munmap, stack, &[address as u64, length], &[]);
}

/// After an `mremap`; `row` was taken out before it.
pub fn moved(
    inside: &Inside,
    old: usize,
    old_length: usize,
    new: usize,
    length: usize,
    row: Option<Mapped>,
) {
    let Some(row) = row else {
        if new != usize::MAX && inside.level(Kind::Mapping) != Level::Off {
            write_moved(inside, old, old_length, new, length);
        }
        return;
    };
    if new == usize::MAX {
        put(inside, row);
        return;
    }
    put(inside, Mapped { address: new as u64, length: length as u64, ..row });
    let (before, after) = (row.length, length as u64);
    if after > before {
        sites::acquired(inside.region, row.site, inside.now, 0, after - before);
    } else if before > after {
        sites::released(inside.region, row.site, inside.now, 0, before - after, 0);
    }
    write_moved(inside, old, old_length, new, length);
}

fn write_moved(inside: &Inside, old: usize, old_length: usize, new: usize, length: usize) {
    let stack = inside.stack(start::settings().stack_depth);
    let words = [old as u64, old_length as u64, new as u64, length as u64];
    inside.write(Op::Mremap, stack, &words, &[]);
}

fn count_release(inside: &Inside, row: &Mapped, bytes: u64) {
    let lived = inside.now.saturating_sub(row.acquired);
    sites::released(inside.region, row.site, inside.now, 1, bytes.max(1), lived);
}

fn put(inside: &Inside, mapped: Mapped) {
    let region = inside.region;
    let free = PRIVATE.free_mappings.take();
    let Some((index, row)) =
        free.and_then(|index| Some((index, region.make_row::<MappingRow>(index)?)))
    else {
        region.note_used::<MappingRow>(0, true);
        return;
    };
    row.length.store(mapped.length, Ordering::Relaxed);
    row.acquired.store(mapped.acquired, Ordering::Relaxed);
    row.args.store(mapped.args, Ordering::Relaxed);
    row.site.store(mapped.site, Ordering::Relaxed);
    row.address.store(mapped.address, Ordering::Release);
    if PRIVATE.mappings.insert(hash(mapped.address), index) {
        region.note_used::<MappingRow>(index + 1, false);
    } else {
        row.address.store(0, Ordering::Release);
        PRIVATE.free_mappings.give(index);
        region.note_used::<MappingRow>(0, true);
    }
}

fn take(inside: &Inside, address: u64) -> Option<Mapped> {
    let region = inside.region;
    let is = |index: u32| {
        region
            .row::<MappingRow>(index)
            .is_some_and(|row| row.address.load(Ordering::Relaxed) == address)
    };
    let index = PRIVATE.mappings.remove(hash(address), is)?;
    let row = region.row::<MappingRow>(index)?;
    let mapped = Mapped {
        address,
        length: row.length.load(Ordering::Relaxed),
        acquired: row.acquired.load(Ordering::Relaxed),
        args: row.args.load(Ordering::Relaxed),
        site: row.site.load(Ordering::Relaxed),
    };
    row.address.store(0, Ordering::Release);
    PRIVATE.free_mappings.give(index);
    Some(mapped)
}
