//! Where CPython keeps what a frame is known by: a table for versions that do not tell, their own
//! description (`_Py_DebugOffsets`) from 3.13 on.

use super::lines::Table;

/// Offsets, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// In `_PyRuntime`: the state of the thread that ends the interpreter.
    pub finalizing: usize,
    /// In `PyThreadState`: the innermost frame, or (3.11, 3.12) the `_PyCFrame` that points at it.
    pub current: usize,
    /// In `_PyCFrame`: the innermost frame.
    pub through: Option<usize>,
    /// In `PyThreadState`: `thread_id`.
    pub thread_id: usize,
    /// In `PyThreadState`: `datastack_chunk`, where the innermost frame is still linked while it is taken
    /// down (3.11 alone).
    pub stack_chunk: Option<usize>,
    /// In a frame: its code.
    pub code: usize,
    /// In a frame: the one that called it.
    pub previous: usize,
    /// In a frame: the instruction, or its index.
    pub instruction: Instruction,
    /// In a frame: what says that an activation of the interpreter's loop began with it.
    pub entry: Entry,
    /// In a code object.
    pub filename: usize,
    /// In a code object: `co_qualname`, `co_name` before 3.11.
    pub name: usize,
    /// In a code object.
    pub first_line: usize,
    /// In a code object: a number that no other one of its interpreter has (3.12 and later).
    pub version: Option<usize>,
    /// In a code object.
    pub line_table: usize,
    /// How that is written.
    pub table: Table,
    /// In a `str`: where characters begin if they are ASCII.
    pub ascii: usize,
    /// In a `str`: where they begin otherwise.
    pub wide: usize,
    /// In the state of a `str`: bits before the width of its characters.
    pub state_shift: u32,
    /// `tp_basicsize` of code objects.
    pub code_size: usize,
    /// That of frame objects, where it is known.
    pub frame_size: Option<usize>,
}

/// How a frame says where it is.
#[derive(Clone, Copy, Debug)]
pub enum Instruction {
    /// A 32-bit index at this offset, in units of so many bytes.
    Index(usize, i32),
    /// A pointer at this offset into the code, which begins at the second one in the code object.
    Pointer(usize, usize),
}

/// How a frame says that an activation of the interpreter's loop began with it.
#[derive(Clone, Copy, Debug)]
pub enum Entry {
    /// Each one did.
    Always,
    /// A byte at this offset is not 0.
    Flag(usize),
    /// The next outer frame is none of a function: the byte at this offset is 3 or more.
    OuterOwner(usize),
}

/// In a code object of 3.12 and 3.13: `co_version`.
const CODE_VERSION: usize = 92;

/// What every version has at the same place.
pub const TYPE: usize = 8;
/// In a type: `tp_basicsize`.
pub const TYPE_SIZE: usize = 32;
/// In a `str`.
pub const LENGTH: usize = 16;
/// In a `str`.
pub const STATE: usize = 32;
/// In a `bytes`, and in a code object from 3.11 on.
pub const SIZE: usize = 16;
/// In a `bytes`.
pub const BYTES: usize = 32;

/// The layout of a version that has no description; `None`: not known.
pub fn of_version(minor: u32) -> Option<Layout> {
    let old = Layout {
        finalizing: 16,
        current: 24,
        through: None,
        thread_id: 176,
        stack_chunk: None,
        code: 32,
        previous: 24,
        instruction: Instruction::Index(104, 1),
        entry: Entry::Always,
        filename: 104,
        name: 112,
        first_line: 40,
        version: None,
        line_table: 120,
        table: Table::Increments,
        ascii: 48,
        wide: 72,
        state_shift: 2,
        code_size: 176,
        frame_size: Some(368),
    };
    match minor {
        9 => Some(old),
        10 => Some(Layout {
            instruction: Instruction::Index(96, 2),
            table: Table::Ranges,
            frame_size: Some(360),
            ..old
        }),
        11 => Some(Layout {
            finalizing: 24,
            current: 56,
            through: Some(8),
            thread_id: 152,
            stack_chunk: Some(296),
            code: 32,
            previous: 48,
            instruction: Instruction::Pointer(56, 184),
            entry: Entry::Flag(68),
            filename: 112,
            name: 128,
            first_line: 72,
            line_table: 136,
            table: Table::Locations,
            code_size: 184,
            frame_size: Some(120),
            ..old
        }),
        12 => Some(Layout {
            finalizing: 24,
            current: 56,
            through: Some(0),
            thread_id: 136,
            stack_chunk: None,
            code: 0,
            previous: 8,
            instruction: Instruction::Pointer(56, 192),
            entry: Entry::OuterOwner(70),
            filename: 112,
            name: 128,
            first_line: 68,
            line_table: 136,
            table: Table::Locations,
            ascii: 40,
            wide: 56,
            code_size: 192,
            frame_size: Some(120),
            version: Some(CODE_VERSION),
            ..old
        }),
        _ => None,
    }
}

/// Words of `_Py_DebugOffsets` that are looked at, the cookie among them.
pub const DESCRIPTION_WORDS: usize = 64;
const COOKIE: u64 = u64::from_le_bytes(*b"xdebugpy");
/// No offset in these structures is larger.
const LARGEST: u64 = 4096;

/// The layout that `_Py_DebugOffsets` (the first words of `_PyRuntime`) describes. The structure is
/// `Include/internal/pycore_debug_offsets.h` (3.13: `pycore_runtime.h`).
pub fn described(minor: u32, words: &[u64; DESCRIPTION_WORDS]) -> Option<Layout> {
    let [cookie, version, free_threaded, ..] = *words;
    // Without the GIL objects have another head, and threads other states.
    if cookie != COOKIE || version >> 16 != 0x0300 | u64::from(minor) || free_threaded != 0 {
        return None;
    }
    // Words of the parts: runtime 3, interpreter 13 (3.14: 16), thread 9, frame 6 (3.14: 8), code 10 (11).
    let (interpreter_words, frame_words, code_words) = match minor {
        13 => (13, 6, 10),
        14 => (16, 8, 11),
        _ => return None,
    };
    let thread = 3 + 3 + interpreter_words;
    let frame = thread + 9;
    let code = frame + frame_words;
    let object = code + code_words;
    let offset = |at: usize| {
        let value = words.get(at).copied().filter(|value| *value < LARGEST)?;
        Some(value as usize)
    };
    (offset(object + 1)? == TYPE).then_some(())?;
    // What the state of a string looks like is not told.
    let state_shift = if minor == 13 { 2 } else { 16 };
    Some(Layout {
        finalizing: offset(4)?,
        current: offset(thread + 4)?,
        through: None,
        thread_id: offset(thread + 5)?,
        stack_chunk: None,
        code: offset(frame + 2)?,
        previous: offset(frame + 1)?,
        instruction: Instruction::Pointer(offset(frame + 3)?, offset(code + 9)?),
        entry: Entry::OuterOwner(offset(frame + 5)?),
        filename: offset(code + 1)?,
        name: offset(code + 3)?,
        first_line: offset(code + 5)?,
        version: (minor == 13).then_some(CODE_VERSION),
        line_table: offset(code + 4)?,
        table: Table::Locations,
        ascii: 40,
        wide: 56,
        state_shift,
        code_size: offset(code + 9)?,
        frame_size: None,
    })
}
