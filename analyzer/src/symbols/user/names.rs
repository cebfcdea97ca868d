//! Whose a function is by its name alone: C++'s and Rust's standard libraries, allocators.

use super::starts_with_any;

/// Whether a function is of C++'s or Rust's standard library by its name.
pub(super) fn is_standard_function(function: &str) -> bool {
    is_allocator_function(function)
        || rust_head(function).is_some_and(|head| {
            ["std", "core", "alloc", "__gnu_cxx", "__cxxabiv1", "__rustc"].contains(&head)
        })
        || [
            "__libc_",
            "_start",
            "__rust_",
            "rust_begin_unwind",
            "__cxa_",
            "_Unwind_",
            "__gxx_personality",
        ]
        .iter()
        .any(|start| function.starts_with(start))
}

fn path_head(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

/// Whether a function only hands an allocation on: `operator new`, C++'s allocators, Rust's `alloc`.
pub(super) fn is_allocator_function(function: &str) -> bool {
    const NAMES: &[&str] = &[
        "malloc",
        "calloc",
        "realloc",
        "reallocarray",
        "free",
        "cfree",
        "memalign",
        "aligned_alloc",
        "posix_memalign",
        "valloc",
        "pvalloc",
        "strdup",
        "strndup",
    ];
    const STARTS: &[&str] = &[
        "operator new",
        "operator delete",
        "std::allocator<",
        "std::allocator_traits<",
        "std::__new_allocator<",
        "__gnu_cxx::new_allocator<",
        "__libc_",
        "__rust_alloc",
        "__rust_realloc",
        "__rust_dealloc",
        "__rdl_",
        "__rg_",
        "__rustc::__r",
        "alloc::",
        "<alloc::",
        "std::alloc::",
        "<std::alloc::",
        "core::alloc::",
        "<core::alloc::",
    ];
    NAMES.contains(&function)
        || starts_with_any(function, STARTS)
        || (function.starts_with('<') && function.contains(" as alloc::"))
}

/// First segment of the path of what a function belongs to: `std` for `std::fs::open`,
/// `<std::fs::File as …>::read`, `<&T as core::fmt::Debug>::fmt` and C++'s `int std::f<int>()`.
pub fn rust_head(function: &str) -> Option<&str> {
    let mut text = function;
    if let Some(inner) = text.strip_prefix('<') {
        text = inner.trim_start_matches(['&', '(', '*', '[']);
        for prefix in ["mut ", "const ", "dyn ", "'_ "] {
            text = text.strip_prefix(prefix).unwrap_or(text);
        }
        let head = path_head(text);
        // A bare type parameter or primitive says nothing: the trait does.
        if !text[head.len()..].starts_with("::") {
            let (_, of_trait) = text.split_once(" as ")?;
            return Some(path_head(of_trait));
        }
        return Some(head);
    }
    let head = path_head(text);
    if text[head.len()..].starts_with("::") {
        return Some(head);
    }
    // A C++ template's return type stands before its name.
    let name = text.split('(').next()?.split('<').next()?;
    let (_, name) = name.rsplit_once(' ')?;
    let head = path_head(name);
    name[head.len()..].starts_with("::").then_some(head)
}
