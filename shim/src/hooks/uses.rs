//! Reads, writes, sends and receives: what uses a descriptor. The hottest calls that there are, so these hooks
//! are written in assembly: one forwards, and where the call gave something it compares the row's stamp with
//! the region's clock and stores it if they differ. Everything else is [`used_slowly`].
//!
//! The number is kept on the stack across the call (and, where an empty result means an end, how much was
//! asked for beside it). There is nothing else in the frame: a thread that is cancelled or throws in the real
//! call unwinds through it. No look at the real function's pointer is needed: see [`Real::standing_in`].
//!
//! [`Real::standing_in`]: crate::real::Real::standing_in
#![allow(unsafe_code, reason = "hooks")]

use crate::layout::FDS_OFFSET;
use crate::private::{PRIVATE, Private};
use crate::state::uses;
use core::ffi::{c_int, c_void};
use core::mem::offset_of;
use libc::{
    epoll_event, iovec, off_t, off64_t, sigset_t, size_t, sockaddr, socklen_t, ssize_t, timespec,
};
use resshim_format::header::{CONTROL_OFFSET, Control};
use resshim_format::op::Op;
use resshim_format::table::FdRow;

/// An empty result means the end, where something was asked for.
const ENDS: u32 = 1 << 16;
/// An empty result means that the wait has ended without one.
const WAITS: u32 = 1 << 17;

/// Rows as in the other tables. `ends` or `waits` says what an empty result means; otherwise it is one like
/// any other.
macro_rules! use_hooks {
    ($(fn $name:ident($($arg:ident: $ty:ty),* $(,)?) -> $ret:ident; $check:ident $op:ident $($empty:ident)?;)*) => {
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
            use_hooks!(@check $check $name($($ty),*) -> $ret);
            #[doc = concat!("Hook of `", stringify!($name), "`.")]
            ///
            /// # Safety
            /// That of the real function, which is called with the same arguments.
            #[unsafe(naked)]
            #[unsafe(no_mangle)]
            pub unsafe extern "C-unwind" fn $name($($arg: $ty),*) -> $ret {
                core::arch::naked_asm!(
                    ".cfi_startproc",
                    "push rdi",
                    ".cfi_adjust_cfa_offset 8",
                    use_hooks!(@keep $($empty)?),
                    "call qword ptr [rip + {slot}]",
                    "pop rdi",
                    ".cfi_adjust_cfa_offset -8",
                    use_hooks!(@test $ret),
                    "jle 2f",
                    "cmp edi, dword ptr [rip + {private} + {end}]",
                    "jae 2f",
                    "mov rcx, qword ptr [rip + {private} + {rows}]",
                    "shl edi, {shift}",
                    "mov rdx, qword ptr [rcx + {clock}]",
                    "cmp qword ptr [rcx + rdi + {last_use}], rdx",
                    "je 3f",
                    "mov qword ptr [rcx + rdi + {last_use}], rdx",
                    "3:",
                    "ret",
                    "2:",
                    use_hooks!(@result $ret),
                    "mov edx, {how}",
                    "jmp {slowly}",
                    ".cfi_endproc",
                    slot = sym real::$name,
                    private = sym PRIVATE,
                    end = const offset_of!(Private, use_end),
                    rows = const offset_of!(Private, use_rows),
                    shift = const size_of::<FdRow>().trailing_zeros(),
                    clock = const CLOCK,
                    last_use = const offset_of!(FdRow, last_use),
                    how = const Op::$op.number() as u32 | use_hooks!(@empty $($empty)?),
                    slowly = sym used_slowly,
                )
            }
        )*
    };
    // How much was asked for: the third argument of all of these. A system call lies between the two stores and
    // the load that spans them.
    (@keep ends) => { "mov dword ptr [rsp + 4], edx" };
    (@keep $($other:ident)?) => { "" };
    (@empty ends) => { ENDS };
    (@empty waits) => { WAITS };
    (@empty) => { 0 };
    (@test ssize_t) => { "test rax, rax" };
    (@test c_int) => { "test eax, eax" };
    (@result ssize_t) => { "mov rsi, rax" };
    (@result c_int) => { "movsxd rsi, eax" };
    (@check libc $name:ident($($ty:ty),*) -> $ret:ty) => {
        const _: unsafe extern "C" fn($($ty),*) -> $ret = libc::$name;
    };
    (@check own $name:ident($($ty:ty),*) -> $ret:ty) => {};
}

/// Where the clock is, seen from the first row of descriptors.
pub(super) const CLOCK: isize =
    (CONTROL_OFFSET + offset_of!(Control, use_clock)) as isize - FDS_OFFSET as isize;
