//! The hook table of the shim as its source has it: a cdylib gives no other crate its tables.
//!
//! The heap's rows are of another shape (naked functions): there the symbols are C string literals
//! of a `symbols!` list or of `Real::new`.

use std::collections::BTreeSet;

use crate::artifacts;

/// Symbols of all rows in `shim/src/hooks`: `fn NAME(` inside `hooks! {` and `cold_hooks! {`, and
/// the names after `by_hand:`.
pub fn symbols() -> BTreeSet<String> {
    let directory = artifacts::tests_dir().join("../shim/src/hooks");
    let mut symbols = BTreeSet::new();
    let files = std::fs::read_dir(&directory).expect("shim/src/hooks");
    for file in files {
        let path = file.expect("directory entry").path();
        let text = std::fs::read_to_string(&path).expect("a source");
        symbols.extend(of_source(&text));
    }
    symbols
}

/// Symbols of the rows in one source.
pub fn of_source(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rows = text;
    while let Some(at) = rows.find("hooks! {\n") {
        let begin = &rows[at..];
        let end = begin.find("\n}\n").unwrap_or(begin.len());
        let block = without_comments(&begin[..end]);
        for line in block.lines() {
            // Rows stand at the first level; functions of other shapes do not occur in the block.
            if let Some((name, _)) = line.strip_prefix("    fn ").and_then(|l| l.split_once('(')) {
                found.push(name.trim().to_owned());
            }
        }
        if let Some((_, names)) = block.split_once("by_hand:") {
            let names = names.split(';').next().unwrap_or("");
            let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
            found.extend(names.map(str::to_owned));
        }
        rows = &begin[end..];
    }
    found.extend(of_real_statics(text));
    found
}

/// Names in `NAME c"symbol"` lists of a `mod real`.
fn of_real_statics(text: &str) -> Vec<String> {
    let Some((_, module)) = text.split_once("mod real {") else { return Vec::new() };
    let end = module.find("\n}").unwrap_or(module.len());
    let mut literals = module[..end].split(" c\"").skip(1);
    let name = |literal: &str| literal.split('"').next().map(str::to_owned);
    std::iter::from_fn(|| name(literals.next()?)).collect()
}

fn without_comments(block: &str) -> String {
    let kept: Vec<&str> =
        block.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code)).collect();
    kept.join("\n")
}
