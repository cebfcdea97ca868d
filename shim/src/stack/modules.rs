//! Modules: what the dynamic loader knows about an address, and which modules were announced.
//!
//! A module is announced (its range, bias, path and build id given to the hook) the first time that a
//! rule is looked up in it, so loading a library needs no work; after an epoch change it is announced
//! again only if another one stands at its address. `_dl_find_object` (glibc 2.35) takes no lock and may
//! be called in signal handlers and while libraries are being loaded. Where it is absent the kernel's list
//! of mappings is asked ([`super::mapped`]).

use super::apart;
use super::cfi::UnwindTables;
use super::{executable, mapped};
use core::ffi::c_void;
use core::mem::size_of;
use core::ptr::with_exposed_provenance;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// What the core is told about a module.
#[derive(Clone, Copy, Debug)]
pub struct ModuleInfo<'a> {
    /// Lowest address of its image.
    pub start: usize,
    /// One past its highest address.
    pub end: usize,
    /// What is added to its own addresses.
    pub bias: usize,
    /// Its path as the loader has it; empty = the executable.
    pub path: &'a [u8],
    /// Its build id; the first `build_id_bytes` of it.
    pub build_id: [u8; 20],
    /// Bytes of the build id that are kept, 0 = it has none.
    pub build_id_bytes: usize,
    /// Epoch of the walk that met it first.
    pub epoch: u32,
    /// Address of its dynamic section, 0 = not known.
    pub dynamic: usize,
}

/// `struct dl_find_object` of `<dlfcn.h>` on x86-64.
#[repr(C)]
struct FoundObject {
    flags: u64,
    map_start: usize,
    map_end: usize,
    link_map: usize,
    eh_frame_hdr: usize,
    reserved: [u64; 7],
}
type FindObject = unsafe extern "C" fn(*const (), *mut FoundObject) -> i32;

static FIND_OBJECT: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
static MODULE_HOOK: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// The address of glibc's `_dl_find_object`, null where there is none.
pub fn set_find_object(function: *const c_void) {
    FIND_OBJECT.store(function.cast_mut().cast(), Ordering::Release);
}

/// Who is told of modules. It runs where the walk runs: it must not allocate, block or panic.
pub fn set_module_hook(hook: fn(&ModuleInfo<'_>)) {
    MODULE_HOOK.store(hook as *mut (), Ordering::Release);
}

/// A module as the loader knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Object {
    /// Lowest address of its image.
    pub start: usize,
    /// One past its highest address.
    pub end: usize,
    /// What is added to its own addresses.
    pub bias: usize,
    /// Address of its path, a C string that stays while it is loaded; 0 = not known.
    pub name: usize,
    /// Address of its `.eh_frame_hdr`, 0 = it has none.
    pub eh_frame_hdr: usize,
    /// Its program headers are those that the kernel told.
    pub is_executable: bool,
}

/// The module that an address lies in.
pub(super) fn find(pc: usize) -> Option<Object> {
    let function = FIND_OBJECT.load(Ordering::Acquire);
    if function.is_null() {
        return mapped::find(pc);
    }
    // SAFETY: `set_find_object` was given the address of a function of this type, or null.
    let find = unsafe { core::mem::transmute::<*mut (), FindObject>(function) };
    let mut found = FoundObject {
        flags: 0,
        map_start: 0,
        map_end: 0,
        link_map: 0,
        eh_frame_hdr: 0,
        reserved: [0; 7],
    };
    // SAFETY: it takes any address and fills the structure.
    let status = unsafe { find(with_exposed_provenance(pc), &mut found) };
    if status != 0 || found.map_start >= found.map_end {
        return None;
    }
    let (bias, name) = if found.link_map == 0 {
        (found.map_start, 0)
    } else {
        // SAFETY: the loader's own record of a module that is loaded; `l_addr` and `l_name` are its
        // first, public fields.
        unsafe { *with_exposed_provenance::<(usize, usize)>(found.link_map) }
    };
    let whole = executable::range_around(pc);
    let (start, end) = whole.unwrap_or((found.map_start, found.map_end));
    Some(Object {
        start,
        end,
        bias,
        name,
        eh_frame_hdr: found.eh_frame_hdr,
        is_executable: whole.is_some(),
    })
}

