//! Names of C++ and Rust as their authors wrote them, from mangled ones.
//!
//! Output is bounded while it is made: a mangled C++ name of 423 bytes can stand for one of
//! terabytes (each type may refer to the one before it twice). That is why the symbolizer's own
//! demangling is off: it has no limit below half a gigabyte.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// Longest name that is made; what is beyond is cut.
pub const MAX_NAME: usize = 8 << 10;
/// Longest mangled name that is looked into.
const MAX_MANGLED: usize = 16 << 10;

/// The readable name; what is not mangled stays as it is.
pub fn demangle(name: &str) -> Cow<'_, str> {
    if name.len() > MAX_MANGLED {
        return Cow::Borrowed(&name[..name.floor_char_boundary(MAX_NAME)]);
    }
    let mut out = Bounded(String::new());
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        // The alternate form leaves the hash out. An error means that the bound was reached.
        let _ = write!(out, "{rust:#}");
    } else if name.starts_with("_Z")
        && let Ok(cpp) = cpp_demangle::Symbol::new(name)
    {
        let _ = cpp.structured_demangle(&mut out, &cpp_demangle::DemangleOptions::default());
    }
    match out.0.is_empty() {
        true => Cow::Borrowed(&name[..name.floor_char_boundary(MAX_NAME)]),
        false => Cow::Owned(out.0),
    }
}

/// Takes [`MAX_NAME`] bytes and then refuses.
struct Bounded(String);
impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_NAME - self.0.len();
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_are_read() {
        assert_eq!(demangle("main"), "main");
        assert_eq!(demangle("_ZN4pool4PoolIiE4growEv"), "pool::Pool<int>::grow()");
        assert_eq!(demangle("_ZN6server4open17h0123456789abcdefE"), "server::open");
        assert_eq!(demangle("_RNvCs1234_7mycrate3foo"), "mycrate::foo");
        assert_eq!(demangle("_Z"), "_Z");
        assert_eq!(demangle("_Znwm"), "operator new(unsigned long)");
    }

    #[test]
    fn a_name_that_doubles_forty_times_is_cut() {
        let mut name = "_Z1fSt4pairIiiE".to_owned();
        let digits: Vec<char> = ('0'..='9').chain('A'..='Z').collect();
        for last in &digits[..30] {
            name.push_str(&format!("S_IS{last}_S{last}_E"));
        }
        let long = demangle(&name);
        assert!(long.starts_with("f(std::pair<int, int>, std::pair<std::pair<"), "{long}");
        assert!(long.len() <= MAX_NAME);
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let long = "ä".repeat(MAX_MANGLED);
        let cut = demangle(&long);
        assert!(cut.len() <= MAX_NAME && long.starts_with(&*cut));
    }
}
