//! A live directory: made, looked through for new regions, removed.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use std::collections::{HashMap, HashSet};

use resshim_format::index::{INDEX_FILE, QUOTA_FILE, REGION_SUFFIX};

use crate::error::{Error, Result};
use crate::source::open;

/// A change in the last moments may be followed by one with the same time stamp.
const GRANULARITY: Duration = Duration::from_millis(50);
/// How often a file that is no region yet is tried again.
const TRIES: u32 = 200;

/// The directory that the shim uses without `RESSHIM_OUT`.
pub fn default_directory() -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    PathBuf::from(format!("/dev/shm/resshim-{user}"))
}

/// Makes a new live directory for one run, in memory.
///
/// # Errors
/// Where none can be made, in `/dev/shm` and in the runtime directory.
pub fn make() -> Result<PathBuf> {
    let mut random = [0; 8];
    let drawn = std::fs::File::open("/dev/urandom")
        .and_then(|mut file| io::Read::read_exact(&mut file, &mut random));
    drawn.map_err(|source| Error::io(Path::new("/dev/urandom"), source))?;
    let name = format!("run-{:016x}", u64::from_le_bytes(random));
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(|dir| PathBuf::from(dir).join("resshim"));
    let mut last = None;
    for base in std::iter::once(default_directory()).chain(runtime) {
        match make_in(&base, &name) {
            Ok(path) => return Ok(path),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| Error::io(&default_directory(), io::ErrorKind::NotFound.into())))
}

fn make_in(base: &Path, name: &str) -> Result<PathBuf> {
    let private = |path: &Path| DirBuilder::new().mode(0o700).create(path);
    match private(base) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(Error::io(base, error));
        }
        _ => {}
    }
    check_private(base)?;
    let path = base.join(name);
    private(&path).map_err(|source| Error::io(&path, source))?;
    Ok(path)
}

/// Ours, no link, writable by no one else: the rule of the shim for `RESSHIM_OUT`.
fn check_private(path: &Path) -> Result<()> {
    open::directory(path)?;
    let data = path.symlink_metadata().map_err(|source| Error::io(path, source))?;
    let ours = data.uid() == rustix::process::geteuid().as_raw();
    if !ours || data.mode() & 0o022 != 0 {
        let hint = "it must be yours and writable by no one else: chmod 700";
        return Err(Error::input(path, "others can write in it", hint));
    }
    Ok(())
}

/// Removes a live directory that holds no region any more; false if one is left.
pub fn remove(path: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(path) else { return false };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().ends_with(REGION_SUFFIX) {
            return false;
        }
    }
    // Only a directory that was made for one run: the shim's own is used on.
    if is_of_one_run(path) {
        for name in [INDEX_FILE, QUOTA_FILE] {
            let _ = std::fs::remove_file(path.join(name));
        }
        let _ = std::fs::remove_dir(path);
    }
    true
}

/// Whether the directory was made by [`make`].
pub fn is_of_one_run(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("run-"))
}

/// Whether the file has no magic yet: whoever made it has told nothing.
pub fn is_unmade(path: &Path) -> bool {
    let Ok(file) = open::regular(path, open::Access::Read) else { return false };
    let mut magic = [0; 8];
    match std::os::unix::fs::FileExt::read_exact_at(&file, &mut magic, 0) {
        Ok(()) => magic == [0; 8],
        Err(error) => error.kind() == io::ErrorKind::UnexpectedEof,
    }
}

/// Names of region files as they appear.
pub struct Names {
    path: PathBuf,
    changed: Option<SystemTime>,
    known: HashSet<String>,
    tries: HashMap<String, u32>,
    kept: usize,
}

impl Names {
    /// Of this directory.
    pub fn new(path: &Path) -> Names {
        Names {
            path: path.to_owned(),
            changed: None,
            known: HashSet::new(),
            tries: HashMap::new(),
            kept: 0,
        }
    }

    /// Names that were not there before, and those to be tried again. Nothing is read while the
    /// directory does not change.
    pub fn new_names(&mut self) -> Vec<String> {
        let again = !self.tries.is_empty();
        let changed = self.path.metadata().and_then(|data| data.modified()).ok();
        if changed == self.changed && !again {
            return Vec::new();
        }
        let recent = changed
            .and_then(|at| SystemTime::now().duration_since(at).ok())
            .is_none_or(|age| age < GRANULARITY);
        self.changed = if recent { None } else { changed };
        let Ok(entries) = std::fs::read_dir(&self.path) else { return Vec::new() };
        let mut there = HashSet::new();
        let mut new = Vec::new();
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !name.ends_with(REGION_SUFFIX) {
                continue;
            }
            if !self.known.contains(&name) || self.tries.contains_key(&name) {
                new.push(name.clone());
            }
            there.insert(name);
        }
        self.tries.retain(|name, tries| there.contains(name) && *tries < TRIES);
        self.known = there;
        new
    }

    /// A file that is no region yet is to be tried again; false: it was tried often enough.
    pub fn retry(&mut self, name: String) -> bool {
        let tries = self.tries.entry(name).or_insert(0);
        *tries += 1;
        *tries < TRIES
    }

    /// A region was not stored and stays.
    pub fn keep(&mut self) {
        self.kept += 1;
    }

    /// Regions that stay, and files that may become one.
    pub fn waiting(&self) -> usize {
        self.kept
    }
}