/// `Elf64_Phdr`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct ProgramHeader {
    pub kind: u32,
    flags: u32,
    offset: u64,
    pub address: usize,
    physical: u64,
    file_bytes: usize,
    pub bytes: usize,
    align: u64,
}
pub(super) const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const NOTE: u32 = 4;
/// As in `PATH_MAX`.
const LONGEST_PATH: usize = 4096;
pub(super) const MOST_HEADERS: usize = 64;
const ELF_HEADER_BYTES: usize = 64;
/// Notes are looked through up to here.
const MOST_NOTE_BYTES: usize = 64 * 1024;

impl Object {
    /// The program headers, if they are known or the image begins with its ELF header.
    pub fn headers(&self) -> &'static [ProgramHeader] {
        if self.is_executable {
            return executable::headers();
        }
        if self.end - self.start < ELF_HEADER_BYTES {
            return &[];
        }
        // SAFETY: the first page of a loaded image is mapped and readable.
        let header = unsafe { *with_exposed_provenance::<[u8; ELF_HEADER_BYTES]>(self.start) };
        let [0x7f, b'E', b'L', b'F', 2, ..] = header else { return &[] };
        let half = |at: usize| match header.get(at..).and_then(|h| h.first_chunk()) {
            Some(bytes) => usize::from(u16::from_le_bytes(*bytes)),
            None => 0,
        };
        let offset = match header.get(32..).and_then(|h| h.first_chunk()) {
            Some(bytes) => u64::from_le_bytes(*bytes) as usize,
            None => return &[],
        };
        let (entry_bytes, count) = (half(54), half(56));
        let bytes = count * size_of::<ProgramHeader>();
        let fits = entry_bytes == size_of::<ProgramHeader>()
            && count <= MOST_HEADERS
            && offset % 8 == 0
            && offset <= 4096 - bytes
            && bytes <= self.end - self.start - offset.min(self.end - self.start);
        if !fits {
            return &[];
        }
        // SAFETY: inside the first page of the image, aligned, never written.
        unsafe { core::slice::from_raw_parts(with_exposed_provenance(self.start + offset), count) }
    }

    /// The end of the segment that an address of this module lies in, the module's own end if there are
    /// no headers to tell.
    pub fn segment_end(&self, address: usize) -> usize {
        let bias = self.bias;
        let headers = self.headers();
        if headers.is_empty() {
            return self.end;
        }
        for header in headers.iter().filter(|h| h.kind == LOAD) {
            let start = bias.wrapping_add(header.address);
            if address.wrapping_sub(start) < header.bytes {
                return start.wrapping_add(header.bytes).min(self.end);
            }
        }
        address
    }

    /// The build id among the notes.
    fn build_id(&self) -> ([u8; 20], usize) {
        let bias = self.bias;
        for header in self.headers().iter().filter(|h| h.kind == NOTE) {
            let start = bias.wrapping_add(header.address);
            let bytes = header.file_bytes.min(MOST_NOTE_BYTES);
            if start < self.start || self.segment_end(start).saturating_sub(start) < bytes {
                continue;
            }
            // SAFETY: inside a loaded, readable segment of the image.
            let notes =
                unsafe { core::slice::from_raw_parts(with_exposed_provenance::<u8>(start), bytes) };
            if let Some(found) = build_id_in(notes) {
                return found;
            }
        }
        ([0; 20], 0)
    }

    /// What is told of it.
    pub fn info(&self, epoch: u32) -> ModuleInfo<'static> {
        let (build_id, build_id_bytes) = self.build_id();
        let dynamic = self.headers().iter().find(|header| header.kind == DYNAMIC);
        ModuleInfo {
            start: self.start,
            end: self.end,
            bias: self.bias,
            path: string(self.name),
            build_id,
            build_id_bytes,
            epoch,
            dynamic: dynamic.map_or(0, |header| self.bias.wrapping_add(header.address)),
        }
    }

    /// The unwind tables, if the module has any that can be searched.
    pub fn unwind_tables(&self) -> Option<UnwindTables> {
        let inside = self.start <= self.eh_frame_hdr && self.eh_frame_hdr < self.end;
        if inside { UnwindTables::open(self) } else { None }
    }
}

