//! Modules whose frames were met: the names behind the addresses of stacks.

use super::put_text;
use crate::region;
use crate::stack::ModuleInfo;
use core::sync::atomic::Ordering;
use resshim_format::table::ModuleRow;

/// The unwinder met a module for the first time in this region.
pub fn met(module: &ModuleInfo<'_>) {
    crate::managed::met(module);
    let Some(region) = region::live() else { return };
    let Some((_, row)) = region.next_row::<ModuleRow>() else { return };
    row.end.store(module.end as u64, Ordering::Relaxed);
    row.bias.store(module.bias as u64, Ordering::Relaxed);
    row.epoch.store(module.epoch, Ordering::Relaxed);
    row.build_id_bytes.store(module.build_id_bytes as u32, Ordering::Relaxed);
    put_text(&row.build_id, &module.build_id);
    let room = row.path.len() * 8;
    put_text(&row.path, module.path.get(..room).unwrap_or(module.path));
    row.start.store(module.start as u64, Ordering::Release);
}
