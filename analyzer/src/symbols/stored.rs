//! Resolved names in the trace: the report says the same after a rebuild, or with the binary deleted.
//!
//! `TRACE/names` is MessagePack with named fields. Columns, not rows: a place of five inlined frames
//! costs some thirty bytes. Readers trust nothing: a damaged file is no names, never a panic.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::file;
use super::resolve::Name;

/// Version of what is written here; later ones are not read.
const VERSION: u32 = 1;
/// Largest file that is read.
const MAX_BYTES: u64 = 256 << 20;
/// Beyond this many places, modules that nobody asked for at this reading are not written again.
const MANY_PLACES: usize = 200_000;
/// The file's name.
pub const FILE: &str = "names";

#[derive(Debug, Default, Serialize, Deserialize)]
struct Stored {
    version: u32,
    /// Every function and file name once; 0 is empty.
    strings: Vec<String>,
    modules: Vec<StoredModule>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct StoredModule {
    /// Build id, or path and inode.
    key: String,
    /// Path when it was resolved, for people.
    path: String,
    /// Ascending.
    offsets: Vec<u64>,
    /// Frames of each offset, 0 = the binary has no name for it.
    frames: Vec<u32>,
    /// Of each frame, index of a string.
    functions: Vec<u32>,
    /// Of each frame, index of a string.
    files: Vec<u32>,
    /// Of each frame.
    lines: Vec<u32>,
}

/// Names of one module by offset; empty = looked for, none there.
#[derive(Debug, Default)]
pub struct ModuleNames {
    /// Path when it was resolved.
    pub path: String,
    /// By offset of the call.
    pub places: HashMap<u64, Vec<Name>>,
    /// It was asked for at this reading of the trace. Where there are too many places, only such modules
    /// are kept.
    pub used: bool,
}

/// All names that are known.
#[derive(Debug, Default)]
pub struct Names {
    /// By build id, or path and inode.
    pub modules: HashMap<String, ModuleNames>,
    /// Whether something is new since they were read.
    pub changed: bool,
}

impl Names {
    /// What a trace holds; nothing if it holds none, or none that can be read.
    pub fn read(trace: &Path) -> Names {
        Self::try_read(trace).unwrap_or_default()
    }

    fn try_read(trace: &Path) -> Option<Names> {
        let path = std::path::absolute(trace).ok()?.join(FILE);
        let owner = std::fs::metadata(trace).ok()?;
        let user = std::os::unix::fs::MetadataExt::uid(&owner);
        let opened = file::open(&path, user, MAX_BYTES).ok()?;
        let mut bytes = Vec::new();
        opened.file.take(MAX_BYTES + 1).read_to_end(&mut bytes).ok()?;
        let stored: Stored = rmp_serde::from_slice(&bytes).ok()?;
        if stored.version != VERSION {
            return None;
        }
        let strings = shared(stored.strings);
        Some(Names {
            modules: stored
                .modules
                .iter()
                .filter_map(|module| Some((module.key.clone(), unpack(module, &strings)?)))
                .collect(),
            changed: false,
        })
    }

    /// Writes them into the trace. One that cannot be written to stays as it is.
    pub fn write(&mut self, trace: &Path) {
        if self.changed && self.try_write(trace).is_ok() {
            self.changed = false;
        }
    }

    fn try_write(&self, trace: &Path) -> std::io::Result<()> {
        let bytes = rmp_serde::to_vec_named(&self.pack()).map_err(std::io::Error::other)?;
        let temporary = trace.join(format!(".{FILE}.{}", std::process::id()));
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .and_then(|mut file| file.write_all(&bytes))
            .and_then(|()| std::fs::rename(&temporary, trace.join(FILE)));
        if written.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }

