//! `resshim gc`: removes old traces, and what dead processes left in a directory of the shim.
//!
//! Removed is only what is recognised: directories with a manifest, directories of one run whose
//! regions nobody maps, region files that nobody maps. What a living process or collector uses stays.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use resshim_format::index::REGION_SUFFIX;
use rustix::fs::FlockOperation;

use super::output;
use crate::cli::Gc;
use crate::collect::live;
use crate::collect::proc::ProcessId;
use crate::error::{Error, Result};
use crate::escape::visible;
use crate::source::manifest::{MANIFEST_FILE, Manifest};
use crate::source::open::{self, Access};

/// Something that could be removed.
struct Item {
    path: PathBuf,
    bytes: u64,
    changed: SystemTime,
    used: bool,
}

/// Removes what is too old, then the oldest until the rest is small enough.
///
/// # Errors
/// Where the directory cannot be read.
pub fn run(options: &Gc) -> anyhow::Result<u8> {
    if options.max_age.is_none() && options.max_bytes.is_none() {
        return Err(Error::Usage {
            what: "gc".into(),
            why: "nothing was said to be too old or too large".into(),
            hint: "add --max-age or --max-bytes".into(),
        }
        .into());
    }
    let mut items = items(&options.directory)?;
    items.sort_by_key(|item| item.changed);
    let mut total: u64 = items.iter().map(|item| item.bytes).sum();
    let now = SystemTime::now();
    let mut text = String::new();
    let mut freed = 0;
    for item in items {
        let age = now.duration_since(item.changed).unwrap_or(Duration::ZERO);
        let too_old = options.max_age.is_some_and(|most| age > most);
        let too_much = options.max_bytes.is_some_and(|most| total > most);
        if item.used || !(too_old || too_much) {
            continue;
        }
        remove(&item.path)?;
        total -= item.bytes;
        freed += item.bytes;
        let name = item.path.display().to_string();
        text.push_str(&format!("removed {} ({} bytes)\n", visible(&name), item.bytes));
    }
    text.push_str(&format!("{freed} bytes freed, {total} bytes left\n"));
    output::write(&text, None)?;
    Ok(0)
}

fn remove(path: &Path) -> Result<()> {
    let directory = path.symlink_metadata().is_ok_and(|data| data.is_dir());
    let removed =
        if directory { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(path, source))
        }
        _ => Ok(()),
    }
}

fn items(directory: &Path) -> Result<Vec<Item>> {
    open::directory(directory)?;
    let entries = std::fs::read_dir(directory).map_err(|source| Error::io(directory, source))?;
    let mut items = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(data) = path.symlink_metadata() else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        let used = if data.is_file() && name.ends_with(REGION_SUFFIX) {
            is_mapped(&path)
        } else if data.is_dir() && path.join(MANIFEST_FILE).is_file() {
            is_collected(&path)
        } else if data.is_dir() && name.starts_with("run-") {
            // A run that is just beginning has no region yet.
            has_mapped(&path) || is_fresh(&path)
        } else {
            continue;
        };
        let (bytes, changed) = size(&path);
        items.push(Item { path, bytes, changed, used });
    }
    Ok(items)
}

/// Somebody has the region mapped. What cannot be asked counts as used.
fn is_mapped(path: &Path) -> bool {
    open::regular(path, Access::Read).map_or(true, |file| {
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err()
    })
}

fn has_mapped(directory: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(directory) else { return true };
    entries.flatten().any(|entry| {
        entry.file_name().to_string_lossy().ends_with(REGION_SUFFIX) && is_mapped(&entry.path())
    })
}

fn is_fresh(path: &Path) -> bool {
    let changed = path.metadata().and_then(|data| data.modified()).ok();
    let age = changed.and_then(|at| SystemTime::now().duration_since(at).ok());
    age.is_none_or(|age| age < Duration::from_secs(60))
}

/// A collector writes the trace, or processes that it told of live on.
fn is_collected(trace: &Path) -> bool {
    let Ok(manifest) = Manifest::read(trace) else { return false };
    let Some(live) = manifest.live_dir else { return false };
    let collector =
        ProcessId { pid: manifest.collector.pid, start_ticks: manifest.collector.start_ticks };
    let shared = live == live::default_directory();
    collector.is_alive() || (!shared && live.exists() && has_mapped(&live))
}

/// Bytes on disk, and the last change of any file.
fn size(path: &Path) -> (u64, SystemTime) {
    use std::os::unix::fs::MetadataExt;
    let Ok(data) = path.symlink_metadata() else { return (0, SystemTime::now()) };
    let mut bytes = data.blocks() * 512;
    let mut changed = data.modified().unwrap_or_else(|_| SystemTime::now());
    if data.is_dir() {
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            let (more, at) = size(&entry.path());
            bytes += more;
            changed = changed.max(at);
        }
    }
    (bytes, changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::region::fixture::{Fixture, directory};

    fn options(directory: &Path, max_age: Option<u64>, max_bytes: Option<u64>) -> Gc {
        Gc { directory: directory.to_owned(), max_age: max_age.map(Duration::from_secs), max_bytes }
    }

    #[test]
    fn the_oldest_go_first_and_nothing_else_is_touched() {
        let place = directory("gc");
        for (name, age) in [("old", 3000), ("newer", 2000)] {
            let trace = place.join(name);
            std::fs::create_dir(&trace).unwrap();
            Manifest::default().write(&trace).unwrap();
            let file = std::fs::File::open(trace.join(MANIFEST_FILE)).unwrap();
            let at = SystemTime::now() - Duration::from_secs(age);
            file.set_modified(at).unwrap();
            std::fs::File::open(&trace).unwrap().set_modified(at).unwrap();
        }
        std::fs::create_dir(place.join("photos")).unwrap();
        std::fs::write(place.join("photos/cat"), "x").unwrap();
        let left = Fixture::new(1, 5).write(&place);
        run(&options(&place, Some(2500), None)).unwrap();
        assert!(!place.join("old").exists() && place.join("newer").exists() && left.exists());
        let mapped = std::fs::File::open(&left).unwrap();
        rustix::fs::flock(&mapped, FlockOperation::LockShared).unwrap();
        run(&options(&place, None, Some(0))).unwrap();
        assert!(!place.join("newer").exists() && left.exists(), "its owner lives");
        drop(mapped);
        run(&options(&place, None, Some(0))).unwrap();
        assert!(!left.exists() && place.join("photos/cat").exists());
        assert!(run(&options(&place, None, None)).is_err());
        std::fs::remove_dir_all(place).unwrap();
    }
}
