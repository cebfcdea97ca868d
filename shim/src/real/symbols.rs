//! Finds symbols in the modules behind this one, as `dlsym(RTLD_NEXT, …)` does and in a fifth of its
//! time: start looks up nearly two hundred of them in every process.
//!
//! Reads what ld.so keeps for debuggers and profilers (`_r_debug`, `<link.h>`: part of the platform's
//! interface) and the GNU hash tables of the modules. The order of that list is the order of search of
//! the modules that a program starts with. Where anything is out of the ordinary the answer is
//! [`Found::Unclear`], and the caller asks `dlsym`: indirect functions, symbols with several default
//! versions, of a kind or binding that functions have not, a module without such a table, one that
//! stands in for another (`DT_FILTER`).
//!
//! It must not allocate, lock, or call anything.

use core::ffi::{CStr, c_char, c_int};

/// `struct r_debug`, as far as it is looked at.
#[repr(C)]
struct Debug {
    version: c_int,
    first: *const LinkMap,
}

/// `struct link_map`: its public part.
#[repr(C)]
struct LinkMap {
    bias: usize,
    name: *const c_char,
    dynamic: *const Dynamic,
    next: *const LinkMap,
}

/// `Elf64_Dyn`.
#[repr(C)]
struct Dynamic {
    tag: i64,
    value: usize,
}

/// `Elf64_Sym`.
#[repr(C)]
struct Symbol {
    name: u32,
    info: u8,
    other: u8,
    section: u16,
    value: usize,
    bytes: usize,
}

unsafe extern "C" {
    static _r_debug: Debug;
    /// This module's own, from the linker.
    static _DYNAMIC: [Dynamic; 0];
}

/// `dl_new_hash`: what the names in a GNU hash table are found by.
pub const fn hash(name: &CStr) -> u32 {
    let name = name.to_bytes();
    let (mut hash, mut at) = (5381u32, 0);
    while at < name.len() {
        hash = hash.wrapping_mul(33).wrapping_add(name[at] as u32);
        at += 1;
    }
    hash
}

/// Types of symbols.
const VARIABLE: u8 = 1;
const FUNCTION: u8 = 2;

/// What a module has under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The function's address.
    At(usize),
    /// Nothing: the next module may have it.
    Absent,
    /// Something that only the dynamic loader can judge.
    Unclear,
}

/// A module's symbols, where they are.
pub struct Module {
    bias: usize,
    symbols: *const Symbol,
    strings: *const c_char,
    versions: *const u16,
    bloom: *const u64,
    bloom_mask: u32,
    bloom_shift: u32,
    buckets: *const u32,
    bucket_count: u32,
    first_hashed: u32,
}

/// Calls `each` with the modules behind this one in the order of search, until it gives false. Ends early,
/// and gives false, at a module whose symbols cannot be found this way.
pub fn each_module_behind(mut each: impl FnMut(&Module) -> bool) -> bool {
    let own = &raw const _DYNAMIC as *const Dynamic;
    // SAFETY: ld.so's list of modules; all of them are mapped, and none goes while the program starts.
    unsafe {
        let mut map = (&raw const _r_debug.first).read();
        while !map.is_null() && (*map).dynamic != own {
            map = (*map).next;
        }
        if map.is_null() {
            return false;
        }
        map = (*map).next;
        while !map.is_null() {
            // The vDSO is in the list, but nothing is looked up in it.
            let is_kernels = !(*map).name.is_null() && begins((*map).name, b"linux-vdso");
            if !is_kernels {
                match Module::of((*map).bias, (*map).dynamic) {
                    Ok(Some(module)) if !each(&module) => return true,
                    Ok(_) => {}
                    Err(Unusual) => return false,
                }
            }
            map = (*map).next;
        }
    }
    true
}

/// A module that is not looked into.
struct Unusual;

/// An address in ld.so.
pub fn inside_loader() -> usize {
    (&raw const _r_debug).addr()
}

/// The executable, where its symbols can be found this way. It has copies of some variables of the libraries that it
/// was linked with, which these use themselves then.
pub fn executable() -> Option<Module> {
    // SAFETY: the first in ld.so's list is the executable, which stays.
    unsafe {
        let map = (&raw const _r_debug.first).read().as_ref()?;
        Module::of(map.bias, map.dynamic).ok()?
    }
}

impl Module {
    /// The module whose dynamic section lies at this address, if its symbols can be found this way.
    ///
    /// # Safety
    /// A module that is loaded, and stays while it is asked.
    pub unsafe fn loaded(bias: usize, dynamic: usize) -> Option<Module> {
        // SAFETY: by the caller's promise.
        unsafe { Module::of(bias, core::ptr::with_exposed_provenance(dynamic)).ok()? }
    }

