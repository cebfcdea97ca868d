//! Large statics of zeros, apart from the small ones.
//!
//! Among megabytes of caches and indices, the words that every process touches at start would lie on a
//! page each, and a page costs 3 µs. So the large ones have a section of their own, and `.bss`, which
//! has the small ones, fits on the last page of `.data`. Rust can name a section but not make it one
//! without contents: hence assembly.

/// Defines a static, page-aligned, whose bytes are all zero at first: that must be a value of its type.
macro_rules! apart {
    ($(#[$meta:meta])* $visible:vis static $name:ident: $ty:ty = $symbol:literal;) => {
        core::arch::global_asm!(
            ".pushsection .resshim_apart, \"aw\", @nobits",
            ".p2align 12",
            concat!(".globl ", $symbol),
            concat!(".hidden ", $symbol),
            concat!(".type ", $symbol, ",@object"),
            concat!($symbol, ":"),
            ".zero {bytes}",
            concat!(".size ", $symbol, ", . - ", $symbol),
            ".popsection",
            bytes = const core::mem::size_of::<$ty>(),
        );
        const _: () = assert!(core::mem::align_of::<$ty>() <= 1 << 12);
        #[allow(improper_ctypes, reason = "nobody but Rust looks into it")]
        // SAFETY: defined above with the type's size; zeros are a value of it.
        unsafe extern "C" {
            $(#[$meta])*
            #[link_name = $symbol]
            $visible safe static $name: $ty;
        }
    };
}
pub(crate) use apart;
