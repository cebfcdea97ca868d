//! Where HotSpot keeps what: offsets that `libjvm.so` itself tells, in the tables it has for its
//! serviceability agent (`gHotSpotVMStructs` and its like, `vmStructs.hpp`).
//!
//! A table that is missing or says something else than what is needed gives no layout at all.

#![allow(unsafe_code, reason = "reads the tables in which the VM describes itself")]

use core::ffi::{CStr, c_char, c_void};

/// Entries of a table that are looked at, at most: there are some 3 000.
const MOST_ENTRIES: usize = 1 << 16;

/// Offsets and sizes in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// `Method::_constMethod`.
    pub const_method: usize,
    /// `ConstMethod::_constants`.
    pub constants: usize,
    /// `ConstMethod::_constMethod_size`, in words.
    pub const_method_words: usize,
    /// `ConstMethod::_flags`, two bytes at least.
    pub flags: usize,
    /// The flag of a method with a table of lines.
    pub has_lines: u16,
    /// `ConstMethod::_code_size`, two bytes.
    pub code_bytes: usize,
    /// `ConstMethod::_name_index`, two bytes.
    pub name_index: usize,
    /// Bytes of a `ConstMethod`: the byte codes follow, then the lines.
    pub code: usize,
    /// `ConstantPool::_pool_holder`.
    pub holder: usize,
    /// Bytes of a `ConstantPool`: its entries follow, a word each.
    pub entries: usize,
    /// `_source_file_name_index`, two bytes.
    pub source_index: usize,
    /// Whether the pool has it; else the class does.
    pub source_in_pool: bool,
    /// `Klass::_name`.
    pub class_name: usize,
    /// `Symbol::_length`, two bytes.
    pub symbol_length: usize,
    /// `Symbol::_body`.
    pub symbol_body: usize,
    /// Address of `CodeCache::_low_bound`.
    pub code_low: usize,
    /// Address of `CodeCache::_high_bound`.
    pub code_high: usize,
    /// How lines are written; see [`super::lines`].
    pub coding: super::lines::Coding,
}

/// A table of `libjvm.so`: where its first entry is, how far they are apart.
struct Table {
    first: *const u8,
    stride: usize,
}

impl Table {
    /// Entries whose names are not null, which ends a table.
    fn entries(&self, name: usize) -> impl Iterator<Item = *const u8> {
        let (first, stride) = (self.first, self.stride);
        // SAFETY: the table ends with an entry without a name.
        let entry = move |index: usize| unsafe { first.add(index * stride) };
        (0..MOST_ENTRIES).map(entry).take_while(move |entry| {
            // SAFETY: as above; a name is a pointer.
            unsafe { !entry.add(name).cast::<*const c_char>().read_unaligned().is_null() }
        })
    }
}

/// Looks up exported variables of one VM.
pub struct Variables<F: Fn(&CStr) -> *mut c_void>(pub F);

impl<F: Fn(&CStr) -> *mut c_void> Variables<F> {
    /// Value of an exported 64-bit variable.
    fn word(&self, name: &CStr) -> Option<usize> {
        let place = (self.0)(name).cast::<usize>();
        // SAFETY: an exported variable of this type, or null.
        (!place.is_null()).then(|| unsafe { place.read() })
    }

    fn table(&self, first: &CStr, stride: &CStr) -> Option<Table> {
        let (first, stride) = (self.word(first)?, self.word(stride)?);
        (first != 0 && stride != 0).then_some(Table { first: first as *const u8, stride })
    }

    /// The layout; `None` where this VM does not tell all of it.
    pub fn layout(&self) -> Option<Layout> {
        let structs = Structs::of(self)?;
        let types = Named::types(self)?;
        let constants = Named::constants(self)?;
        let flag = constants
            .value(b"ConstMethod::_has_linenumber_table")
            .or_else(|| constants.value(b"ConstMethodFlags::_misc_has_linenumber_table"))?;
        let (source_index, source_in_pool) =
            match structs.offset(b"ConstantPool", &[b"_source_file_name_index"]) {
                Some(offset) => (offset, true),
                None => (structs.offset(b"InstanceKlass", &[b"_source_file_name_index"])?, false),
            };
        Some(Layout {
            const_method: structs.offset(b"Method", &[b"_constMethod"])?,
            constants: structs.offset(b"ConstMethod", &[b"_constants"])?,
            const_method_words: structs.offset(b"ConstMethod", &[b"_constMethod_size"])?,
            flags: structs.offset(b"ConstMethod", &[b"_flags", b"_flags._flags"])?,
            has_lines: u16::try_from(flag).ok()?,
            code_bytes: structs.offset(b"ConstMethod", &[b"_code_size"])?,
            name_index: structs.offset(b"ConstMethod", &[b"_name_index"])?,
            code: types.value(b"ConstMethod")?,
            holder: structs.offset(b"ConstantPool", &[b"_pool_holder"])?,
            entries: types.value(b"ConstantPool")?,
            source_index,
            source_in_pool,
            class_name: structs.offset(b"Klass", &[b"_name"])?,
            symbol_length: structs.offset(b"Symbol", &[b"_length"])?,
            symbol_body: structs.offset(b"Symbol", &[b"_body", b"_body[0]"])?,
            code_low: structs.address(b"CodeCache", b"_low_bound")?,
            code_high: structs.address(b"CodeCache", b"_high_bound")?,
            coding: super::lines::Coding::SinceJdk20,
        })
    }
}

