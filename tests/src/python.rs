//! The Python interpreters of this machine: those in `PATH`, pyenv's, and those that `scripts/pythons` fetched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::artifacts;

/// An interpreter.
#[derive(Clone, Debug)]
pub struct Python {
    /// The executable.
    pub path: PathBuf,
    /// Major and minor version.
    pub version: (u32, u32),
}

/// Every CPython from this version on, one a file; never none.
pub fn installed(least: (u32, u32)) -> Vec<Python> {
    let mut found = BTreeMap::new();
    for path in candidates() {
        let Ok(real) = path.canonicalize() else { continue };
        // A shim of pyenv is a script.
        let Some(version) = version(&real).filter(|version| *version >= least) else { continue };
        found.insert(real.clone(), Python { path: real, version });
    }
    assert!(!found.is_empty(), "no python3 from {least:?} on: apt-get install python3");
    found.into_values().collect()
}

/// Where `scripts/pythons` puts what it fetches.
fn fetched_dir() -> PathBuf {
    artifacts::profile_dir().parent().unwrap_or(Path::new("target")).join("pythons")
}

/// The interpreter of this version that was fetched, if it was.
pub fn fetched(version: &str) -> Option<PathBuf> {
    let place = fetched_dir().join(version);
    let python = place.join(format!("usr/bin/python{version}"));
    place.join("complete").is_file().then_some(python)
}

impl Python {
    /// A directory of packages of others (greenlet, gevent) for this version, if they were fetched.
    pub fn packages(&self) -> Option<PathBuf> {
        let (major, minor) = self.version;
        let place = fetched_dir().join(format!("packages-{major}.{minor}"));
        place.is_dir().then_some(place)
    }
}

fn candidates() -> Vec<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = path.split(':').map(PathBuf::from).collect();
    directories.push("/usr/bin".into());
    // Those that `scripts/pythons` fetches.
    let fetched = std::fs::read_dir(fetched_dir());
    directories.extend(fetched.into_iter().flatten().flatten().map(|e| e.path().join("usr/bin")));
    let pyenv = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv"));
    let versions = pyenv.or(home).map(|root| root.join("versions"));
    let versions = versions.and_then(|versions| std::fs::read_dir(versions).ok());
    directories.extend(versions.into_iter().flatten().flatten().map(|e| e.path().join("bin")));
    let names = (9..=14).map(|minor| format!("python3.{minor}")).chain(["python3".to_owned()]);
    let names: Vec<String> = names.collect();
    let all = directories.iter().flat_map(|dir| names.iter().map(move |name| dir.join(name)));
    all.filter(|path| path.is_file()).collect()
}

fn version(python: &Path) -> Option<(u32, u32)> {
    if !std::fs::read(python).ok()?.starts_with(b"\x7fELF") {
        return None;
    }
    let code = "import sys; print(sys.implementation.name, *sys.version_info[:2])";
    let done = Command::new(python).args(["-I", "-c", code]).output().ok()?;
    let text = String::from_utf8(done.stdout).ok()?;
    let mut words = text.split_whitespace();
    let is_cpython = words.next() == Some("cpython");
    let version = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    is_cpython.then_some(version)
}
