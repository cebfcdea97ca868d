//! Modules whose frames were met: the names behind the addresses of stacks.

use super::put_text;
use crate::region;
use crate::stack::ModuleInfo;
use core::sync::atomic::Ordering;
use resshim_format::table::ModuleRow;

/// The unwinder met a module for the first time in this region.
pub fn met(module: &ModuleInfo) {
    let Some(region) = region::live() else { return };
    let Some((_, row)) = region.next_row::<ModuleRow>() else { return };
    row.end.store(module.end as u64, Ordering::Relaxed);
    row.bias.store(module.bias as u64, Ordering::Relaxed);
    row.epoch.store(module.epoch, Ordering::Relaxed);
    row.build_id_bytes.store(module.build_id_bytes as u32, Ordering::Relaxed);
    put_text(&row.build_id, &module.build_id);
    // The loader keeps it as long as the module, which is loaded: its code is on the stack.
    let path = crate::caller::loader_string(module.path);
    let room = row.path.len() * 8;
    put_text(&row.path, path.get(..room).unwrap_or(path));
    row.start.store(module.start as u64, Ordering::Release);
}