/// A string of the loader's, of a module that is loaded.
fn string(address: usize) -> &'static [u8] {
    if address == 0 {
        return &[];
    }
    let text = with_exposed_provenance::<u8>(address);
    let mut length = 0;
    // SAFETY: reads up to the NUL. The loader keeps the string as long as the module is loaded.
    unsafe {
        while length < LONGEST_PATH && *text.add(length) != 0 {
            length += 1;
        }
        core::slice::from_raw_parts(text, length)
    }
}

/// The description of an `NT_GNU_BUILD_ID` note, cut to 20 bytes.
fn build_id_in(mut notes: &[u8]) -> Option<([u8; 20], usize)> {
    const GNU_BUILD_ID: u32 = 3;
    loop {
        let (head, rest) = notes.split_first_chunk::<12>()?;
        let word = |at: usize| head.get(at..).and_then(|h| h.first_chunk().copied());
        let name_bytes = u32::from_le_bytes(word(0)?) as usize;
        let bytes = u32::from_le_bytes(word(4)?) as usize;
        let kind = u32::from_le_bytes(word(8)?);
        let name = rest.get(..name_bytes)?;
        let rest = rest.get(name_bytes.checked_next_multiple_of(4)?..)?;
        let description = rest.get(..bytes)?;
        if kind == GNU_BUILD_ID && name == b"GNU\0" {
            let mut id = [0; 20];
            let kept = bytes.min(20);
            id.get_mut(..kept)?.copy_from_slice(description.get(..kept)?);
            return Some((id, kept));
        }
        notes = rest.get(bytes.checked_next_multiple_of(4)?..)?;
    }
}

/// Modules that were announced, in the order in which they were met; `start` 0 ends the list.
struct Known {
    start: AtomicUsize,
    /// `identity:32 | 1 + epoch:32` for which it was last found unchanged.
    seen: AtomicU64,
}
apart! { static KNOWN: [Known; 1024] = "resshim_known_modules"; }

/// What tells a module from another one at the same address.
fn identity(info: &ModuleInfo<'_>) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut mix = |word: u64| hash = (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
    for word in [info.end as u64, info.bias as u64] {
        mix(word);
        mix(word >> 32);
    }
    info.build_id.iter().chain(info.path).for_each(|byte| mix(u64::from(*byte)));
    (hash >> 32) as u32
}

/// Announces a module, unless it is known.
pub(super) fn meet(object: &Object, epoch: u32) {
    for known in &KNOWN {
        let start = match known.start.compare_exchange(
            0,
            object.start,
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            Ok(_) => object.start,
            Err(stands) => stands,
        };
        if start != object.start {
            continue;
        }
        let seen = known.seen.load(Ordering::Acquire);
        let stamp = u64::from(epoch.wrapping_add(1));
        if seen & 0xffff_ffff == stamp {
            return;
        }
        let info = object.info(epoch);
        let now = u64::from(identity(&info)) << 32 | stamp;
        let won = known.seen.compare_exchange(seen, now, Ordering::AcqRel, Ordering::Relaxed);
        if won.is_ok() && (seen == 0 || seen >> 32 != now >> 32) {
            announce(&info);
        }
        return;
    }
}

fn announce(info: &ModuleInfo<'_>) {
    let hook = MODULE_HOOK.load(Ordering::Acquire);
    if !hook.is_null() {
        // SAFETY: `set_module_hook` stored a function of this type.
        let hook = unsafe { core::mem::transmute::<*mut (), fn(&ModuleInfo<'_>)>(hook) };
        hook(info);
    }
}

/// Announces again what is known and still loaded: for a region that begins in a fork child, whose
/// cache already has the rules (and will therefore not meet the modules anew).
pub fn announce_known() {
    let epoch = super::epoch();
    for known in &KNOWN {
        let start = known.start.load(Ordering::Acquire);
        if start == 0 {
            return;
        }
        if let Some(object) = find(start).filter(|o| o.start == start) {
            announce(&object.info(epoch));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_id_is_found_behind_other_notes() {
        let mut notes = vec![4, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0];
        notes.extend(b"GNU\0abcde\0\0\0");
        notes.extend([4, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0]);
        notes.extend(b"GNU\0xyz");
        assert_eq!(
            build_id_in(&notes).map(|(id, n)| (id[..n].to_vec(), n)),
            Some((b"xyz".to_vec(), 3))
        );
        for cut in 0..notes.len() {
            assert_eq!(build_id_in(&notes[..cut]), None);
        }
    }
}
