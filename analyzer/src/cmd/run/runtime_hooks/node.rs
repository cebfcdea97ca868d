//! Node: V8 writes the names of its functions to `/tmp/perf-PID.map`, and gives those that it interprets
//! native frames of their own.
//!
//! An option that a node does not know in `NODE_OPTIONS` ends it, and so does a map that cannot be opened:
//! both are looked at before. `--perf-basic-prof` itself would also have V8 log its heap to a file in the
//! working directory, or to standard output where that cannot be written; `-only-functions` does not.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, StatVfsMountFlags};
use rustix::process::{Resource, getrlimit};

use super::Hooks;
use crate::cmd::library;
use crate::elf::{Dynamic, ElfFile};

const VARIABLE: &str = "NODE_OPTIONS";
const MAP: &str = "--perf-basic-prof-only-functions";
const FRAMES: &str = "--interpreted-frames-native-stack";
/// Names of the executable.
const NAMES: [&str; 2] = ["node", "nodejs"];
/// Where V8 writes its map.
const DIRECTORY: &str = "/tmp";
/// A function that node exports since 12.19 and 14.8: both options are allowed there in the variable.
const SINCE: &str = "napi_type_tag_object";
/// Of a node that is a small program with a shared library, the first whose options are known.
const SINCE_LIBRARY: u32 = 83;

/// Adds the options where a node is there that knows them.
pub fn add(program: Option<&Path>, hooks: &mut Hooks) {
    let found = candidates(program);
    if found.is_empty() {
        return;
    }
    let obstacle = found.iter().find_map(|node| unfit(node)).or_else(|| obstacle(DIRECTORY));
    if let Some(why) = obstacle {
        return hooks.say("node", false, format!("JavaScript functions have no names: {why}"));
    }
    let before = std::env::var_os(VARIABLE).unwrap_or_default();
    let Some((value, is_ours)) = extended(&before) else { return };
    hooks.variables.push((VARIABLE.into(), value));
    if is_ours {
        // The shim marks processes whose map is there because of us, so that it is removed.
        hooks.variables.push(("RESSHIM_HOOKS".into(), "node".into()));
    }
    let text = format!(
        "{VARIABLE} was extended by {MAP} {FRAMES}, so that JavaScript functions have names; \
         --no-runtime-hooks leaves it alone"
    );
    hooks.say("node", true, text);
}

/// Nodes that CMD is, is run by, or will find.
fn candidates(program: Option<&Path>) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let own = program.filter(|program| is_node(program.file_name())).map(Path::to_owned);
    let interpreter = || program.and_then(interpreter);
    let mut add = |path: PathBuf| {
        let path = std::fs::canonicalize(&path).unwrap_or(path);
        if !found.contains(&path) {
            found.push(path);
        }
    };
    own.or_else(interpreter).into_iter().for_each(&mut add);
    NAMES.iter().filter_map(|name| library::resolve(OsStr::new(name))).for_each(add);
    found
}

fn is_node(name: Option<&OsStr>) -> bool {
    name.is_some_and(|name| NAMES.iter().any(|known| name == *known))
}

/// The node in the first line of a script.
fn interpreter(script: &Path) -> Option<PathBuf> {
    let mut start = Vec::new();
    let file = std::fs::File::open(script).ok().filter(is_file)?;
    file.take(256).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let name = |word: &[u8]| word.rsplit(|byte| *byte == b'/').next().map(<[u8]>::to_owned);
    let first = words.next()?;
    let word = match name(first)?.as_slice() {
        // `env -S node --flag`.
        b"env" => words.find(|word| !word.starts_with(b"-"))?,
        _ => first,
    };
    is_node(Some(OsStr::from_bytes(&name(word)?)))
        .then(|| library::resolve(OsStr::from_bytes(word)))?
}