/// # Safety
/// `place` is in an entry of a table, and holds a pointer to a C string, or null.
unsafe fn text<'a>(place: *const u8) -> &'a [u8] {
    // SAFETY: by the caller's promise; the strings are constants of `libjvm.so`.
    unsafe {
        let string = place.cast::<*const c_char>().read_unaligned();
        if string.is_null() { &[] } else { CStr::from_ptr(string).to_bytes() }
    }
}

/// `gHotSpotVMStructs`: fields of structures.
struct Structs {
    table: Table,
    of_type: usize,
    of_field: usize,
    of_offset: usize,
    of_address: usize,
}

impl Structs {
    fn of<F: Fn(&CStr) -> *mut c_void>(variables: &Variables<F>) -> Option<Structs> {
        Some(Structs {
            table: variables.table(c"gHotSpotVMStructs", c"gHotSpotVMStructEntryArrayStride")?,
            of_type: variables.word(c"gHotSpotVMStructEntryTypeNameOffset")?,
            of_field: variables.word(c"gHotSpotVMStructEntryFieldNameOffset")?,
            of_offset: variables.word(c"gHotSpotVMStructEntryOffsetOffset")?,
            of_address: variables.word(c"gHotSpotVMStructEntryAddressOffset")?,
        })
    }

    fn find(&self, structure: &[u8], field: &[u8]) -> Option<*const u8> {
        // SAFETY: both are names, in an entry.
        self.table.entries(self.of_type).find(|entry| unsafe {
            text(entry.add(self.of_type)) == structure && text(entry.add(self.of_field)) == field
        })
    }

    /// Offset of the first of these fields that the structure has.
    fn offset(&self, structure: &[u8], fields: &[&[u8]]) -> Option<usize> {
        let entry = fields.iter().find_map(|field| self.find(structure, field))?;
        // SAFETY: a 64-bit number, in an entry.
        let offset = unsafe { entry.add(self.of_offset).cast::<u64>().read_unaligned() };
        // No structure that is asked for is larger.
        (offset < 1 << 16).then_some(offset as usize)
    }

    /// Address of a static field.
    fn address(&self, structure: &[u8], field: &[u8]) -> Option<usize> {
        let entry = self.find(structure, field)?;
        // SAFETY: an address, in an entry.
        let address = unsafe { entry.add(self.of_address).cast::<usize>().read_unaligned() };
        (address != 0).then_some(address)
    }
}

/// A table of names and numbers.
struct Named {
    table: Table,
    of_name: usize,
    of_value: usize,
    /// Bytes of a number.
    wide: bool,
}

impl Named {
    /// Sizes of types.
    fn types<F: Fn(&CStr) -> *mut c_void>(variables: &Variables<F>) -> Option<Named> {
        Some(Named {
            table: variables.table(c"gHotSpotVMTypes", c"gHotSpotVMTypeEntryArrayStride")?,
            of_name: variables.word(c"gHotSpotVMTypeEntryTypeNameOffset")?,
            of_value: variables.word(c"gHotSpotVMTypeEntrySizeOffset")?,
            wide: true,
        })
    }

    fn constants<F: Fn(&CStr) -> *mut c_void>(variables: &Variables<F>) -> Option<Named> {
        Some(Named {
            table: variables
                .table(c"gHotSpotVMIntConstants", c"gHotSpotVMIntConstantEntryArrayStride")?,
            of_name: variables.word(c"gHotSpotVMIntConstantEntryNameOffset")?,
            of_value: variables.word(c"gHotSpotVMIntConstantEntryValueOffset")?,
            wide: false,
        })
    }

    fn value(&self, name: &[u8]) -> Option<usize> {
        // SAFETY: a name and a number, in an entry.
        unsafe {
            let is_it = |entry: &*const u8| text(entry.add(self.of_name)) == name;
            let entry = self.table.entries(self.of_name).find(is_it)?;
            let place = entry.add(self.of_value);
            let value = if self.wide {
                place.cast::<u64>().read_unaligned()
            } else {
                u64::from(place.cast::<u32>().read_unaligned())
            };
            (value < 1 << 16).then_some(value as usize)
        }
    }
}