    fn pack(&self) -> Stored {
        let mut strings = Strings::default();
        strings.index("");
        let many = self.modules.values().map(|m| m.places.len()).sum::<usize>() > MANY_PLACES;
        let mut modules: Vec<StoredModule> = self
            .modules
            .iter()
            .filter(|(_, module)| module.used || !many)
            .map(|(key, module)| pack(key, module, &mut strings))
            .collect();
        modules.sort_by(|a, b| a.key.cmp(&b.key));
        Stored { version: VERSION, strings: strings.list, modules }
    }
}

#[derive(Default)]
struct Strings {
    list: Vec<String>,
    index: HashMap<String, u32>,
}
impl Strings {
    fn index(&mut self, text: &str) -> u32 {
        if let Some(index) = self.index.get(text) {
            return *index;
        }
        let index = self.list.len() as u32;
        self.list.push(text.to_owned());
        self.index.insert(text.to_owned(), index);
        index
    }
}

fn pack(key: &str, module: &ModuleNames, strings: &mut Strings) -> StoredModule {
    let mut stored =
        StoredModule { key: key.to_owned(), path: module.path.clone(), ..StoredModule::default() };
    let mut places: Vec<_> = module.places.iter().collect();
    places.sort_by_key(|(offset, _)| **offset);
    for (offset, names) in places {
        stored.offsets.push(*offset);
        stored.frames.push(names.len() as u32);
        for name in names {
            stored.functions.push(strings.index(&name.function));
            stored.files.push(strings.index(&name.file));
            stored.lines.push(name.line);
        }
    }
    stored
}

/// Shared, so that a file that names one long string a million times takes no more memory than its size.
fn shared(strings: Vec<String>) -> Vec<Arc<str>> {
    strings.into_iter().map(Arc::from).collect()
}

/// `None` if its columns do not fit.
fn unpack(stored: &StoredModule, strings: &[Arc<str>]) -> Option<ModuleNames> {
    let text = |index: &u32| strings.get(*index as usize).cloned();
    let mut frames = stored.functions.iter().zip(&stored.files).zip(&stored.lines).map(
        |((function, file), line)| {
            Some(Name { function: text(function)?, file: text(file)?, line: *line })
        },
    );
    let mut places = HashMap::with_capacity(stored.offsets.len());
    if stored.offsets.len() != stored.frames.len() {
        return None;
    }
    for (offset, count) in stored.offsets.iter().zip(&stored.frames) {
        let mut names = Vec::new();
        for _ in 0..*count {
            names.push(frames.next()??);
        }
        places.insert(*offset, names);
    }
    Some(ModuleNames { path: stored.path.clone(), places, used: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbols::scratch::Scratch;

    fn names() -> Names {
        let name =
            |function: &str, line| Name { function: function.into(), file: "a.c".into(), line };
        let mut names = Names { changed: true, ..Names::default() };
        let module = names.modules.entry("abcd".into()).or_default();
        module.path = "/bin/x".into();
        module.places.insert(16, vec![name("inner", 3), name("outer", 9)]);
        module.places.insert(8, vec![]);
        names
    }

    #[test]
    fn what_was_written_is_read() {
        let dir = Scratch::new("names");
        let mut written = names();
        written.write(dir.path());
        assert!(!written.changed);
        let read = Names::read(dir.path());
        let module = &read.modules["abcd"];
        assert_eq!(module.path, "/bin/x");
        assert_eq!(module.places, written.modules["abcd"].places);
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "no temporary file stays");
    }

    #[test]
    fn a_directory_that_is_not_there_is_no_error() {
        let dir = Scratch::new("none");
        let gone = dir.path().join("gone");
        let mut unwritten = names();
        unwritten.write(&gone);
        assert!(unwritten.changed && !gone.exists());
        assert!(Names::read(&gone).modules.is_empty());
    }

    #[test]
    fn a_later_version_is_not_read() {
        let dir = Scratch::new("later");
        let mut stored = names().pack();
        stored.version = VERSION + 1;
        dir.write(FILE, &rmp_serde::to_vec_named(&stored).unwrap());
        assert!(Names::read(dir.path()).modules.is_empty());
    }

    #[test]
    fn columns_that_do_not_fit_are_dropped() {
        let good = || names().pack();
        let unpacked =
            |stored: &Stored| unpack(&stored.modules[0], &shared(stored.strings.clone())).is_some();
        assert!(unpacked(&good()));
        let mut bad = good();
        bad.modules[0].frames[1] = u32::MAX;
        assert!(!unpacked(&bad));
        let mut bad = good();
        bad.modules[0].functions[0] = 99;
        assert!(!unpacked(&bad));
        let mut bad = good();
        bad.modules[0].offsets.push(7);
        assert!(!unpacked(&bad));
    }

    #[test]
    fn damaged_files_give_no_names_and_no_panic() {
        let dir = Scratch::new("damaged");
        let whole = rmp_serde::to_vec_named(&names().pack()).unwrap();
        for cut in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[cut] ^= 0xff;
            dir.write(FILE, &bytes);
            Names::read(dir.path());
            dir.write(FILE, &whole[..cut]);
            assert!(Names::read(dir.path()).modules.is_empty());
        }
    }
}
