//! The scripts of `tests/programs/real`: real programs that nobody here wrote, at work.
//!
//! A script says in its first lines what it needs and what it is known to do:
//!
//! ```text
//! # needs: redis-server curl     programs that must be there
//! # user: postgres               who runs it where the tests run as root
//! # says: 300 hello              a line of its standard output
//! # ends: 7                      its exit status (0 if absent)
//! # sees: tcp file thread        kinds of which resshim must have seen acquisitions
//! ```
//!
//! A file that begins with `# part` belongs to others.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::artifacts;

/// A script.
#[derive(Clone, Debug)]
pub struct Script {
    /// Its file's name without the extension.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Programs that must be there.
    pub needs: Vec<String>,
    /// Who runs it where the tests run as root.
    pub user: Option<String>,
    /// Lines of its standard output.
    pub says: Vec<String>,
    /// Its exit status.
    pub ends: i32,
    /// Kinds of which acquisitions must have been seen.
    pub sees: Vec<String>,
}

/// All scripts, by name.
pub fn all() -> Vec<Script> {
    let directory = artifacts::tests_dir().join("programs/real");
    let entries = std::fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut found: Vec<Script> = entries
        .map(|entry| entry.expect("directory entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sh"))
        .filter_map(|path| read(&path))
        .collect();
    found.sort_by(|one, two| one.name.cmp(&two.name));
    found
}

fn read(path: &Path) -> Option<Script> {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if text.starts_with("# part") {
        return None;
    }
    let values = |name: &str| -> Vec<String> {
        let prefix = format!("# {name}: ");
        text.lines()
            .take_while(|line| line.starts_with('#'))
            .filter_map(|line| line.strip_prefix(&prefix))
            .map(str::to_owned)
            .collect()
    };
    let words = |name: &str| -> Vec<String> {
        values(name).iter().flat_map(|value| value.split_whitespace()).map(str::to_owned).collect()
    };
    let ends = values("ends").first().map_or(0, |status| status.parse().expect("a status"));
    Some(Script {
        name: path.file_stem().expect("a file name").to_string_lossy().into_owned(),
        path: path.to_path_buf(),
        needs: words("needs"),
        user: values("user").pop(),
        says: values("says"),
        ends,
        sees: words("sees"),
    })
}

impl Script {
    /// The first of the programs that it needs and that this machine does not have.
    pub fn missing(&self) -> Option<&str> {
        self.needs.iter().map(String::as_str).find(|name| !is_there(name))
    }
}

/// Whether a program is in one of the directories that the scripts look in.
fn is_there(name: &str) -> bool {
    search_path().split(':').any(|directory| {
        let file = Path::new(directory).join(name).metadata();
        file.is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    })
}

/// `PATH`, and where Debian keeps servers.
pub fn search_path() -> String {
    let mut path = std::env::var("PATH").unwrap_or_default();
    path += ":/usr/sbin:/sbin";
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    for version in versions {
        path += &format!(":{}", version.path().join("bin").display());
    }
    path
}
