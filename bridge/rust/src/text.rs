//! Strings on their way to the shim: copied to the stack, with a NUL behind them.

use core::ffi::c_char;
use core::mem::MaybeUninit;

/// Room for the name of a kind.
pub const KIND: usize = 33;
/// Room for a label. The shim keeps less, but looks at all of it for passwords in URLs.
pub const LABEL: usize = 1024;

/// A C string of at most `N - 1` bytes.
pub struct Text<const N: usize>([MaybeUninit<u8>; N]);

impl<const N: usize> Text<N> {
    /// As much of `text` as there is room for, whole characters only.
    #[inline]
    pub fn of(text: &str) -> Text<N> {
        let mut bytes = [MaybeUninit::uninit(); N];
        let length = text.floor_char_boundary(N - 1);
        for (to, from) in bytes.iter_mut().zip(&text.as_bytes()[..length]) {
            to.write(*from);
        }
        bytes[length].write(0);
        Text(bytes)
    }

    pub fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ffi::CStr;

    fn copied<const N: usize>(text: &str) -> impl AsRef<CStr> {
        struct Held<const N: usize>(Text<N>);
        impl<const N: usize> AsRef<CStr> for Held<N> {
            fn as_ref(&self) -> &CStr {
                // SAFETY: `Text` ends with a NUL.
                unsafe { CStr::from_ptr(self.0.as_ptr()) }
            }
        }
        Held(Text::<N>::of(text))
    }

    #[test]
    fn what_does_not_fit_is_cut_between_characters() {
        assert_eq!(copied::<8>("session").as_ref(), c"session");
        assert_eq!(copied::<7>("session").as_ref(), c"sessio");
        assert_eq!(copied::<4>("aéé").as_ref(), c"aé");
        assert_eq!(copied::<5>("aéé").as_ref(), c"aé");
        assert_eq!(copied::<1>("x").as_ref(), c"");
    }

    #[test]
    fn a_string_ends_at_its_first_nul() {
        assert_eq!(copied::<8>("a\0b").as_ref(), c"a");
    }
}
