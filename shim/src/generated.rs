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

static ASKED: AtomicBool = AtomicBool::new(false);

/// Takes an argument, or the value of `NODE_OPTIONS`.
pub fn note(words: &[u8]) {
    if has_option(words) {
        ASKED.store(true, Ordering::Relaxed);
    }
}

/// V8 takes `_` for `-`.
fn has_option(words: &[u8]) -> bool {
    let same = |(a, b): (&u8, &u8)| a == b || (*a == b'_' && *b == b'-');
    let is_option = |word: &[u8]| word.len() == OPTION.len() && word.iter().zip(OPTION).all(same);
    words.split(|byte| byte.is_ascii_whitespace()).any(is_option)
}

/// Frames of generated code that belong to a stack; `asked`: what the user says, 0 = nothing.
pub fn frames(asked: usize) -> usize {
    if asked != 0 {
        return asked;
    }
    if !ASKED.load(Ordering::Relaxed) {
        return ALONE;
    }
    let mut path = [0; 512];
    let length = sys::read_link(c"/proc/self/exe", &mut path).unwrap_or(0);
    let name = path.get(..length).unwrap_or(&[]).rsplit(|byte| *byte == b'/').next().unwrap_or(&[]);
    if EXECUTABLES.iter().any(|known| name.starts_with(known)) { KEPT } else { ALONE }
}