const _: () = assert!(size_of::<FdRow>().is_power_of_two());

use_hooks! {
    fn read(fd: c_int, to: *mut c_void, count: size_t) -> ssize_t; libc Read ends;
    fn write(fd: c_int, from: *const c_void, count: size_t) -> ssize_t; libc Write;
    fn pread(fd: c_int, to: *mut c_void, count: size_t, at: off_t) -> ssize_t; libc Read;
    fn pread64(fd: c_int, to: *mut c_void, count: size_t, at: off64_t) -> ssize_t; libc Read;
    fn pwrite(fd: c_int, from: *const c_void, count: size_t, at: off_t) -> ssize_t; libc Write;
    fn pwrite64(fd: c_int, from: *const c_void, count: size_t, at: off64_t) -> ssize_t; libc Write;
    fn readv(fd: c_int, to: *const iovec, count: c_int) -> ssize_t; libc Read ends;
    fn writev(fd: c_int, from: *const iovec, count: c_int) -> ssize_t; libc Write;
    fn preadv(fd: c_int, to: *const iovec, count: c_int, at: off_t) -> ssize_t; libc Read;
    fn preadv64(fd: c_int, to: *const iovec, count: c_int, at: off64_t) -> ssize_t; libc Read;
    fn pwritev(fd: c_int, from: *const iovec, count: c_int, at: off_t) -> ssize_t; libc Write;
    fn pwritev64(fd: c_int, from: *const iovec, count: c_int, at: off64_t) -> ssize_t; libc Write;
    fn preadv2(fd: c_int, to: *const iovec, count: c_int, at: off_t, flags: c_int) -> ssize_t; libc Read;
    fn preadv64v2(fd: c_int, to: *const iovec, count: c_int, at: off64_t, flags: c_int) -> ssize_t; libc Read;
    fn pwritev2(fd: c_int, from: *const iovec, count: c_int, at: off_t, flags: c_int) -> ssize_t; libc Write;
    fn pwritev64v2(fd: c_int, from: *const iovec, count: c_int, at: off64_t, flags: c_int) -> ssize_t; libc Write;
    fn __read_chk(fd: c_int, to: *mut c_void, count: size_t, room: size_t) -> ssize_t; own Read ends;
    fn __pread_chk(fd: c_int, to: *mut c_void, count: size_t, at: off_t, room: size_t) -> ssize_t; own Read;
    fn __pread64_chk(fd: c_int, to: *mut c_void, count: size_t, at: off64_t, room: size_t) -> ssize_t; own Read;
    fn recv(fd: c_int, to: *mut c_void, count: size_t, flags: c_int) -> ssize_t; libc Recv ends;
    fn __recv_chk(fd: c_int, to: *mut c_void, count: size_t, room: size_t, flags: c_int) -> ssize_t; own Recv ends;
    fn recvfrom(fd: c_int, to: *mut c_void, count: size_t, flags: c_int, address: *mut sockaddr, length: *mut socklen_t) -> ssize_t; libc Recv ends;
    fn send(fd: c_int, from: *const c_void, count: size_t, flags: c_int) -> ssize_t; libc Send;
    fn sendto(fd: c_int, from: *const c_void, count: size_t, flags: c_int, address: *const sockaddr, length: socklen_t) -> ssize_t; libc Send;
    fn epoll_wait(set: c_int, events: *mut epoll_event, most: c_int, timeout: c_int) -> c_int; libc EpollWait waits;
    fn epoll_pwait(set: c_int, events: *mut epoll_event, most: c_int, timeout: c_int, mask: *const sigset_t) -> c_int; libc EpollWait waits;
    fn epoll_pwait2(set: c_int, events: *mut epoll_event, most: c_int, timeout: *const timespec, mask: *const sigset_t) -> c_int; own EpollWait waits;
}

/// What the hooks above leave to do: an empty result, an error, a row that they may not touch. Gives back
/// `result`. How much was asked for stands in the upper half of `fd`, where it matters.
unsafe extern "C-unwind" fn used_slowly(fd: u64, result: isize, how: u32) -> isize {
    let (number, asked) = (fd as c_int, fd >> 32 != 0);
    let op = Op::from_number(how as u16).unwrap_or(Op::Read);
    match result {
        ..0 => uses::failed(op, number),
        0 if how & WAITS != 0 => uses::waited(),
        0 if how & ENDS != 0 && asked => uses::ended(number),
        _ => uses::used(number),
    }
    result
}
