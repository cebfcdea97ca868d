//! What a shared object or program offers and asks for, as `readelf` tells it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// A symbol that is asked for, with its version if it has one: `open`, `GLIBC_2.2.5`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// Its name.
    pub name: String,
    /// Its version; none for symbols that any version will do for.
    pub version: Option<String>,
    /// It may be missing.
    pub weak: bool,
}

/// Dynamic symbols of an ELF file.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    /// Defined and visible to others.
    pub exports: BTreeSet<String>,
    /// Asked for.
    pub imports: BTreeSet<Import>,
}

impl Symbols {
    /// Reads them. Panics where `readelf` is missing or the file is none.
    pub fn of(path: &Path) -> Symbols {
        let mut symbols = Symbols::default();
        for line in readelf(&["--dyn-syms", "--wide"], path).lines() {
            // Num: Value Size Type Bind Vis Ndx Name[@Version]
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [number, _, _, _, bind, visibility, section, name, ..] = fields[..] else {
                continue;
            };
            if !number.ends_with(':') || number == "Num:" {
                continue;
            }
            let (name, version) = match name.split_once('@') {
                Some((name, version)) => (name, Some(version.trim_start_matches('@').to_owned())),
                None => (name, None),
            };
            if section == "UND" {
                let weak = bind == "WEAK";
                symbols.imports.insert(Import { name: name.to_owned(), version, weak });
            } else if bind != "LOCAL" && matches!(visibility, "DEFAULT" | "PROTECTED") {
                symbols.exports.insert(name.to_owned());
            }
        }
        symbols
    }

    /// Whether a symbol of this name is asked for.
    pub fn imports_name(&self, name: &str) -> bool {
        self.imports.iter().any(|import| import.name == name)
    }
}

/// Versions that the file needs, from any library: `GLIBC_2.2.5`, `GCC_3.0`.
pub fn needed_versions(path: &Path) -> BTreeSet<String> {
    let text = readelf(&["--version-info", "--wide"], path);
    let needs = text.split("Version needs section").nth(1).unwrap_or("");
    needs
        .split_whitespace()
        .zip(needs.split_whitespace().skip(1))
        .filter(|(label, _)| *label == "Name:")
        .map(|(_, version)| version.to_owned())
        .collect()
}

/// Shared objects that the file needs.
pub fn needed_libraries(path: &Path) -> BTreeSet<String> {
    let text = readelf(&["--dynamic", "--wide"], path);
    text.lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| line.split_once('[')?.1.split_once(']'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The numbers of a version name: `GLIBC_2.31` → `[2, 31]`.
pub fn version_numbers(version: &str) -> Vec<u32> {
    let numbers = version.rsplit('_').next().unwrap_or("");
    numbers.split('.').filter_map(|number| number.parse().ok()).collect()
}

/// Bytes of a section; `None` if the file has none of this name.
pub fn section_bytes(path: &Path, section: &str) -> Option<u64> {
    let sections = readelf(&["--section-headers", "--wide"], path);
    sections.lines().find_map(|line| {
        // [Nr] Name Type Address Off Size
        let (_, fields) = line.split_once("] ")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let [name, _, _, _, bytes, ..] = fields[..] else { return None };
        (name == section).then(|| u64::from_str_radix(bytes, 16).expect("a size"))
    })
}

fn readelf(options: &[&str], path: &Path) -> String {
    let output = Command::new("readelf")
        .env("LC_ALL", "C")
        .args(options)
        .arg(path)
        .output()
        .unwrap_or_else(|error| panic!("readelf: {error}; install binutils"));
    assert!(output.status.success(), "readelf {}: {:?}", path.display(), output.stderr);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
