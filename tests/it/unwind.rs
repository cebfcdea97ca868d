//! Stacks of the shim's capture against libgcc's, frame for frame.
//!
//! The capture is compiled into this binary (Rust's own stacks, and its unit tests) and into the
//! example `unwind_probe`, which the programs in `programs/unwind` load.

#![allow(unsafe_code, reason = "calls libgcc, and the dynamic loader")]

#[path = "../../shim/src/stack/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the shim's core uses the rest")]
mod stack;

use resshim_tests::artifacts::profile_dir;
use resshim_tests::launch::{Ending, Launch};
use resshim_tests::program;
use stack::{Registers, Stack};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Runs a program of `programs/unwind`, which ends with 0 if all stacks were equal; modules are found by the
/// loader's own function, then by the kernel's list, as before glibc 2.35.
fn agrees(name: &str) {
    agrees_by(name, &[]);
    agrees_by(name, &[("PROBE_MAPS", "1")]);
}

fn agrees_by(name: &str, env: &[(&str, &str)]) {
    let probe = profile_dir().join("examples/libunwind_probe.so");
    assert!(
        probe.is_file(),
        "{} is missing: run `cargo build -p resshim-tests --examples` first",
        probe.display()
    );
    let program = program::named(&format!("unwind/{name}"));
    let limit = Duration::from_secs(60);
    let launch = Launch::of(&program).env("PROBE", &probe).limit(limit);
    let outcome = env.iter().fold(launch, |launch, (name, value)| launch.env(name, value)).run();
    assert!(
        outcome.ending == Ending::Exit(0),
        "{name} {env:?}: {:?}\n{}{}",
        outcome.ending,
        outcome.stdout_text(),
        outcome.stderr_text()
    );
}

#[test]
fn c_without_frame_pointers_signals_and_other_stacks_unwind_as_libgcc_does() {
    agrees("c");
}

#[test]
fn cxx_exceptions_and_function_objects_unwind_as_libgcc_does() {
    agrees("cxx");
}

#[test]
fn every_single_instruction_unwinds_as_libgcc_does() {
    agrees("step");
}

#[test]
fn a_stack_that_is_known_is_the_one_that_a_walk_would_give() {
    agrees("again");
}

#[test]
fn a_library_at_the_address_of_another_one_is_unwound_by_its_own_rules() {
    agrees("dl");
}

#[test]
fn cpython_unwinds_as_libgcc_does() {
    agrees("python");
}

unsafe extern "C" {
    fn _Unwind_Backtrace(
        each: extern "C" fn(*mut c_void, *mut c_void) -> i32,
        argument: *mut c_void,
    ) -> i32;
    fn _Unwind_GetIPInfo(context: *mut c_void, before: *mut i32) -> usize;
}

extern "C" fn take(context: *mut c_void, frames: *mut c_void) -> i32 {
    let mut before = 0;
    // SAFETY: libgcc's context, and the vector that was given to it.
    let (pc, frames) =
        unsafe { (_Unwind_GetIPInfo(context, &mut before), &mut *frames.cast::<Vec<usize>>()) };
    if pc != 0 {
        frames.push(pc + usize::from(before != 0));
    }
    0
}

/// Compares the stack of the caller; counts into `seen`.
#[inline(never)]
fn compare(seen: &AtomicUsize) {
    static START: Once = Once::new();
    START.call_once(|| {
        // SAFETY: a lookup by name.
        let find = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_dl_find_object".as_ptr()) };
        assert!(!find.is_null(), "glibc 2.35 or later");
        stack::set_find_object(find);
    });
    let mut reference: Vec<usize> = Vec::new();
    // SAFETY: `take` gets the vector back while this call lasts.
    unsafe { _Unwind_Backtrace(take, (&raw mut reference).cast()) };
    let mut found = Stack::empty();
    stack::capture(&stack::here(), stack::MAX_FRAMES, None, &mut found);
    // The first frame is this function, at two places of it.
    assert_eq!(found.frames()[1..], reference[1..], "flags {:x}", found.flags);
    assert_eq!(found.flags, 0);
    seen.fetch_add(1, Ordering::Relaxed);
}

struct Compares<'a>(&'a AtomicUsize);
impl Drop for Compares<'_> {
    fn drop(&mut self) {
        compare(self.0);
    }
}

trait Visit {
    fn visit(&self, depth: usize, seen: &AtomicUsize) -> usize;
}
struct Tree(BTreeMap<usize, Box<dyn Visit>>);
impl Visit for Tree {
    fn visit(&self, depth: usize, seen: &AtomicUsize) -> usize {
        self.0.values().map(|child| child.visit(depth + 1, seen)).sum()
    }
}
struct Leaf;
impl Visit for Leaf {
    fn visit(&self, depth: usize, seen: &AtomicUsize) -> usize {
        let room = [depth; 300];
        compare(seen);
        room.iter().sum()
    }
}

#[test]
fn rust_unwinds_as_libgcc_does() {
    let seen = AtomicUsize::new(0);
    let leaves = || -> Box<dyn Visit> {
        Box::new(Tree((0..3).map(|i| (i, Box::new(Leaf) as Box<dyn Visit>)).collect()))
    };
    Tree((0..3).map(|i| (i, leaves())).collect()).visit(0, &seen);
    let mut words = ["delta", "alpha", "charlie", "bravo"];
    words.sort_by(|a, b| {
        compare(&seen);
        a.cmp(b)
    });
    std::thread::scope(|scope| {
        scope.spawn(|| compare(&seen));
    });
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _compares = Compares(&seen);
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(panicked.is_err());
    assert!(seen.load(Ordering::Relaxed) >= 15);
}

#[test]
fn a_walk_from_senseless_registers_ends() {
    let mut found = Stack::empty();
    let here = stack::here();
    let numbers = [0, 1, 8, 0x7fff, here.sp, here.bp, here.pc, usize::MAX, usize::MAX - 7, 1 << 47];
    for pc in numbers {
        for sp in [here.sp, here.sp + 1, usize::MAX - 7] {
            for bp in numbers {
                // A stack pointer that is one is always this function's: the shim reads its own.
                let from = Registers { pc: if sp == here.sp { pc } else { 0 }, sp, bp };
                stack::capture(&from, 64, None, &mut found);
                assert!(found.frames().len() <= 64);
            }
        }
    }
}
