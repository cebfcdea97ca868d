//! Functions of managed languages whose frames were met.

use super::put_text;
use crate::private::PRIVATE;
use crate::region::Region;
use core::sync::atomic::Ordering;
use resshim_format::table::{CodeRow, Runtime};

/// What a runtime says of a function.
pub struct Code<'a> {
    /// Whose it is.
    pub runtime: Runtime,
    /// Where the runtime keeps it.
    pub address: u64,
    /// Line where it begins, 0 = not known.
    pub first_line: u32,
    /// Qualified name, UTF-8.
    pub name: &'a [u8],
    /// Source file.
    pub file: &'a [u8],
}

/// Row of the function with this key, a hash (not 0) of what tells it from every other one of this process,
/// one that stood at the same address before included. `describe` is asked if there is none yet; it gives
/// what it knows to the function that it is handed. 0 = there is no row to be had.
pub fn row(region: Region, key: u64, describe: impl FnOnce(&mut dyn FnMut(&Code<'_>))) -> u32 {
    let key = key.max(1);
    let is_same = |row: u32| {
        let row = region.row::<CodeRow>(row);
        row.is_some_and(|row| row.key.load(Ordering::Acquire) == key)
    };
    let make = || {
        let mut made = None;
        describe(&mut |code| {
            if made.is_none() {
                made = store(region, key, code);
            }
        });
        made
    };
    let found = PRIVATE.codes.find_or_insert(crate::index::hash(key), is_same, make);
    found.unwrap_or_else(|| {
        region.header().managed_lost.fetch_add(1, Ordering::Relaxed);
        0
    })
}

fn store(region: Region, key: u64, code: &Code<'_>) -> Option<u32> {
    let (index, row) = region.next_row::<CodeRow>()?;
    row.address.store(code.address, Ordering::Relaxed);
    row.runtime.store(code.runtime as u32, Ordering::Relaxed);
    row.first_line.store(code.first_line, Ordering::Relaxed);
    put_text(&row.name, code.name);
    put_text(&row.file, code.file);
    row.key.store(key, Ordering::Release);
    Some(index)
}
