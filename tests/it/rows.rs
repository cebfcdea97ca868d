//! A program for each hook: it must behave the same with and without the shim.

use std::collections::BTreeSet;

use resshim_tests::elf::Symbols;
use resshim_tests::launch::{Ending, Launch, Mode, Outcome};
use resshim_tests::program::Program;
use resshim_tests::scratch::Scratch;
use resshim_tests::{artifacts, hook_table, parallel, program};

#[test]
fn every_exported_hook_has_a_program_that_calls_it() {
    let programs: BTreeSet<String> = program::sources("")
        .iter()
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    let exported = Symbols::of(artifacts::shim()).exports;
    let hooks: BTreeSet<String> = exported.intersection(&hook_table::symbols()).cloned().collect();
    assert!(!hooks.is_empty(), "the shim exports no hook");
    let without: Vec<_> = hooks.difference(&programs).collect();
    let names: Vec<String> = without.iter().map(|h| format!("tests/programs/{h}.c")).collect();
    assert!(without.is_empty(), "hooks without a program; write {}", names.join(", "));
}

#[test]
fn programs_of_hooks_behave_the_same_traced() {
    parallel::each(&program::sources(""), |source| {
        let program = program::compiled(source)?;
        if !Symbols::of(&program.path).imports_name(&program.name) {
            return Err(format!("{0}: does not call {0}", program.name));
        }
        same_in_all_modes(&program)
    });
}

#[test]
fn hostile_programs_behave_the_same_traced() {
    parallel::each(&program::sources("behaviours"), |source| {
        same_in_all_modes(&program::compiled(source)?)
    });
}

/// Ways to run it that must all give the same: how, and with which profile.
const TRACED: [(Mode, &str); 3] =
    [(Mode::Preloaded, "default"), (Mode::Preloaded, "full"), (Mode::UnderRun, "default")];

/// Runs it untraced and traced, each time in a fresh directory.
fn same_in_all_modes(program: &Program) -> Result<(), String> {
    let untraced = outcome(program, Mode::Untraced, "default");
    if untraced.ending == Ending::TimedOut {
        return Err(format!("{}: hangs without the shim", program.name));
    }
    let mut complaints = String::new();
    for (mode, profile) in TRACED {
        let expected = match mode {
            Mode::UnderRun => untraced.clone().as_shell_sees(),
            Mode::Untraced | Mode::Preloaded => untraced.clone(),
        };
        if let Some(difference) = outcome(program, mode, profile).difference(&expected) {
            let name = &program.name;
            complaints += &format!("{name} {mode:?}, profile {profile}:\n{difference}");
        }
    }
    if complaints.is_empty() { Ok(()) } else { Err(complaints) }
}

fn outcome(program: &Program, mode: Mode, profile: &str) -> Outcome {
    let directory = Scratch::new(&program.name);
    let out = match mode {
        Mode::Preloaded => Scratch::for_regions(&program.name),
        Mode::Untraced | Mode::UnderRun => Scratch::new(&program.name),
    };
    let trace = out.path().join("trace");
    let place = if mode == Mode::UnderRun { &trace } else { out.path() };
    Launch::of(program)
        .directory(directory.path())
        .env("RESSHIM_PROFILE", profile)
        .run_as(mode, place)
}
