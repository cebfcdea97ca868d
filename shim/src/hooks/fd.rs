//! Descriptors: files.
#![allow(unsafe_code, reason = "hooks")]

use crate::caller;
use crate::emit::Inside;
use crate::label::kind_of_path;
use crate::state::fds::{self, Acquired, bits};
use crate::table::hooks;
use core::ffi::{c_char, c_int, c_uint};
use resshim_format::op::Op;

hooks! {
    fn close(fd: c_int) -> c_int; libc;
        before(inside) fds::closing(inside, fd);
        after(inside, result, handle) if let Some(handle) = handle { fds::closed(&inside, Op::Close, handle, result) };
    by_hand: open, open64;
}

type Open = unsafe extern "C-unwind" fn(*const c_char, c_int, ...) -> c_int;

/// After an `open` of any name.
unsafe fn opened(
    inside: &Inside,
    op: Op,
    path: *const c_char,
    flags: c_int,
    mode: c_uint,
    fd: c_int,
) {
    // SAFETY: the kernel has seen the path.
    let path = unsafe { caller::path(path, fd as isize, inside.errno) };
    let what = Acquired {
        bits: bits(flags),
        mode: mode as u16,
        flags: flags as u32,
        label: path,
        ..Acquired::of(op, kind_of_path(path, flags))
    };
    fds::result(inside, fd, &what);
}

macro_rules! open_like {
    ($($name:ident)*) => { $(
        /// Hook of `open`: the mode is passed on whether the caller gave one or not.
        ///
        /// # Safety
        /// That of the real function.
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $name(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
            let at = crate::stack::here();
            // SAFETY: the real function is variadic; an absent mode is a register's value, as without us.
            let fd = unsafe {
                let real: Open = core::mem::transmute(real::$name.get());
                real(path, flags, mode)
            };
            if let Some(inside) = crate::emit::enter(at) {
                let asked = if flags & (libc::O_CREAT | libc::O_TMPFILE) != 0 { mode } else { 0 };
                // SAFETY: the real call has returned.
                unsafe { opened(&inside, Op::Open, path, flags, asked, fd) };
                inside.leave();
            }
            fd
        }
    )* };
}
open_like! { open open64 }
