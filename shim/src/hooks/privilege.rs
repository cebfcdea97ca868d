//! Calls after which this process may no longer be able to make a region: entering the shim before
//! them makes sure that it is there (nginx forks its workers as root, then becomes `www-data`).
#![allow(unsafe_code, reason = "hooks")]

use crate::emit::{self, Inside};
use crate::seal;
use crate::stack::{Registers, here};
use crate::table::hooks;
use core::ffi::{c_char, c_int, c_ulong};
use libc::{gid_t, size_t, uid_t};
use resshim_format::op::Op;

hooks! {
    fn setuid(user: uid_t) -> c_int; libc;
        before(_inside) (); after(inside, result, _before) changed(&inside, result, user);
    fn seteuid(user: uid_t) -> c_int; libc;
        before(_inside) (); after(inside, result, _before) changed(&inside, result, user);
    fn setreuid(real_user: uid_t, user: uid_t) -> c_int; libc;
        before(_inside) (); after(inside, result, _before) changed(&inside, result, user);
    fn setresuid(real_user: uid_t, user: uid_t, saved: uid_t) -> c_int; libc;
        before(_inside) (); after(inside, result, _before) changed(&inside, result, user);
    fn setgid(group: gid_t) -> c_int; libc;
        before(_inside) (); after(inside, result, _before) changed(&inside, result, group);
    fn setegid(group: gid_t) -> c_int; libc;
        before(_inside) (); after(inside, result, _before) changed(&inside, result, group);
    fn setregid(real_group: gid_t, group: gid_t) -> c_int; libc;
        before(_inside) (); after(inside, result, _before) changed(&inside, result, group);
    fn setresgid(real_group: gid_t, group: gid_t, saved: gid_t) -> c_int; libc;
        before(_inside) (); after(inside, result, _before) changed(&inside, result, group);
    fn setgroups(count: size_t, groups: *const gid_t) -> c_int; libc;
        before(_inside) (); after(inside, result, _before) changed(&inside, result, count as u32);
    fn initgroups(user: *const c_char, group: gid_t) -> c_int; libc;
        before(_inside) (); after(inside, result, _before) changed(&inside, result, group);
    fn setfsuid(user: uid_t) -> c_int; libc;
        before(_inside) (); after(inside, _result, _before) changed(&inside, 0, user);
    fn setfsgid(group: gid_t) -> c_int; libc;
        before(_inside) (); after(inside, _result, _before) changed(&inside, 0, group);
    fn chroot(path: *const c_char) -> c_int; libc;
        before(_inside) (); after(inside, result, _before) changed(&inside, result, 0);
    fn unshare(flags: c_int) -> c_int; libc;
        before(_inside) (); after(inside, result, _before) changed(&inside, result, flags as u32);
    fn setns(fd: c_int, kind: c_int) -> c_int; libc;
        before(_inside) (); after(inside, result, _before) changed(&inside, result, kind as u32);
    by_hand: prctl;
}

/// Hook of `prctl`: a seccomp filter is prepared for.
///
/// # Safety
/// That of the real function.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn prctl(
    option: c_int,
    a: c_ulong,
    b: c_ulong,
    c: c_ulong,
    d: c_ulong,
) -> c_int {
    let filter = option == libc::PR_SET_SECCOMP;
    let forbids = option == libc::PR_SET_TSC && a == libc::PR_TSC_SIGSEGV as c_ulong;
    if forbids || filter && a == libc::SECCOMP_MODE_STRICT as c_ulong {
        forbid_counter(here());
    }
    if filter {
        sealing(here());
    }
    // SAFETY: the real function with its own, variadic, prototype.
    let result = unsafe {
        let real: unsafe extern "C-unwind" fn(c_int, ...) -> c_int =
            core::mem::transmute(real::prctl.get());
        real(option, a, b, c, d)
    };
    if filter {
        sealed(here(), result);
    }
    result
}

/// The processor's counter is about to be forbidden to this thread and to those that it makes (seccomp's strict mode
/// does so too): reading it would kill them, so nothing is recorded any more.
pub fn forbid_counter(at: Registers) {
    if let Some(inside) = emit::enter(at) {
        inside.region.note_refusal(32);
        inside.leave();
    }
    crate::start::stop();
}

/// A filter is about to be installed: before the call, since another thread may be under it at once.
pub fn sealing(at: Registers) {
    match emit::enter(at) {
        Some(inside) => {
            seal::close(Some(inside.region));
            inside.leave();
        }
        None => seal::close(None),
    }
}

/// The call that installs it has ended.
pub fn sealed(at: Registers, result: c_int) {
    if result < 0 {
        seal::reopen();
        return;
    }
    if let Some(inside) = emit::enter(at) {
        inside.write(Op::Privilege, 0, &[0], &[]);
        inside.leave();
    }
}

fn changed(inside: &Inside, result: c_int, value: u32) {
    if result == 0 {
        inside.write(Op::Privilege, 0, &[value as u64], &[]);
    }
}
