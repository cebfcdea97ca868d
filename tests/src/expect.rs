//! Stored outputs in `tests/expect/*.txt`. `UPDATE=1 cargo test …` rewrites them; the difference is
//! then read in the version control, like any other change.

use std::path::Path;

use crate::artifacts;

/// Replaces what differs from run to run and machine to machine.
#[derive(Clone, Debug, Default)]
pub struct Normaliser {
    replacements: Vec<(String, &'static str)>,
}

impl Normaliser {
    /// Knows the repository, the build directory and the home directory.
    pub fn new() -> Normaliser {
        let mut normaliser = Normaliser::default();
        normaliser.replace(&artifacts::profile_dir().to_string_lossy(), "[BUILD]");
        let repository = artifacts::tests_dir().parent().expect("tests/ is in the repository");
        normaliser.replace(&repository.to_string_lossy(), "[REPOSITORY]");
        if let Some(home) = std::env::var_os("HOME").filter(|home| home.len() > 1) {
            normaliser.replace(&home.to_string_lossy(), "[HOME]");
        }
        normaliser
    }

    /// Shows every `text` as `name`. What is replaced first wins, so longer paths come first.
    pub fn replace(&mut self, text: &str, name: &'static str) -> &mut Normaliser {
        self.replacements.push((text.to_owned(), name));
        self.replacements.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        self
    }

    /// Shows every path below `path` from there on.
    pub fn replace_path(&mut self, path: &Path, name: &'static str) -> &mut Normaliser {
        self.replace(&path.to_string_lossy(), name)
    }

    /// `text` with the replacements made, `0x…` as `[ADDRESS]`, what is measured as its unit's kind,
    /// pids and tids as `[N]`, no trailing blanks.
    pub fn apply(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (from, to) in &self.replacements {
            text = text.replace(from, to);
        }
        let mut lines: Vec<String> = text.lines().map(|l| l.trim_end().to_owned()).collect();
        for line in &mut lines {
            *line = without_measures(&without_addresses(line)).replace("< [", "[");
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

fn without_addresses(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("0x") {
        out.push_str(&rest[..at]);
        let digits = &rest[at + 2..];
        let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
        out.push_str(if end == 0 { "0x" } else { "[ADDRESS]" });
        rest = &digits[end..];
    }
    out + rest
}

/// Units whose numbers are measured, not counted, and what is shown in place of number and unit: a
/// duration of 900 µs is one of 1.1 ms the next time.
const UNITS: &[(&str, &[&str])] = &[
    ("[TIME]", &["ns", "us", "µs", "ms", "s", "min", "h"]),
    ("[SIZE]", &["B", "KiB", "MiB", "GiB", "kB", "MB"]),
    ("[PERCENT]", &["%"]),
];
/// Words after which a number is an identity.
const IDENTITIES: &[&str] = &["pid", "pid:", "tid", "tid:", "thread:", "process"];

fn without_measures(line: &str) -> String {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        out.push_str(&rest[..at]);
        let end = rest[at..].find(|c: char| !is_number(c)).map_or(rest.len(), |n| at + n);
        let number = &rest[at..end];
        let unit = rest[end..].trim_start_matches(' ');
        let blanks = rest[end..].len() - unit.len();
        let unit_end = unit.find(|c: char| !c.is_alphabetic() && c != '%').unwrap_or(unit.len());
        let begins_word = !out.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let word = &unit[..unit_end];
        let measure = UNITS.iter().find(|(_, units)| blanks <= 1 && units.contains(&word));
        let identity = IDENTITIES.iter().any(|word| {
            let before = out.trim_end_matches([' ', '#']);
            before.ends_with(word)
                && !before[..before.len() - word.len()].ends_with(char::is_alphabetic)
        });
        match measure {
            Some((shown, _)) if begins_word => {
                out.push_str(shown);
                rest = &unit[unit_end..];
            }
            _ => {
                out.push_str(if begins_word && identity { "[N]" } else { number });
                rest = &rest[end..];
            }
        }
    }
    out + rest
}

/// Compares `actual` with `tests/expect/NAME.txt`, or writes it there if `UPDATE=1`.
pub fn output(name: &str, actual: &str) {
    let path = artifacts::tests_dir().join("expect").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        std::fs::write(&path, actual).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == actual,
        "{}; UPDATE=1 rewrites {}",
        line_difference(name, &expected, actual),
        path.display()
    );
}

/// The lines that differ, marked `-` (expected) and `+` (seen), with where they begin.
pub fn line_difference(name: &str, expected: &str, seen: &str) -> String {
    let (expected, seen): (Vec<_>, Vec<_>) = (expected.lines().collect(), seen.lines().collect());
    let same = expected.iter().zip(&seen).take_while(|(a, b)| a == b).count();
    let tail = expected[same..]
        .iter()
        .rev()
        .zip(seen[same..].iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let mut text = format!("  {name} differs from line {}:\n", same + 1);
    for line in &expected[same..expected.len() - tail] {
        text += &format!("    -{line}\n");
    }
    for line in &seen[same..seen.len() - tail] {
        text += &format!("    +{line}\n");
    }
    text
}
