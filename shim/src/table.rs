//! The hook table: one row a hook. From a row come the exported symbol, the pointer to the real
//! function, its resolution at start, the check of the prototype, errno, and the entry in [`Hook`]'s list.
//!
//! ```text
//! hooks! {
//!     fn listen(fd: c_int, backlog: c_int) -> c_int; libc;
//!         after(inside, result) expression;
//! }
//! ```
//!
//! * `libc` has the compiler hold the prototype against the `libc` crate's; `own` is for names that
//!   crate lacks (a C program of the tests holds them against glibc's headers).
//! * `live`: where there is no region yet, none is made for this call.
//! * `before(inside) expression` runs ahead of the real call; its value is what `after` gets as third name.
//! * `skip(result) expression`: where it is true, `after` is not run and the shim not even entered.
//! * The real call happens exactly once, between them, with nothing of ours alive.
//!
//! Hooks are `extern "C-unwind"`: a thread that is cancelled or throws in the real call unwinds
//! through them. Rows that need more (variadic real functions, tail jumps, trampolines) are written
//! by hand below their family's rows and listed with `by_hand!`.
#![allow(unsafe_code, reason = "the forwarding calls are written here, once")]

use crate::real::Real;

/// A hook, as the list sees it.
#[derive(Clone, Copy)]
pub struct Hook {
    /// The function behind it.
    pub real: &'static Real,
    /// Called at start once `real` is known to exist: redhook looks it up for itself.
    pub settle: Option<fn()>,
}

