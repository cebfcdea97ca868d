//! The C API of `resshim.h`: what a program names itself, and what is live now.
//!
//! No function blocks or fails its caller; strings are copied (and cut at [`LONGEST`] bytes).
#![allow(unsafe_code, reason = "a C interface")]

use crate::caller;
use crate::config::Text;
use crate::emit::{self, Inside};
use crate::label::{LABEL, without_credentials};
use crate::region::Region;
use crate::stack::here;
use crate::state::annotated::{self, KIND_BYTES};
use crate::state::fds;
use core::ffi::{c_char, c_int, c_void};
use core::sync::atomic::{AtomicU64, Ordering};
use resshim_format::op::{FIRST_ANNOTATED_KIND, Kind, Op};
use resshim_format::table::{
    AnnotatedRow, ChildRow, HeapRow, KindRow, LABEL_BYTES, MappingRow, RowState, ThreadRow,
};

/// Longest label or name of a state or phase.
const LONGEST: usize = 256;

/// # Safety
/// `text` is null or a C string.
unsafe fn text<'a>(text: *const c_char) -> &'a [u8] {
    // SAFETY: by the caller's promise.
    let text = unsafe { caller::string(text) };
    text.get(..LONGEST).unwrap_or(text)
}

/// What the program calls something, as it is stored: as it is, or without what a URL in it gives away.
#[expect(clippy::large_enum_variant, reason = "on the stack: nothing is allocated here")]
enum Label<'a> {
    Plain(&'a [u8]),
    Url(Text<LABEL>),
}

impl Label<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Label::Plain(bytes) => bytes,
            Label::Url(text) => text.bytes(),
        }
    }
}

/// # Safety
/// `name` is null or a C string.
#[inline(always)]
unsafe fn label<'a>(name: *const c_char) -> Label<'a> {
    // SAFETY: by the caller's promise.
    let name = unsafe { caller::string(name) };
    // Cut to its length afterwards: half a URL hides no password.
    match name.contains(&b':') {
        true => url(name),
        false => Label::Plain(name.get(..LABEL - 1).unwrap_or(name)),
    }
}

#[cold]
#[inline(never)]
fn url<'a>(name: &[u8]) -> Label<'a> {
    Label::Url(without_credentials(name))
}

macro_rules! entry {
    ($at:ident, $inside:ident, $work:expr) => {
        if let Some($inside) = emit::enter($at) {
            $work;
            $inside.leave();
        }
    };
}

/// A resource of the program's own kind begins.
///
/// # Safety
/// Strings are null or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resshim_acquire(kind: *const c_char, handle: u64, label: *const c_char) {
    let at = here();
    // SAFETY: by the caller's promise.
    let (name, label) = unsafe { (text(kind), self::label(label)) };
    entry!(
        at,
        inside,
        if let Some(kind) = annotated::kind(inside.region, name) {
            annotated::acquired(&inside, kind, handle, label.bytes());
        }
    );
}

/// It ends.
///
/// # Safety
/// As for [`resshim_acquire`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resshim_release(kind: *const c_char, handle: u64) {
    let at = here();
    // SAFETY: by the caller's promise.
    let name = unsafe { text(kind) };
    entry!(
        at,
        inside,
        if let Some(kind) = annotated::kind(inside.region, name) {
            annotated::released(&inside, kind, handle);
        }
    );
}

/// It goes to another state.
///
/// # Safety
/// As for [`resshim_acquire`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resshim_state(kind: *const c_char, handle: u64, state: *const c_char) {
    let at = here();
    // SAFETY: by the caller's promise.
    let (name, state) = unsafe { (text(kind), label(state)) };
    entry!(
        at,
        inside,
        if let Some(kind) = annotated::kind(inside.region, name) {
            annotated::state(&inside, kind, handle, state.bytes());
        }
    );
}

/// One resource needs another.
///
/// # Safety
/// As for [`resshim_acquire`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resshim_depends(
    from_kind: *const c_char,
    from: u64,
    to_kind: *const c_char,
    to: u64,
    relation: *const c_char,
) {
    let at = here();
    // SAFETY: by the caller's promise.
    let (from_name, to_name, relation) =
        unsafe { (text(from_kind), text(to_kind), label(relation)) };
    entry!(at, inside, {
        let kinds =
            annotated::kind(inside.region, from_name).zip(annotated::kind(inside.region, to_name));
        if let Some((from_kind, to_kind)) = kinds {
            let words = [from, to, from_kind as u64 | (to_kind as u64) << 32];
            inside.write(Op::Depends, 0, &words, &[relation.bytes()]);
        }
    });
}

/// A phase of the program begins; `exit` is reserved.
///
/// # Safety
/// As for [`resshim_acquire`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resshim_phase(name: *const c_char) {
    let at = here();
    // SAFETY: by the caller's promise.
    let name = unsafe { label(name) };
    entry!(at, inside, inside.write_named(Op::Phase, 0, &[], name.bytes()));
}

/// Resources of `kind` acquired at the caller's site are expected to live at most so long.
///
/// # Safety
/// As for [`resshim_acquire`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resshim_expect(kind: *const c_char, seconds: f64) {
    let at = here();
    // SAFETY: by the caller's promise.
    let name = unsafe { text(kind) };
    entry!(
        at,
        inside,
        if let Some(kind) = annotated::kind(inside.region, name) {
            let stack = inside.stack(crate::start::settings().stack_depth);
            inside.write(Op::Expect, stack, &[kind as u64, seconds.to_bits()], &[]);
        }
    );
}

