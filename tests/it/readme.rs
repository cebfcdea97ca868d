//! The README says what is so: its commands and options exist, and its report has the form of one printed now.

use resshim_tests::launch::{Ending, Launch, Mode};
use resshim_tests::scratch::Scratch;
use resshim_tests::{artifacts, program};

fn readme() -> String {
    let path = artifacts::tests_dir().parent().expect("the repository").join("README.md");
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The blocks between lines of three backticks.
fn blocks(text: &str) -> Vec<String> {
    text.split("```").skip(1).step_by(2).map(str::to_owned).collect()
}

/// First words of the lines at the foot of a report, in order.
fn labels(report: &str) -> Vec<String> {
    let is_foot = |line: &&str| line.starts_with(|c: char| c.is_ascii_lowercase());
    let word = |line: &str| line.split_whitespace().next().unwrap_or("").to_owned();
    report.lines().filter(is_foot).map(word).collect()
}

#[test]
fn its_commands_and_options_exist() {
    let mut seen = 0;
    for block in blocks(&readme()) {
        for line in block.lines().filter(|line| line.trim_start().starts_with("resshim ")) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words[1].contains('/') {
                // The drawing of the parts begins with the names of two commands.
                continue;
            }
            let help = Launch::cli().args([words[1], "--help"]).run();
            assert_eq!(help.ending, Ending::Exit(0), "no such command: {line}");
            let help = help.stdout_text();
            let own = words.iter().take_while(|word| **word != "--" && **word != "#");
            for option in own.filter(|word| word.starts_with("--")) {
                assert!(help.contains(option), "{option} is in no help: {line}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 2, "the README shows no options any more");
}

#[test]
fn its_report_has_the_form_of_one_that_is_printed_now() {
    let shown = blocks(&readme());
    let shown = shown.iter().find(|block| block.contains("\nlimit ")).expect("a report");
    let out = Scratch::for_regions("readme");
    let leaky = Launch::of(&program::named("leaks/leaks_files"));
    let _ = leaky.run_as(Mode::Preloaded, out.path());
    let printed = Launch::cli().args(["report", "--at-exit"]).args([out.path()]).run();
    assert_eq!(printed.ending, Ending::Exit(0), "{}", printed.stderr_text());
    assert_eq!(labels(shown), labels(&printed.stdout_text()), "{}", printed.stdout_text());
    let finding = |text: &str| {
        let at = text.lines().position(|line| line.starts_with("1 error"))?;
        text.lines().nth(at + 1).map(|line| line.starts_with("  at "))
    };
    assert_eq!(finding(shown), Some(true), "{shown}");
    assert_eq!(finding(&printed.stdout_text()), Some(true), "{}", printed.stdout_text());
}
