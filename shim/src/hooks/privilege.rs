//! Calls after which this process may no longer be able to make a region: entering the shim before
//! them makes sure that it is there (nginx forks its workers as root, then becomes `www-data`).
#![allow(unsafe_code, reason = "hooks")]

use crate::emit::Inside;
use crate::table::hooks;
use core::ffi::{c_char, c_int};
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
    fn chroot(path: *const c_char) -> c_int; libc;
        before(_inside) (); after(inside, result, _before) changed(&inside, result, 0);
    fn unshare(flags: c_int) -> c_int; libc;
        before(_inside) (); after(inside, result, _before) changed(&inside, result, flags as u32);
    fn setns(fd: c_int, kind: c_int) -> c_int; libc;
        before(_inside) (); after(inside, result, _before) changed(&inside, result, kind as u32);
}

fn changed(inside: &Inside, result: c_int, value: u32) {
    if result == 0 {
        inside.write(Op::Privilege, 0, &[value as u64], &[]);
    }
}
