//! The harness itself: a harness that reports success for everything would hide every bug.

use std::time::{Duration, Instant};

use resshim_tests::elf::{self, Symbols};
use resshim_tests::expect::{Normaliser, line_difference};
use resshim_tests::launch::{Ending, Launch, Outcome};
use resshim_tests::scratch::Scratch;
use resshim_tests::{parallel, program};

fn shell(script: &str) -> Launch {
    Launch::new("sh").args(["-c", script])
}

#[test]
fn an_outcome_has_output_errors_and_status() {
    let outcome = shell("echo out; echo err >&2; exit 3").run();
    let expected =
        Outcome { stdout: b"out\n".to_vec(), stderr: b"err\n".to_vec(), ending: Ending::Exit(3) };
    assert_eq!(outcome, expected);
    assert_eq!(shell("kill -9 $$").run().ending, Ending::Signal(9));
    assert_eq!(shell("kill -9 $$").run().as_shell_sees().ending, Ending::Exit(137));
}

#[test]
fn a_command_that_hangs_is_killed_with_its_children() {
    let began = Instant::now();
    let outcome = shell("sleep 60 & sleep 60").limit(Duration::from_millis(200)).run();
    assert_eq!(outcome.ending, Ending::TimedOut);
    assert!(began.elapsed() < Duration::from_secs(10), "its children held the pipes");
}

#[test]
fn output_of_children_that_outlive_the_command_is_kept() {
    assert_eq!(shell("(sleep 0.05; echo late) & echo early").run().stdout, b"early\nlate\n");
}

#[test]
fn differences_are_seen_and_told() {
    let outcome =
        |stdout: &str, ending| Outcome { stdout: stdout.into(), stderr: Vec::new(), ending };
    let one = outcome("a\nb\nc\n", Ending::Exit(0));
    assert_eq!(one.difference(&one), None);
    let told = outcome("a\nx\nc\n", Ending::Exit(0)).difference(&one).expect("they differ");
    assert!(told.contains("-b") && told.contains("+x") && !told.contains("-c"), "{told}");
    assert!(outcome("a\nb\nc\n", Ending::Signal(6)).difference(&one).is_some());
    assert_eq!(
        line_difference("stdout", "a\n", "a\nb\n"),
        "  stdout differs from line 2:\n    +b\n"
    );
}

#[test]
fn a_program_is_compiled_once_and_again_when_its_text_changes() {
    let scratch = Scratch::new("compile");
    let source = scratch.path().join("answer.c");
    let write = |answer: u32| {
        let text = format!("#include \"answer.h\"\nint main(void) {{ return {answer} + ADD; }}\n");
        std::fs::write(&source, text).expect("source");
    };
    std::fs::write(scratch.path().join("answer.h"), "#define ADD 1\n").expect("header");
    write(41);
    let first = program::compiled(&source).expect("compiles");
    assert_eq!(Launch::of(&first).run().ending, Ending::Exit(42));
    assert_eq!(program::compiled(&source).expect("compiles").path, first.path);
    std::fs::write(scratch.path().join("answer.h"), "#define ADD 2\n").expect("header");
    let second = program::compiled(&source).expect("compiles");
    assert_eq!(Launch::of(&second).run().ending, Ending::Exit(43));
    std::fs::write(&source, "int main(void) { int unused; return 0; }\n").expect("source");
    let complaint = program::compiled(&source).expect_err("warnings are complaints");
    assert!(complaint.contains("unused"), "{complaint}");
}

#[test]
fn every_complaint_of_parallel_cases_is_told() {
    let odd = |n: &u32| if n.is_multiple_of(2) { Err(format!("{n} is even")) } else { Ok(()) };
    parallel::each(&[1, 3, 5], odd);
    let told = std::panic::catch_unwind(|| parallel::each(&[1, 2, 3, 4], odd));
    let told = told.expect_err("two are even");
    let text = told.downcast_ref::<String>().expect("a message");
    assert!(text.contains("2 of 4") && text.contains("2 is even") && text.contains("4 is even"));
}

#[test]
fn normalised_output_has_no_addresses_times_or_paths() {
    let mut normaliser = Normaliser::new();
    normaliser.replace("/somewhere", "[DIRECTORY]");
    let text = "/somewhere/a: 12 leaks at 0x7ffc12 of pid 4711 in 0.31 s, 3 sites, 16 KiB   \nabc2 x86_64\n";
    assert_eq!(
        normaliser.apply(text),
        "[DIRECTORY]/a: 12 leaks at [ADDRESS] of pid [N] in [TIME], 3 sites, [SIZE]\nabc2 x86_64\n"
    );
}

#[test]
fn symbols_of_an_object_are_read_with_their_versions() {
    let test_binary = std::env::current_exe().expect("path");
    let symbols = Symbols::of(&test_binary);
    let import = symbols.imports.iter().find(|i| i.name == "memcpy").expect("imports memcpy");
    let version = import.version.as_deref().expect("has a version");
    assert!(version.starts_with("GLIBC_2."), "{version}");
    assert!(elf::needed_versions(&test_binary).contains(version));
    assert!(elf::needed_libraries(&test_binary).contains("libc.so.6"));
    assert!(elf::version_numbers("GLIBC_2.4") < elf::version_numbers("GLIBC_2.31"));
}
