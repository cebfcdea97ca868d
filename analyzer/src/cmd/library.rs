//! Finds `libresshim.so`, and makes the value of `LD_PRELOAD` for a program.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::elf::{Dynamic, ElfFile};
use crate::error::{Error, Result};

/// File name of the shim.
pub const LIBRARY: &str = "libresshim.so";
/// Variable that names it.
pub const VARIABLE: &str = "RESSHIM_LIB";

/// The shim: by `RESSHIM_LIB`, beside this binary, in `../lib`, in `../lib/resshim`.
///
/// # Errors
/// Where it is in none of these places, or its path cannot stand in `LD_PRELOAD`.
pub fn find() -> Result<PathBuf> {
    let chosen = std::env::var_os(VARIABLE).filter(|value| !value.is_empty());
    let binary = std::env::current_exe().ok();
    let places = match chosen {
        Some(path) => vec![PathBuf::from(path)],
        None => places(binary.as_deref().and_then(Path::parent)),
    };
    let Some(found) = places.iter().find(|place| place.is_file()) else {
        let tried: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        let hint = format!("looked for {}; set {VARIABLE} to its path", tried.join(", "));
        return Err(Error::input(Path::new(LIBRARY), "not found", hint));
    };
    let path = std::fs::canonicalize(found).map_err(|source| Error::io(found, source))?;
    // ld.so has no way to quote them.
    if path.as_os_str().as_bytes().iter().any(|byte| b" :\n\t".contains(byte)) {
        let hint = format!("LD_PRELOAD cannot hold it: move it, or set {VARIABLE} to a link");
        return Err(Error::input(&path, "has a blank or a colon in its path", hint));
    }
    Ok(path)
}

fn places(beside: Option<&Path>) -> Vec<PathBuf> {
    let Some(beside) = beside else { return Vec::new() };
    let mut places = vec![beside.join(LIBRARY)];
    if let Some(above) = beside.parent() {
        places.push(above.join("lib").join(LIBRARY));
        places.push(above.join("lib/resshim").join(LIBRARY));
    }
    // A test binary of cargo runs in `target/PROFILE/deps`.
    if beside.file_name() == Some(OsStr::new("deps")) {
        places.extend(beside.parent().map(|above| above.join(LIBRARY)));
    }
    places
}

/// Value of `LD_PRELOAD`: what must be first, the shim, what was there.
pub fn preload(first: Option<&str>, library: &Path, before: Option<&OsStr>) -> OsString {
    let mut value = OsString::new();
    if let Some(first) = first {
        value.push(first);
        value.push(":");
    }
    value.push(library);
    if let Some(before) = before.filter(|before| !before.is_empty()) {
        value.push(":");
        value.push(before);
    }
    value
}

/// The file that a shell would start for `command`.
pub fn resolve(command: &OsStr) -> Option<PathBuf> {
    if command.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(command));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|place| place.join(command)).find(|file| file.is_file())
}

/// The sanitizer runtime that `program` needs, which must come before every other library.
pub fn sanitizer(program: &Path) -> Option<String> {
    // Opening a pipe would wait for who writes into it.
    let file = program.is_file().then(|| std::fs::File::open(program).ok())??;
    let program = Dynamic::read(&ElfFile::open(&file)?)?;
    let is_runtime = |name: &String| {
        ["libasan.so", "libtsan.so", "libhwasan.so", "libclang_rt.asan", "libclang_rt.tsan"]
            .iter()
            .any(|runtime| name.starts_with(runtime))
    };
    program.needed.into_iter().find(is_runtime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shim_stands_before_what_was_preloaded_and_behind_a_sanitizer() {
        let library = Path::new("/lib/libresshim.so");
        assert_eq!(preload(None, library, None), "/lib/libresshim.so");
        assert_eq!(preload(None, library, Some(OsStr::new(""))), "/lib/libresshim.so");
        assert_eq!(
            preload(Some("libasan.so.8"), library, Some(OsStr::new("a.so b.so"))),
            "libasan.so.8:/lib/libresshim.so:a.so b.so"
        );
    }

    #[test]
    fn it_is_looked_for_beside_the_binary_and_in_lib() {
        let found = places(Some(Path::new("/opt/bin")));
        let expected =
            ["/opt/bin/libresshim.so", "/opt/lib/libresshim.so", "/opt/lib/resshim/libresshim.so"];
        assert_eq!(found, expected.map(PathBuf::from));
        assert!(
            places(Some(Path::new("/t/debug/deps"))).contains(&"/t/debug/libresshim.so".into())
        );
    }

    #[test]
    fn commands_are_found_as_a_shell_finds_them() {
        assert!(resolve(OsStr::new("sh")).is_some_and(|path| path.ends_with("sh")));
        assert_eq!(resolve(OsStr::new("./x")), Some(PathBuf::from("./x")));
        assert_eq!(resolve(OsStr::new("no-such-command-anywhere")), None);
    }
}
