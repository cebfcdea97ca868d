//! Which trace is meant where none was named: the newest of `run`'s and of the shim's directory.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use resshim_format::index::INDEX_FILE;

use crate::cmd::traces;
use crate::collect::live;
use crate::error::{Error, Result};
use crate::escape::visible;
use crate::source::manifest::MANIFEST_FILE;
use crate::view::quantity::seconds;

/// Others that are named.
const OTHERS: usize = 5;

/// A trace that was found.
struct Found {
    path: PathBuf,
    changed: SystemTime,
}

/// The newest trace; the others are listed on standard error.
///
/// # Errors
/// Where there is none.
pub fn choose() -> Result<PathBuf> {
    let shims = std::env::var_os("RESSHIM_OUT").filter(|value| !value.is_empty());
    let shims = shims.map_or_else(live::default_directory, PathBuf::from);
    let mut found = found(&traces::directory(), &shims);
    let foreign = foreign(Path::new("/dev/shm"));
    found.sort_by_key(|trace| std::cmp::Reverse(trace.changed));
    let mut stderr = std::io::stderr().lock();
    let mut say = |text: String| {
        // Nobody is left to be told where this fails.
        let _ = writeln!(stderr, "resshim: {text}");
    };
    for user in foreign {
        say(format!(
            "user {user} has traces too: sudo -u '#{user}' resshim report /dev/shm/resshim-{user}"
        ));
    }
    if found.is_empty() {
        let hint = "make one: resshim run -- CMD; or name a TRACE";
        return Err(Error::input(&traces::directory(), "holds no trace", hint));
    }
    let now = SystemTime::now();
    for other in found.iter().skip(1).take(OTHERS) {
        let age = now.duration_since(other.changed).unwrap_or_default().as_secs_f64();
        let path = other.path.to_string_lossy();
        say(format!("older trace, {} ago: {}", seconds(age), visible(&path)));
    }
    if found.len() > OTHERS + 1 {
        let directory = traces::directory();
        let directory = directory.to_string_lossy();
        say(format!("and {} more in {}", found.len() - OTHERS - 1, visible(&directory)));
    }
    Ok(found.swap_remove(0).path)
}

/// Traces of `run` below `stored`, and the shim's directory if it is in use.
fn found(stored: &Path, shims: &Path) -> Vec<Found> {
    let entries = fs::read_dir(stored).into_iter().flatten().flatten();
    let candidates = entries.map(|entry| (entry.path(), MANIFEST_FILE));
    candidates
        .chain([(shims.to_owned(), INDEX_FILE)])
        .filter_map(|(path, file)| {
            let changed = fs::symlink_metadata(path.join(file)).ok()?.modified().ok()?;
            Some(Found { path, changed })
        })
        .collect()
}

/// Users who have a directory of the shim here, ourselves left out.
fn foreign(shared: &Path) -> Vec<u32> {
    let own = rustix::process::geteuid().as_raw();
    let entries = fs::read_dir(shared).into_iter().flatten().flatten();
    let user = |name: &OsStr| name.to_str()?.strip_prefix("resshim-")?.parse::<u32>().ok();
    let mut users: Vec<u32> = entries
        .filter_map(|entry| {
            let named = user(&entry.file_name())?;
            // A directory that only claims to be somebody's tells nothing about them.
            let data = entry.metadata().ok()?;
            (data.is_dir() && data.uid() == named && named != own).then_some(named)
        })
        .collect();
    users.sort_unstable();
    users
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_trace_is_found_among_what_is_no_trace() {
        let base = std::env::temp_dir().join(format!("resshim-newest-{}", std::process::id()));
        let _ = fs::remove_dir_all(&base);
        let (stored, shims) = (base.join("state"), base.join("shm"));
        for (directory, file) in
            [("state/a.1", MANIFEST_FILE), ("state/empty", ""), ("shm", INDEX_FILE)]
        {
            fs::create_dir_all(base.join(directory)).expect("directory");
            if !file.is_empty() {
                fs::write(base.join(directory).join(file), "x").expect("file");
            }
        }
        fs::write(stored.join("file"), "x").expect("file");
        let mut paths: Vec<PathBuf> =
            found(&stored, &shims).into_iter().map(|trace| trace.path).collect();
        paths.sort();
        assert_eq!(paths, [shims, stored.join("a.1")]);
        assert!(found(&base.join("none"), &base.join("none")).is_empty());
        fs::remove_dir_all(&base).expect("removed");
    }

    #[test]
    fn only_a_directory_of_its_user_is_named() {
        let base = std::env::temp_dir().join(format!("resshim-foreign-{}", std::process::id()));
        fs::create_dir_all(base.join("resshim-4000000")).expect("directory");
        fs::create_dir_all(base.join("resshim-$(x)")).expect("directory");
        assert!(foreign(&base).is_empty());
        fs::remove_dir_all(&base).expect("removed");
    }
}