/// Why this node may not know the options.
fn unfit(node: &Path) -> Option<String> {
    let knows = || {
        let file = std::fs::File::open(node).ok().filter(is_file)?;
        let elf = ElfFile::open(&file)?;
        let dynamic = Dynamic::read(&elf)?;
        let library = dynamic.needed.iter().find_map(|name| name.strip_prefix("libnode.so."));
        Some(match library {
            Some(version) => version.split('.').next()?.parse::<u32>().ok()? >= SINCE_LIBRARY,
            None => dynamic.names(&elf, SINCE),
        })
    };
    let why = "is no node whose options are known (12.19, 14.8 or later)";
    (knows() != Some(true)).then(|| format!("{} {why}", node.display()))
}

fn is_file(file: &std::fs::File) -> bool {
    file.metadata().is_ok_and(|data| data.is_file())
}

/// Why V8 could not write its map: it would end the process.
fn obstacle(directory: &str) -> Option<String> {
    if rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        return Some(format!("{directory} cannot be written"));
    }
    let system = rustix::fs::statvfs(directory).ok()?;
    if system.f_flag.contains(StatVfsMountFlags::RDONLY) || system.f_bavail == 0 {
        return Some(format!("{directory} is full or read-only"));
    }
    // Beyond the limit a signal would end it.
    let limit = getrlimit(Resource::Fsize).current;
    limit.map(|_| "files are limited in their size (ulimit -f)".to_owned())
}

/// The variable with what is missing in it, and whether the map will be there because of us; `None`:
/// nothing is missing.
fn extended(before: &OsStr) -> Option<(OsString, bool)> {
    let word = |word: &[u8]| String::from_utf8_lossy(word).replace('_', "-");
    let words: Vec<String> = before.as_bytes().split(u8::is_ascii_whitespace).map(word).collect();
    let has_map = words.iter().any(|word| word.starts_with("--perf-"));
    let has_frames = words.iter().any(|word| word == FRAMES);
    let missing: Vec<&str> =
        [(MAP, has_map), (FRAMES, has_frames)].iter().filter(|o| !o.1).map(|o| o.0).collect();
    if missing.is_empty() {
        return None;
    }
    let mut value = before.to_owned();
    if !before.is_empty() {
        value.push(" ");
    }
    value.push(missing.join(" "));
    Some((value, !has_map))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbols::scratch::Scratch;

    #[test]
    fn what_the_user_has_set_is_extended_by_what_is_missing() {
        let extended = |text: &str| {
            let (value, is_ours) = extended(OsStr::new(text))?;
            Some((value.into_string().ok()?, is_ours))
        };
        let both = format!("{MAP} {FRAMES}");
        assert_eq!(extended(""), Some((both.clone(), true)));
        let inspected = "--max-old-space-size=64 --title=\"a b\"";
        assert_eq!(extended(inspected), Some((format!("{inspected} {both}"), true)));
        let own = "--perf_basic_prof";
        assert_eq!(extended(own), Some((format!("{own} {FRAMES}"), false)));
        assert_eq!(extended(FRAMES), Some((format!("{FRAMES} {MAP}"), true)));
        assert_eq!(extended(&both), None);
    }

    #[test]
    fn a_script_names_its_node_and_other_scripts_name_none() {
        let dir = Scratch::new("shebang");
        let node = dir.write("node", b"");
        let of = |line: &str| interpreter(&dir.write("script", line.as_bytes()));
        assert_eq!(of(&format!("#!{}\nx", node.display())), Some(node.clone()));
        assert_eq!(of(&format!("#! /usr/bin/env -S {} --x", node.display())), Some(node));
        assert_eq!(of("#!/bin/sh\nexec node"), None);
        assert_eq!(of("#!"), None);
        assert_eq!(of("\x7fELF"), None);
        assert_eq!(interpreter(dir.path()), None);
    }

    #[test]
    fn programs_that_are_no_node_are_unfit() {
        assert!(unfit(Path::new("/bin/sh")).is_some_and(|why| why.contains("/bin/sh")));
        assert!(unfit(Path::new("/etc/passwd")).is_some());
        assert!(unfit(Path::new("/none")).is_some());
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_an_obstacle() {
        assert_eq!(obstacle("/tmp"), None);
        assert!(obstacle("/proc/self").is_some() && obstacle("/none").is_some());
    }
}
