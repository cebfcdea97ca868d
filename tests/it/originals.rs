//! The shim's own look-up of the functions behind it, held against `dlsym(RTLD_NEXT, …)`.
//!
//! It is compiled into this binary, so that "behind" are all libraries that the binary has loaded.

#![allow(unsafe_code, reason = "calls the dynamic loader")]

#[path = "../../shim/src/real/symbols.rs"]
#[allow(dead_code, reason = "the shim asks more of it")]
mod symbols;

use resshim_tests::elf::Symbols;
use resshim_tests::scratch::Scratch;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_void};
use std::path::Path;
use std::process::Command;
use symbols::Found;

/// What the first module has that has anything.
fn own(name: &CStr) -> Found {
    let hash = symbols::hash(name);
    let mut found = Found::Absent;
    symbols::each_module_behind(|module| {
        found = module.find(name, hash);
        found == Found::Absent
    });
    found
}

fn dlsym(name: &CStr) -> usize {
    // SAFETY: a C string.
    unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) as usize }
}

fn name(text: &str) -> CString {
    CString::new(text).expect("no NUL")
}

/// Files that are mapped into this process as code.
fn libraries() -> BTreeSet<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
    let code = maps.lines().filter(|line| line.contains(" r-xp "));
    code.filter_map(|line| line.split_whitespace().nth(5))
        .filter(|path| path.contains(".so"))
        .map(str::to_owned)
        .collect()
}

/// Builds a library and loads it for all to see.
fn load(dir: &Scratch, stem: &str, source: &str, flags: &[&str]) -> *mut c_void {
    let code = dir.path().join(format!("{stem}.c"));
    let library = dir.path().join(format!("lib{stem}.so"));
    std::fs::write(&code, source).expect("the source is written");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&code).args(flags);
    let done = cc.current_dir(dir.path()).output().expect("a C compiler");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let path = name(library.to_str().expect("a path"));
    // SAFETY: the library's constructors do nothing.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    assert!(!handle.is_null(), "{} is not loaded", library.display());
    handle
}

const ODD: &str = r#"
__asm__(".symver old_one, two@V1\n.symver new_one, two@@V2\n.symver gone_one, gone@V1");
int old_one(void) { return 1; }
int new_one(void) { return 2; }
int gone_one(void) { return 3; }
int plain(void) { return 4; }
__attribute__((weak)) int weakly(void) { return 5; }
__attribute__((visibility("protected"))) int guarded(void) { return 6; }
static int chosen(void) { return 7; }
static void *choose(void) { return chosen; }
int indirect(void) __attribute__((ifunc("choose")));
int datum = 8;
__thread int local = 9;
__asm__(".globl untyped\nuntyped: ret\n.globl absolute\nabsolute = 4096");
"#;

/// Both halves in one: what the second loads would stand in the way of the first.
#[test]
fn originals_are_those_that_dlsym_finds() {
    let mut functions = 0;
    for library in libraries() {
        for export in Symbols::of(Path::new(&library)).exports {
            let name = name(&export);
            match own(&name) {
                Found::At(address) => {
                    assert_eq!(address, dlsym(&name), "{export} of {library}");
                    functions += 1;
                }
                Found::Absent => assert_eq!(dlsym(&name), 0, "{export} of {library}"),
                Found::Unclear => {}
            }
        }
    }
    assert!(functions > 1500, "libc alone has more functions than {functions}");
    for hook in resshim_tests::hook_table::symbols() {
        let name = name(&hook);
        // A libc that lacks it says so by both ways.
        assert_ne!(own(&name), Found::Unclear, "{hook} takes the slow way");
    }

    let dir = Scratch::new("originals");
    std::fs::write(dir.path().join("map"), "V1 { global: *; };\nV2 { } V1;\n").expect("written");
    load(&dir, "odd", ODD, &["-Wl,--version-script=map", "-Wl,--hash-style=gnu"]);
    for (symbol, is_plain) in [
        ("two", true),
        ("plain", true),
        ("weakly", true),
        ("guarded", true),
        ("indirect", false),
        ("datum", false),
        ("local", false),
        ("untyped", false),
        ("absolute", false),
    ] {
        let name = name(symbol);
        match own(&name) {
            Found::At(address) => {
                assert!(is_plain, "{symbol} is none of our own look-up's");
                assert_eq!(address, dlsym(&name), "{symbol}");
            }
            other => assert!(!is_plain && other == Found::Unclear, "{symbol}: {other:?}"),
        }
    }
    // Its only version is not the default one.
    assert_eq!((own(c"gone"), dlsym(c"gone")), (Found::Absent, 0));
    assert_eq!((own(c"nowhere"), dlsym(c"nowhere")), (Found::Absent, 0));
    assert!(symbols::each_module_behind(|_| true), "every module so far has a table");

    // Its table is of the other kind.
    load(&dir, "old", "int elder(void) { return 1; }", &["-Wl,--hash-style=sysv"]);
    assert_eq!(own(c"elder"), Found::Absent);
    assert!(
        !symbols::each_module_behind(|_| true),
        "a module without a GNU hash table is passed over"
    );
}
