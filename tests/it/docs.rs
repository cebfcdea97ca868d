//! What the documents cite is there: paths, programs, tests, other documents. A matrix that names a test
//! which is gone claims what nobody shows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use resshim_tests::artifacts;

fn repository() -> &'static Path {
    artifacts::tests_dir().parent().expect("the repository")
}

/// The README and all of `docs/`: name, text.
fn documents() -> Vec<(String, String)> {
    let mut paths = vec![repository().join("README.md")];
    let entries = fs::read_dir(repository().join("docs")).expect("docs");
    paths.extend(entries.map(|entry| entry.expect("entry").path()));
    paths.sort();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    let text = |path: &PathBuf| fs::read_to_string(path).expect("a document");
    let name = |path: &PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), text(path))).collect()
}

/// What stands between single backquotes, outside of blocks.
fn quoted(text: &str) -> Vec<&str> {
    let outside = text.split("```").step_by(2);
    outside
        .flat_map(|part| part.lines())
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect()
}

/// Names of the functions in the sources below these directories, and of the modules of `tests/it`.
fn functions() -> BTreeSet<String> {
    fn read(directory: &Path, into: &mut BTreeSet<String>) {
        for entry in fs::read_dir(directory).expect("sources") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                read(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let module = path.file_stem().expect("a name").to_string_lossy().into_owned();
                let text = fs::read_to_string(&path).expect("a source");
                for line in text.lines() {
                    let Some((_, rest)) = line.split_once("fn ") else { continue };
                    let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next();
                    let name = name.unwrap_or_default();
                    into.extend([name.to_owned(), format!("{module}::{name}")]);
                }
            }
        }
    }
    let mut names = BTreeSet::new();
    for directory in ["format", "shim/src", "analyzer/src", "tests/it", "tests/src"] {
        read(&repository().join(directory), &mut names);
    }
    names
}

/// Whether a name is one of these; `…` stands for any part of it.
fn is_one_of(name: &str, names: &BTreeSet<String>) -> bool {
    let Some((begin, end)) = name.split_once('…') else { return names.contains(name) };
    names.iter().any(|known| {
        known.len() > begin.len() + end.len() && known.starts_with(begin) && known.ends_with(end)
    })
}

#[test]
fn paths_programs_and_tests_that_documents_cite_exist() {
    let functions = functions();
    let modules: BTreeSet<String> = fs::read_dir(artifacts::tests_dir().join("it"))
        .expect("tests")
        .map(|entry| {
            entry.expect("entry").path().file_stem().expect("a name").to_string_lossy().into_owned()
        })
        .collect();
    let (mut checked, mut missing) = (0, Vec::new());
    for (document, text) in documents() {
        for word in quoted(&text) {
            let path = word.split([' ', '#']).next().unwrap_or_default();
            let top = path.split('/').next().unwrap_or_default();
            let is_test = word.split_once("::").is_some_and(|(module, _)| modules.contains(module))
                || word.matches('_').count() >= 4
                    && word == word.to_lowercase()
                    && !word.contains(['/', ' ', '.', '*']);
            let is_there = if is_test {
                is_one_of(word, &functions)
            } else if ["tests", "format", "shim", "analyzer", "scripts", "docs"].contains(&top)
                && path.contains('/')
            {
                repository().join(path).exists()
            } else if ["behaviours", "leaks", "hostile", "living", "secrets"].contains(&top)
                && path.contains('/')
            {
                let program = artifacts::tests_dir().join("programs").join(path);
                program.with_extension("c").exists() || program.with_extension("cc").exists()
            } else {
                continue;
            };
            checked += 1;
            if !is_there {
                missing.push(format!("{document}: {word}"));
            }
        }
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            checked += 1;
            let base = if document == "README.md" {
                repository().to_path_buf()
            } else {
                repository().join("docs")
            };
            if !base.join(file).exists() {
                missing.push(format!("{document}: link to {link}"));
            }
        }
    }
    assert!(missing.is_empty(), "cited, but not there:\n{}", missing.join("\n"));
    assert!(checked > 60, "only {checked} citations were found");
}

#[test]
fn each_row_of_the_safety_matrix_names_what_shows_it_or_is_open() {
    let text = fs::read_to_string(repository().join("docs/safety.md")).expect("docs/safety.md");
    let modules: Vec<String> = fs::read_dir(artifacts::tests_dir().join("it"))
        .expect("tests")
        .map(|entry| {
            entry.expect("entry").path().file_stem().expect("a name").to_string_lossy().into_owned()
        })
        .collect();
    let mut numbers = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let Ok(number) = cells[0].parse::<u32>() else { continue };
        numbers.push(number);
        let shows = |cell: &str| {
            let is_other_row = |word: &str| word.parse::<u32>().is_ok();
            cell.contains('`')
                || cell.contains("every row")
                || cell.split([' ', ',']).any(is_other_row)
                || modules.iter().any(|module| cell.contains(module.as_str()))
        };
        assert!(
            line.contains("*open*") || shows(cells.last().unwrap_or(&"")),
            "row {number} says neither what shows it nor that it is open"
        );
    }
    assert_eq!(numbers, (1..=41).collect::<Vec<u32>>(), "a row for each failure");
}
