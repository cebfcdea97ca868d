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
    /// In a code object: `co_name`.
    pub plain_name: usize,
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
    /// The heads of objects.
    pub heads: Heads,
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

/// What every version has at the same place, if it has the GIL.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// In an object: its type.
    pub kind: usize,
    /// In a type: `tp_basicsize`.
    pub type_size: usize,
    /// In a `str`.
    pub length: usize,
    /// In a `str`: -1 where it is not known yet.
    pub hash: usize,
    /// In a `str`.
    pub state: usize,
    /// In a `bytes`, and in a code object from 3.11 on.
    pub size: usize,
    /// In a `bytes`.
    pub bytes: usize,
}

/// Those of a build with the GIL.
const HEADS: Heads =
    Heads { kind: 8, type_size: 32, length: 16, hash: 24, state: 32, size: 16, bytes: 32 };

/// `co_version` stands so far behind `co_firstlineno`, in 3.12 and later.
const VERSION_BEHIND_FIRST_LINE: usize = 24;

/// The layout of a version that has no description; `None`: not known.
pub const fn of_version(minor: u32) -> Option<Layout> {
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
        plain_name: 112,
        first_line: 40,
        version: None,
        line_table: 120,
        table: Table::Increments,
        ascii: 48,
        wide: 72,
        heads: HEADS,
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
            plain_name: 120,
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
            plain_name: 120,
            first_line: 68,
            line_table: 136,
            table: Table::Locations,
            ascii: 40,
            wide: 56,
            code_size: 192,
            frame_size: Some(120),
            version: Some(68 + VERSION_BEHIND_FIRST_LINE),
            ..old
        }),
        _ => None,
    }
}

/// Words of `_Py_DebugOffsets` that are looked at, the cookie among them.
pub const DESCRIPTION_WORDS: usize = 81;
const COOKIE: u64 = u64::from_le_bytes(*b"xdebugpy");
/// No offset in these structures is larger.
const LARGEST: u64 = 4096;

/// The layout that `_Py_DebugOffsets` (the first words of `_PyRuntime`) describes. The structure is
/// `Include/internal/pycore_debug_offsets.h` (3.13: `pycore_runtime.h`).
pub fn described(minor: u32, words: &[u64; DESCRIPTION_WORDS]) -> Option<Layout> {
    let [cookie, version, free_threaded, ..] = *words;
    // Without the GIL a thread of 3.14 runs its own copy of the instructions.
    let most = u64::from(minor == 13);
    if cookie != COOKIE || version >> 16 != 0x0300 | u64::from(minor) || free_threaded > most {
        return None;
    }
    // Words of the parts that differ: interpreter, frame, code, set.
    let (interpreter_words, frame_words, code_words, set_words) = match minor {
        13 => (13, 6, 10, 0),
        14 => (16, 8, 11, 4),
        _ => return None,
    };
    let thread = 3 + 3 + interpreter_words;
    let frame = thread + 9;
    let code = frame + frame_words;
    let object = code + code_words;
    let kind = object + 2;
    // Between them: tuple 3, list 3, set, dict 3, float 2, long 3.
    let bytes = kind + 4 + 3 + 3 + set_words + 3 + 2 + 3;
    let text = bytes + 3;
    let offset = |at: usize| {
        let value = words.get(at).copied().filter(|value| *value < LARGEST)?;
        Some(value as usize)
    };
    let heads = Heads {
        kind: offset(object + 1)?,
        // Behind `tp_name`.
        type_size: offset(kind + 1)? + 8,
        length: offset(text + 2)?,
        hash: offset(text + 2)? + 8,
        state: offset(text + 1)?,
        size: offset(bytes + 1)?,
        bytes: offset(bytes + 2)?,
    };
    let first_line = offset(code + 5)?;
    let ascii = offset(text + 3)?;
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
        plain_name: offset(code + 2)?,
        first_line,
        version: Some(first_line + VERSION_BEHIND_FIRST_LINE),
        line_table: offset(code + 4)?,
        table: Table::Locations,
        ascii,
        // Behind `utf8_length` and `utf8`.
        wide: ascii + 16,
        heads,
        code_size: offset(code + 9)?,
        frame_size: None,
    })
}