type Callback =
    unsafe extern "C-unwind" fn(*mut c_void, *const c_char, u64, *const c_char) -> c_int;

/// One live resource, copied out of its row.
struct Live {
    kind: [u8; KIND_BYTES + 1],
    handle: u64,
    label: [u8; LABEL_BYTES + 1],
}

impl Live {
    fn of(region: Region, kind: u32, handle: u64, label: &[AtomicU64]) -> Live {
        let mut live = Live { kind: [0; KIND_BYTES + 1], handle, label: [0; LABEL_BYTES + 1] };
        match (Kind::from_number(kind), kind.checked_sub(FIRST_ANNOTATED_KIND)) {
            (Some(kind), _) => {
                for (to, from) in live.kind.iter_mut().zip(kind.name().bytes()) {
                    *to = from;
                }
            }
            (None, Some(index)) => {
                if let Some(row) = region.row::<KindRow>(index) {
                    copy_words(&mut live.kind, &row.name);
                }
            }
            _ => {}
        }
        copy_words(&mut live.label, label);
        live
    }

    fn is_of(&self, asked: &[u8]) -> bool {
        let length = self.kind.iter().position(|byte| *byte == 0).unwrap_or(0);
        asked.is_empty() || self.kind.get(..length) == Some(asked)
    }
}

/// The last byte stays 0.
fn copy_words(to: &mut [u8], words: &[AtomicU64]) {
    let room = to.len() - 1;
    let bytes = words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes());
    for (to, from) in to.iter_mut().take(room).zip(bytes) {
        *to = from;
    }
}

/// Row `index` of table number `table` (in the order of [`TABLES`]), if something lives there.
fn live_row(inside: &Inside, table: usize, index: u32) -> Option<Live> {
    let region = inside.region;
    let live = |state: u64| {
        matches!(RowState::from_word(state), RowState::Live | RowState::Ended | RowState::Detached)
    };
    match table {
        0 => {
            let row = fds::row(region, index as c_int)?;
            let kind = live(row.state.load(Ordering::Acquire))
                .then(|| fds::kind(region, index as c_int))??;
            Some(Live::of(region, kind as u32, index as u64, &row.label))
        }
        1 => {
            let row = region.row::<ThreadRow>(index)?;
            let tid = row.tid.load(Ordering::Relaxed) as u64;
            live(row.state.load(Ordering::Acquire))
                .then(|| Live::of(region, Kind::Thread as u32, tid, &row.name))
        }
        2 => {
            let row = region.row::<ChildRow>(index)?;
            let pid = row.pid.load(Ordering::Relaxed) as u64;
            live(row.state.load(Ordering::Acquire))
                .then(|| Live::of(region, Kind::Process as u32, pid, &[]))
        }
        3 => {
            let address = region.row::<HeapRow>(index)?.address.load(Ordering::Acquire);
            (address != 0).then(|| Live::of(region, Kind::Heap as u32, address, &[]))
        }
        4 => {
            let address = region.row::<MappingRow>(index)?.address.load(Ordering::Acquire);
            (address != 0).then(|| Live::of(region, Kind::Mapping as u32, address, &[]))
        }
        _ => {
            let row = region.row::<AnnotatedRow>(index)?;
            let (kind, handle) =
                (row.kind.load(Ordering::Relaxed), row.handle.load(Ordering::Relaxed));
            live(row.state.load(Ordering::Acquire))
                .then(|| Live::of(region, kind, handle, &row.label))
        }
    }
}

const TABLES: usize = 6;

fn rows(region: Region, table: usize) -> u32 {
    match table {
        0 => region.used::<resshim_format::table::FdRow>(),
        1 => region.used::<ThreadRow>(),
        2 => region.used::<ChildRow>(),
        3 => region.used::<HeapRow>(),
        4 => region.used::<MappingRow>(),
        _ => region.used::<AnnotatedRow>(),
    }
}

/// Calls back with each live resource of `kind` (null = of all kinds) until a call gives non-zero.
///
/// # Safety
/// `kind` is null or a C string; the callback may do anything, also call hooked functions.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn resshim_each(
    kind: *const c_char,
    callback: Option<Callback>,
    context: *mut c_void,
) {
    let at = here();
    let Some(callback) = callback else { return };
    // SAFETY: by the caller's promise.
    let asked = unsafe { text(kind) };
    for table in 0..TABLES {
        let Some(inside) = emit::enter(at) else { return };
        let end = rows(inside.region, table);
        inside.leave();
        for index in 0..end {
            let Some(inside) = emit::enter(at) else { return };
            let live = live_row(&inside, table, index);
            inside.leave();
            // Outside the shim again: the callback may call anything, or never return.
            if let Some(live) = live.filter(|live| live.is_of(asked)) {
                let (kind, label) = (live.kind.as_ptr().cast(), live.label.as_ptr().cast());
                // SAFETY: the caller's function; both strings end with a NUL.
                if unsafe { callback(context, kind, live.handle, label) } != 0 {
                    return;
                }
            }
        }
    }
}