/// Defines hooks and the family's list. See the module's documentation.
macro_rules! hooks {
    ($(
        $(#[$meta:meta])*
        fn $name:ident($($arg:ident: $ty:ty),* $(,)?) -> $ret:ty; $check:ident $($live:ident)?;
            $(before($bi:ident) $before:expr;)?
            $(skip($si:ident) $skip:expr;)?
            after($inside:ident, $result:ident $(, $token:ident)?) $after:expr;
    )*
    $(by_hand: $($hand:ident),* $(,)?;)?
    ) => {
        /// Pointers to the real functions of this family.
        #[allow(non_upper_case_globals, reason = "a static has the name of its function")]
        pub mod real {
            $(pub static $name: $crate::real::Real = $crate::real::Real::new(
                // SAFETY: `concat!` puts exactly one NUL, at the end.
                unsafe { core::ffi::CStr::from_bytes_with_nul_unchecked(concat!(stringify!($name), "\0").as_bytes()) });)*
            $($(pub static $hand: $crate::real::Real = $crate::real::Real::new(
                // SAFETY: as above.
                unsafe { core::ffi::CStr::from_bytes_with_nul_unchecked(concat!(stringify!($hand), "\0").as_bytes()) });)*)?
        }
        /// The family's hooks.
        pub static HOOKS: &[$crate::table::Hook] = &[
            $($crate::table::Hook { real: &real::$name, settle: None },)*
            $($($crate::table::Hook { real: &real::$hand, settle: None },)*)?
        ];
        $(
            hooks!(@check $check $name($($ty),*) -> $ret);
            $(#[$meta])*
            #[doc = concat!("Hook of `", stringify!($name), "`.")]
            ///
            /// # Safety
            /// That of the real function, which is called with the same arguments.
            #[unsafe(no_mangle)]
            #[allow(clippy::too_many_arguments, reason = "the C prototype")]
            pub unsafe extern "C-unwind" fn $name($($arg: $ty),*) -> $ret {
                let enter = hooks!(@enter $($live)?);
                let at = $crate::stack::here();
                $(
                    let token = enter(at).map($crate::table::around(|$bi: &$crate::emit::Inside| $before));
                )?
                // SAFETY: the next definition of this symbol has this prototype; the arguments are the caller's.
                let $result: $ret = unsafe {
                    let real: unsafe extern "C-unwind" fn($($ty),*) -> $ret = core::mem::transmute(real::$name.get());
                    real($($arg),*)
                };
                let skip = false $(|| { let $si = $result; $skip })?;
                if !skip && let Some($inside) = enter(at) {
                    $(let $token = token;)?
                    // SAFETY: pointers of the caller are read only where the real call accepted them.
                    #[allow(unused_unsafe, reason = "some rows read no pointer")]
                    unsafe { $after };
                    $inside.leave();
                }
                $result
            }
        )*
    };
    (@check libc $name:ident($($ty:ty),*) -> $ret:ty) => {
        const _: unsafe extern "C" fn($($ty),*) -> $ret = libc::$name;
    };
    (@enter) => { $crate::emit::enter };
    (@enter live) => { $crate::emit::enter_live };
    (@check own $name:ident($($ty:ty),*) -> $ret:ty) => {};
}
pub(crate) use hooks;

/// Rows of the same grammar for calls that are cold, have fixed arguments, are never a cancellation
/// point, and exist in every glibc: these are redhook's. Its `real!` panics where a symbol is missing and
/// its `Once` is not signal-safe, so it is run in the constructor, after our own look-up; its hook
/// calls the real function again after a panic, so there is none.
macro_rules! cold_hooks {
    ($(
        fn $name:ident($($arg:ident: $ty:ty),* $(,)?) -> $ret:ty;
            $(before($bi:ident) $before:expr;)?
            after($inside:ident, $result:ident $(, $token:ident)?) $after:expr;
    )*) => {
        /// Pointers to the real functions of this family, as our own look-up finds them.
        #[allow(non_upper_case_globals, reason = "a static has the name of its function")]
        pub mod real {
            $(pub static $name: $crate::real::Real = $crate::real::Real::new(
                // SAFETY: `concat!` puts exactly one NUL, at the end.
                unsafe { core::ffi::CStr::from_bytes_with_nul_unchecked(concat!(stringify!($name), "\0").as_bytes()) });)*
        }
        /// The family's hooks.
        pub static HOOKS: &[$crate::table::Hook] =
            &[$($crate::table::Hook { real: &real::$name, settle: Some($name::settle) },)*];
        $(
            const _: unsafe extern "C" fn($($ty),*) -> $ret = libc::$name;
            #[allow(clippy::undocumented_unsafe_blocks, clippy::missing_safety_doc, reason = "redhook's macro writes the forwarding")]
            mod $name {
                use super::*;
                redhook::hook! {
                    unsafe fn $name($($arg: $ty),*) -> $ret => run {
                        let at = $crate::stack::here();
                        $(let token = $crate::emit::enter(at).map($crate::table::around(|$bi: &$crate::emit::Inside| $before));)?
                        // SAFETY: the next definition of this symbol has this prototype; the arguments are the caller's.
                        let $result: $ret = unsafe { redhook::real!($name)($($arg),*) };
                        if let Some($inside) = $crate::emit::enter(at) {
                            $(let $token = token;)?
                            // SAFETY: pointers of the caller are read only where the real call accepted them.
                            #[allow(unused_unsafe, reason = "some rows read no pointer")]
                            unsafe { $after };
                            $inside.leave();
                        }
                        $result
                    }
                }
                pub(super) fn settle() {
                    let _ = redhook::real!($name);
                }
            }
        )*
    };
}
pub(crate) use cold_hooks;

/// Stand in for the real functions of a family until these are found.
macro_rules! unresolved {
    ($($name:ident)*) => {
        mod unresolved {
            $(
                #[unsafe(naked)]
                pub unsafe extern "C-unwind" fn $name() {
                    core::arch::naked_asm!(
                        "lea r11, [rip + {slot}]",
                        "jmp {find}",
                        slot = sym super::real::$name,
                        find = sym $crate::real::find_and_go_on,
                    )
                }
            )*
        }
    };
}
pub(crate) use unresolved;

/// Rows of the same grammar for calls that are only looked at when they have ended, and mostly pass: the real
/// call comes first, the shim is not entered unless the row's expression does so.
macro_rules! after_hooks {
    ($(
        fn $name:ident($($arg:ident: $ty:ty),* $(,)?) -> $ret:ty; $check:ident;
            after($result:ident) $after:expr;
    )*) => {
        /// Pointers to the real functions of this family.
        #[allow(non_upper_case_globals, reason = "a static has the name of its function")]
        pub mod real {
            $(pub static $name: $crate::real::Real = $crate::real::Real::standing_in(
                // SAFETY: `concat!` puts exactly one NUL, at the end.
                unsafe { core::ffi::CStr::from_bytes_with_nul_unchecked(concat!(stringify!($name), "\0").as_bytes()) },
                super::unresolved::$name as *const ());)*
        }
        $crate::table::unresolved! { $($name)* }
        /// The family's hooks.
        pub static HOOKS: &[$crate::table::Hook] =
            &[$($crate::table::Hook { real: &real::$name, settle: None },)*];
        $(
            $crate::table::hooks!(@check $check $name($($ty),*) -> $ret);
            #[doc = concat!("Hook of `", stringify!($name), "`.")]
            ///
            /// # Safety
            /// That of the real function, which is called with the same arguments.
            #[unsafe(no_mangle)]
            #[allow(clippy::too_many_arguments, reason = "the C prototype")]
            pub unsafe extern "C-unwind" fn $name($($arg: $ty),*) -> $ret {
                // SAFETY: the next definition of this symbol has this prototype; the arguments are the caller's.
                let $result: $ret = unsafe {
                    let real: unsafe extern "C-unwind" fn($($ty),*) -> $ret = core::mem::transmute(real::$name.stood_for());
                    real($($arg),*)
                };
                // SAFETY: pointers of the caller are read only where the real call accepted them.
                #[allow(unused_unsafe, reason = "some rows read no pointer")]
                unsafe { $after };
                $result
            }
        )*
    };
}
pub(crate) use after_hooks;

/// Runs `work` with an [`Inside`](crate::emit::Inside) and leaves.
pub fn around<T>(
    work: impl FnOnce(&crate::emit::Inside) -> T,
) -> impl FnOnce(crate::emit::Inside) -> T {
    move |inside| {
        let value = work(&inside);
        inside.leave();
        value
    }
}
