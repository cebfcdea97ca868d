//! Finds what is tested: the shared object and the command beside the test binary.
//!
//! `cargo test` does not build a cdylib that nothing links to, so both may be missing or older than
//! their sources. A test of yesterday's shim is worse than none: either is an error that says what to run.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

/// What to run when something is missing.
const HINT: &str = "run `cargo build -p resshim-shim -p resshim-analyzer` (or `cargo build`) first";

/// The directory of this build profile: `target/debug`, `target/release`.
pub fn profile_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let binary = std::env::current_exe().expect("path of the test binary");
        let deps = binary.parent().expect("directory of the test binary");
        let profile = if deps.ends_with("deps") { deps.parent() } else { Some(deps) };
        profile.expect("profile directory").to_path_buf()
    })
}

/// The directory `tests/` of the repository.
pub fn tests_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `libresshim.so`: `RESSHIM_LIB`, or the one of this build profile.
pub fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| find("RESSHIM_LIB", "libresshim.so", "libresshim.d"))
}

/// The `resshim` binary: `RESSHIM_BIN`, or the one of this build profile.
pub fn cli() -> &'static Path {
    static CLI: OnceLock<PathBuf> = OnceLock::new();
    CLI.get_or_init(|| find("RESSHIM_BIN", "resshim", "resshim.d"))
}

fn find(variable: &str, file: &str, dep_info: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "{variable}={} is no file", path.display());
        return path;
    }
    let path = profile_dir().join(file);
    assert!(path.is_file(), "{} is missing: {HINT}", path.display());
    if let Some(newer) = newer_source(&path, &profile_dir().join(dep_info)) {
        panic!("{} is older than {}: {HINT}", path.display(), newer.display());
    }
    path
}

/// A source in cargo's dependency file that changed after `built`.
fn newer_source(built: &Path, dep_info: &Path) -> Option<PathBuf> {
    let built = modified(built)?;
    let rules = std::fs::read_to_string(dep_info).ok()?;
    let (_, sources) = rules.split_once(": ")?;
    sources
        .split_whitespace()
        .map(PathBuf::from)
        .find(|source| modified(source).is_some_and(|at| at > built))
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}