    /// The tables of a loaded module; `None` if it has no symbols.
    ///
    /// # Safety
    /// What ld.so, or the program headers, say of a module that is loaded.
    unsafe fn of(bias: usize, dynamic: *const Dynamic) -> Result<Option<Module>, Unusual> {
        const HASH: i64 = 4;
        const STRINGS: i64 = 5;
        const SYMBOLS: i64 = 6;
        const VERSIONS: i64 = 0x6fff_fff0;
        const GNU_HASH: i64 = 0x6fff_fef5;
        const AUXILIARY: i64 = 0x7fff_fffd;
        const FILTER: i64 = 0x7fff_ffff;
        let (mut symbols, mut strings, mut versions, mut table) = (0, 0, 0, 0);
        let mut has_symbols = false;
        let mut at = dynamic;
        // SAFETY: the list ends with a tag of 0.
        unsafe {
            while !at.is_null() && (*at).tag != 0 {
                // ld.so adds the bias in place, but where the list is read-only.
                let value = (*at).value;
                let address = if value < bias { value.wrapping_add(bias) } else { value };
                match (*at).tag {
                    HASH => has_symbols = true,
                    STRINGS => strings = address,
                    SYMBOLS => symbols = address,
                    VERSIONS => versions = address,
                    GNU_HASH => table = address,
                    AUXILIARY | FILTER => return Err(Unusual),
                    _ => {}
                }
                at = at.add(1);
            }
        }
        if bias > isize::MAX as usize {
            return Err(Unusual);
        }
        if table == 0 {
            return if has_symbols { Err(Unusual) } else { Ok(None) };
        }
        if symbols == 0 || strings == 0 || !table.is_multiple_of(8) {
            return Err(Unusual);
        }
        let head = core::ptr::with_exposed_provenance::<u32>(table);
        // SAFETY: the table begins with these four words, then the filter, then the buckets.
        let [bucket_count, first_hashed, bloom_words, bloom_shift] =
            unsafe { *head.cast::<[u32; 4]>() };
        if bucket_count == 0 || !bloom_words.is_power_of_two() || bloom_shift >= 32 {
            return Err(Unusual);
        }
        let bloom = head.wrapping_add(4).cast::<u64>();
        Ok(Some(Module {
            bias,
            symbols: core::ptr::with_exposed_provenance(symbols),
            strings: core::ptr::with_exposed_provenance(strings),
            versions: core::ptr::with_exposed_provenance(versions),
            bloom,
            bloom_mask: bloom_words - 1,
            bloom_shift,
            buckets: bloom.wrapping_add(bloom_words as usize).cast(),
            bucket_count,
            first_hashed,
        }))
    }

    /// Address of a variable or function of this name in this module, whatever the order of search says.
    pub fn own(&self, name: &CStr) -> Option<usize> {
        match self.find_of(name, hash(name), &[VARIABLE, FUNCTION]) {
            Found::At(address) => Some(address),
            Found::Absent | Found::Unclear => None,
        }
    }

    /// What stands under a name, without a version: the default one, as for `dlsym`.
    #[inline(always)]
    pub fn find(&self, name: &CStr, hash: u32) -> Found {
        self.find_of(name, hash, &[FUNCTION])
    }

    #[inline(always)]
    fn find_of(&self, name: &CStr, hash: u32, types: &[u8]) -> Found {
        // SAFETY: the tables are as the linker made them, or ld.so could not use them either.
        unsafe {
            let filter = *self.bloom.add((hash >> 6 & self.bloom_mask) as usize);
            if filter >> (hash & 63) & filter >> (hash >> self.bloom_shift & 63) & 1 == 0 {
                return Found::Absent;
            }
            self.search(name, hash, types)
        }
    }

    /// # Safety
    /// As for [`Module::find`].
    #[inline(never)]
    unsafe fn search(&self, name: &CStr, hash: u32, types: &[u8]) -> Found {
        // SAFETY: chains end with an odd word; there is one word for each symbol from `first_hashed` on.
        unsafe {
            let mut index = *self.buckets.add((hash % self.bucket_count) as usize);
            if index < self.first_hashed {
                return Found::Absent;
            }
            let chains = self.buckets.add(self.bucket_count as usize);
            let mut found = Found::Absent;
            loop {
                let stands = *chains.add((index - self.first_hashed) as usize);
                if (stands ^ hash) >> 1 == 0 {
                    match self.judge(index, name, types) {
                        Found::Absent => {}
                        // Two that both are the default one.
                        _ if found != Found::Absent => return Found::Unclear,
                        one => found = one,
                    }
                }
                if stands & 1 != 0 {
                    return found;
                }
                index += 1;
            }
        }
    }

    /// Whether the symbol `index` is what `dlsym` would take under this name.
    ///
    /// # Safety
    /// As for [`Module::find`]; the module has so many symbols.
    unsafe fn judge(&self, index: u32, name: &CStr, types: &[u8]) -> Found {
        const GLOBAL_OR_WEAK: [u8; 2] = [1, 2];
        const HIDDEN_VERSION: u16 = 0x8000;
        // SAFETY: by the caller's promise; names are C strings.
        unsafe {
            let symbol = &*self.symbols.add(index as usize);
            if !begins(self.strings.add(symbol.name as usize), name.to_bytes_with_nul()) {
                return Found::Absent;
            }
            if symbol.section == 0 && symbol.value == 0 {
                // Wanted from elsewhere.
                return Found::Absent;
            }
            if !self.versions.is_null() {
                let version = *self.versions.add(index as usize);
                if version & HIDDEN_VERSION != 0 {
                    return Found::Absent;
                }
                if version == 0 {
                    return Found::Unclear;
                }
            }
            let is_plain = types.contains(&(symbol.info & 15))
                && GLOBAL_OR_WEAK.contains(&(symbol.info >> 4))
                // Neither hidden nor internal.
                && matches!(symbol.other & 3, 0 | 3)
                // Defined in a section, not an absolute number.
                && symbol.section != 0
                && symbol.section < 0xff00
                && symbol.value != 0;
            if is_plain { Found::At(self.bias.wrapping_add(symbol.value)) } else { Found::Unclear }
        }
    }
}

/// Whether a C string begins with these bytes. A loop: libc's function for it would be touched for nothing
/// else.
///
/// # Safety
/// `text` is a C string, and `bytes` has no NUL but at its end.
unsafe fn begins(text: *const c_char, bytes: &[u8]) -> bool {
    // SAFETY: stops at the first byte that differs, so at the string's end.
    bytes.iter().enumerate().all(|(at, byte)| unsafe { *text.add(at) as u8 == *byte })
}
