//! Compiles the small programs of `tests/programs`, once per content.
//!
//! A program says in its first lines what it needs beyond `cc -O1 -Wall -pthread`:
//!
//! ```text
//! // build: -D_FORTIFY_SOURCE=2       flags of the compiler
//! // library: early.c                 a shared library it is linked to (built from that file)
//! // plugin: plugin.c                 a shared library whose path is its first argument
//! ```

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

use crate::artifacts;

/// A compiled program.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its source's name without directory and extension: `open`, `exec_chain`.
    pub name: String,
    /// The executable.
    pub path: PathBuf,
    /// Arguments that its source asks for (plugins).
    pub args: Vec<PathBuf>,
    /// The source.
    pub source: PathBuf,
}

/// Sources directly in a directory below `tests/programs` (`""` = itself), sorted: its `.c` and
/// `.cc` files that are programs. A file that begins with `// part` belongs to others.
pub fn sources(directory: &str) -> Vec<PathBuf> {
    let directory = artifacts::tests_dir().join("programs").join(directory);
    let entries = std::fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.expect("directory entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "c" || e == "cc"))
        .filter(|path| !read(path).starts_with("// part"))
        .collect();
    found.sort();
    found
}

/// The program of this name: `open`, `behaviours/vfork_exec`.
pub fn named(name: &str) -> Program {
    let base = artifacts::tests_dir().join("programs").join(name);
    let source = [base.with_extension("c"), base.with_extension("cc")]
        .into_iter()
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("no program {name} in tests/programs"));
    compiled(&source).unwrap_or_else(|complaint| panic!("{complaint}"))
}

/// Compiles `source` unless that content was compiled before.
pub fn compiled(source: &Path) -> Result<Program, String> {
    let text = read(source);
    let mut args = Vec::new();
    for part in directives(&text, "plugin") {
        args.push(built(&source.with_file_name(part), Output::Library, &[])?);
    }
    let mut libraries = Vec::new();
    for part in directives(&text, "library") {
        libraries.push(built(&source.with_file_name(part), Output::Library, &[])?);
    }
    let path = built(source, Output::Executable, &libraries)?;
    let name = source.file_stem().expect("a file name").to_string_lossy().into_owned();
    Ok(Program { name, path, args, source: source.to_path_buf() })
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Output {
    Executable,
    Library,
}

/// What was built is kept by content; one file is compiled by one thread only.
fn built(source: &Path, output: Output, libraries: &[PathBuf]) -> Result<PathBuf, String> {
    type Slot = Arc<OnceLock<Result<PathBuf, String>>>;
    static SLOTS: Mutex<Option<HashMap<PathBuf, Slot>>> = Mutex::new(None);
    let target = target_of(source, output, libraries);
    let slot = {
        let mut slots = SLOTS.lock().expect("no compilation panics while it holds this");
        slots.get_or_insert_default().entry(target.clone()).or_default().clone()
    };
    slot.get_or_init(|| {
        if target.is_file() {
            return Ok(target.clone());
        }
        compile(source, output, libraries, &target).map(|()| target.clone())
    })
    .clone()
}

fn target_of(source: &Path, output: Output, libraries: &[PathBuf]) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    hash_with_includes(source, &mut hasher);
    // With its path, which its debug information names: a checkout may move together with `target`.
    (source, output, libraries, compilers()).hash(&mut hasher);
    let stem = source.file_stem().expect("a file name").to_string_lossy();
    let directory = artifacts::profile_dir().join("resshim-programs");
    let hash = hasher.finish();
    match output {
        Output::Executable => directory.join(format!("{hash:016x}")).join(stem.as_ref()),
        Output::Library => directory.join(format!("{hash:016x}")).join(format!("lib{stem}.so")),
    }
}

fn compile(
    source: &Path,
    output: Output,
    libraries: &[PathBuf],
    target: &Path,
) -> Result<(), String> {
    let directory = target.parent().expect("has a directory");
    std::fs::create_dir_all(directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    let unfinished = target.with_extension(format!("{}.tmp", std::process::id()));
    let (cc, cxx) = compilers();
    let is_cxx = source.extension().is_some_and(|e| e == "cc");
    let mut command = Command::new(if is_cxx { cxx } else { cc });
    command.args(["-O1", "-g", "-Wall", "-pthread"]);
    if output == Output::Library {
        command.args(["-shared", "-fPIC"]);
    }
    command.arg("-o").arg(&unfinished).arg(source).args(libraries);
    for library in libraries {
        let place = library.parent().expect("has a directory");
        command.arg(format!("-Wl,-rpath,{}", place.display()));
    }
    for flags in directives(&read(source), "build") {
        command.args(flags.split_whitespace());
    }
    let result = command.output().map_err(|error| {
        format!("{command:?}: {error}; install a C and a C++ compiler, or set CC and CXX")
    })?;
    if !result.status.success() || !result.stderr.is_empty() {
        let said = String::from_utf8_lossy(&result.stderr);
        return Err(format!("{command:?} said:\n{said}"));
    }
    std::fs::rename(&unfinished, target).map_err(|e| format!("{}: {e}", target.display()))
}

fn compilers() -> &'static (String, String) {
    static COMPILERS: OnceLock<(String, String)> = OnceLock::new();
    let from = |name: &str, default: &str| std::env::var(name).unwrap_or(default.into());
    COMPILERS.get_or_init(|| (from("CC", "cc"), from("CXX", "c++")))
}

/// Values of `// name: value` in the comment that a source begins with.
fn directives(text: &str, name: &str) -> Vec<String> {
    let prefix = format!("// {name}: ");
    text.lines()
        .take_while(|line| line.starts_with("//"))
        .filter_map(|line| line.strip_prefix(&prefix))
        .map(|value| value.trim().to_owned())
        .collect()
}

fn hash_with_includes(source: &Path, hasher: &mut DefaultHasher) {
    let text = read(source);
    text.hash(hasher);
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("#include \"").and_then(|l| l.strip_suffix('"')) {
            hash_with_includes(&source.with_file_name(name), hasher);
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
