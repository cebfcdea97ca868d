//! Code that a compiler made at run time: whether the frames of it can be walked.
//!
//! Nothing says how such a frame is left. Where its compiler keeps frame pointers, as V8 does, they lead
//! to its caller; where it does not, they lead to junk, and every junk address makes a new site. So one
//! frame of it belongs to a stack, unless it is known that frame pointers are kept.

use crate::sys;
use core::sync::atomic::{AtomicBool, Ordering};

/// Frames of generated code that belong to a stack by themselves.
const ALONE: usize = 1;
/// Frames of it that do where frame pointers are kept.
const KEPT: usize = 16;
/// The option by which V8 gives also the functions that it interprets a native frame of their own.
const OPTION: &[u8] = b"--interpreted-frames-native-stack";
/// Executables that obey `NODE_OPTIONS`, by the start of their name. The variable is inherited by
/// programs that do not, and whose generated code keeps no frame pointers.
const EXECUTABLES: &[&[u8]] = &[b"node", b"electron"];

/// The option by which `resshim run` has V8 write a perf map.
const MAP: &[u8] = b"--perf-basic-prof-only-functions";
/// How every option begins that has V8 write one.
const MAPS: &[u8] = b"--perf-";

static ASKED: AtomicBool = AtomicBool::new(false);
static OBEYS: AtomicBool = AtomicBool::new(false);
static MAPPED: AtomicBool = AtomicBool::new(false);
static MAPPED_OTHERWISE: AtomicBool = AtomicBool::new(false);

/// Takes an argument.
pub fn note_argument(word: &[u8]) {
    note_word(word);
    if is_same(word.get(..MAPS.len()).unwrap_or(&[]), MAPS) {
        MAPPED_OTHERWISE.store(true, Ordering::Relaxed);
    }
}

/// Takes the value of `NODE_OPTIONS`.
pub fn note_options(words: &[u8]) {
    for word in words.split(|byte| byte.is_ascii_whitespace()) {
        note_word(word);
        if is_same(word, MAP) {
            MAPPED.store(true, Ordering::Relaxed);
        } else if is_same(word.get(..MAPS.len()).unwrap_or(&[]), MAPS) {
            MAPPED_OTHERWISE.store(true, Ordering::Relaxed);
        }
    }
}

fn note_word(word: &[u8]) {
    if is_same(word, OPTION) {
        ASKED.store(true, Ordering::Relaxed);
    }
}

/// V8 takes `_` for `-`.
fn is_same(word: &[u8], option: &[u8]) -> bool {
    let same = |(a, b): (&u8, &u8)| a == b || (*a == b'_' && *b == b'-');
    word.len() == option.len() && word.iter().zip(option).all(same)
}

/// Whether a perf map of this process is there because `resshim run` asked for it, and nobody else did.
pub fn is_map_ours() -> bool {
    crate::start::settings().is_hooked
        && OBEYS.load(Ordering::Relaxed)
        && MAPPED.load(Ordering::Relaxed)
        && !MAPPED_OTHERWISE.load(Ordering::Relaxed)
}

/// Frames of generated code that belong to a stack; `asked`: what the user says, 0 = nothing. Once, when
/// all arguments and variables were noted.
pub fn frames(asked: usize) -> usize {
    let has_options = ASKED.load(Ordering::Relaxed) || MAPPED.load(Ordering::Relaxed);
    let obeys = has_options && is_obeying();
    OBEYS.store(obeys, Ordering::Relaxed);
    match asked {
        0 if obeys && ASKED.load(Ordering::Relaxed) => KEPT,
        0 => ALONE,
        asked => asked,
    }
}

/// Whether the executable is one that obeys `NODE_OPTIONS`.
fn is_obeying() -> bool {
    let mut path = [0; 512];
    let length = sys::read_link(c"/proc/self/exe", &mut path).unwrap_or(0);
    let name = path.get(..length).unwrap_or(&[]).rsplit(|byte| *byte == b'/').next().unwrap_or(&[]);
    EXECUTABLES.iter().any(|known| name.starts_with(known))
}
