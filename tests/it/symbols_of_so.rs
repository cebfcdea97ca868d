//! What the shared object shows to every program it is loaded into, and what it asks of every system.

use std::collections::BTreeSet;

use resshim_tests::elf::{self, Symbols};
use resshim_tests::{artifacts, hook_table};

/// Entry points of a JVM agent: the JVM looks them up by name.
const AGENT: [&str; 2] = ["Agent_OnLoad", "Agent_OnUnload"];

#[test]
fn symbols_exported_are_the_hook_table_and_the_api() {
    let exported = Symbols::of(artifacts::shim()).exports;
    let table = hook_table::symbols();
    assert!(table.contains("open") && table.contains("close"), "no hook table found: {table:?}");
    let is_api = |name: &String| name.starts_with("resshim_") || AGENT.contains(&name.as_str());
    let stray: Vec<_> = exported.iter().filter(|n| !table.contains(*n) && !is_api(n)).collect();
    let missing: Vec<_> = table.difference(&exported).collect();
    assert!(stray.is_empty(), "exported, but in no row of the hook table: {stray:?}");
    assert!(missing.is_empty(), "in the hook table, but not exported: {missing:?}");
}

#[test]
fn symbols_imported_are_in_the_allow_list() {
    let imports = Symbols::of(artifacts::shim()).imports;
    let lines: BTreeSet<String> = imports
        .into_iter()
        .filter(|import| !import.name.is_empty())
        .map(|import| {
            let version = import.version.unwrap_or_default();
            let weak = if import.weak { " weak" } else { "" };
            format!("{} {version}{weak}", import.name).trim_end().to_owned()
        })
        .collect();
    // Which of std's imports are there depends on what is built beside the shim: fewer are fine.
    let path = artifacts::tests_dir().join("expect/imports.txt");
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        let text: Vec<String> = lines.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(&path, text.concat()).expect("the list is written");
    }
    let list = std::fs::read_to_string(&path).expect("the list");
    let allowed: BTreeSet<String> = list.lines().map(str::to_owned).collect();
    let new: Vec<&String> = lines.difference(&allowed).collect();
    assert!(lines.len() > 10, "{lines:?}");
    assert!(new.is_empty(), "not in {}; UPDATE=1 rewrites it: {new:?}", path.display());
}

#[test]
fn symbols_imported_are_not_newer_than_glibc_2_31() {
    let versions = elf::needed_versions(artifacts::shim());
    assert!(!versions.is_empty(), "readelf told no versions");
    for version in &versions {
        assert!(version.starts_with("GLIBC_"), "{version} is no version of glibc");
        let newest = elf::version_numbers("GLIBC_2.31");
        assert!(elf::version_numbers(version) <= newest, "{version} is newer than GLIBC_2.31");
    }
    let libraries = elf::needed_libraries(artifacts::shim());
    let known = [
        "libc.so.6",
        "libdl.so.2",
        "libpthread.so.0",
        "ld-linux-x86-64.so.2",
        "ld-linux-aarch64.so.1",
    ];
    for library in &libraries {
        assert!(known.contains(&library.as_str()), "{library} would be loaded into every program");
    }
}

/// Each page of small statics is a page fault in every process: a large one among them spreads them over
/// many (`apart!` of the shim).
#[test]
fn small_statics_have_no_large_one_among_them() {
    let bytes = elf::section_bytes(artifacts::shim(), ".bss").expect("small statics");
    assert!(bytes <= 2048, "{bytes} bytes");
    let apart = elf::section_bytes(artifacts::shim(), ".resshim_apart").expect("large statics");
    assert!(apart > 1 << 20, "{apart} bytes");
}

#[test]
fn symbols_of_a_hook_table_are_found_in_its_source() {
    let source = "use x;\n\nhooks! {\n    fn one(a: c_int) -> c_int; libc;\n        after(i, r) f(r);\n    \
                  // fn not_me(\n    #[doc = \"x\"]\n    fn two() -> c_int; own;\n        after(i, r) g(r);\n    \
                  by_hand: three, // why\n        four;\n}\n\nfn helper() {\n    fn inner() {}\n}\n";
    assert_eq!(hook_table::of_source(source), ["one", "two", "three", "four"]);
}
