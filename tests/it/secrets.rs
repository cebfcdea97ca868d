//! What `docs/privacy.md` says is not stored is in no byte of what is stored, and in no report.

use std::fs;
use std::io::Read;
use std::path::Path;

use resshim_tests::launch::{Ending, Launch, Mode};
use resshim_tests::program;
use resshim_tests::scratch::Scratch;

/// Arguments with a mark each, the mark, and whether `RESSHIM_ARGS=1` stores it.
const ARGUMENTS: &[(&str, &str, bool)] = &[
    ("--password=4RGA", "4RGA", false),
    ("--token", "--token", true),
    ("4RGB", "4RGB", false),
    ("https://user:4RGC@host/x?key=4RGD#4RGE", "4RGC", false),
    ("--database=postgres://user:4RGF@host/shop", "4RGF", false),
    ("Authorization: Bearer 4RGG", "4RGG", false),
    ("host=db password=4RGH", "4RGH", false),
    ("https://user:4RGI@auth.host:8443/", "4RGI", false),
    // What no word announces is stored, as the document says.
    ("-p4RGJ", "4RGJ", true),
    ("plain-4RGK", "4RGK", true),
    // The program gives this one to shells, behind `-c`.
    ("code", "C0DEMARK", true),
];

/// Marks of what is never stored: data, environment, the hidden parts of URLs.
const NEVER: &[&str] = &["D4T4MARK", "3NVMARK", "4NNMARK", "P4THMARK", "4RGD", "4RGE"];

/// How a stream of zstd begins (RFC 8878, 3.1.1).
const ZSTD: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();

/// Every byte below a directory that is not part of an empty page, also those that are stored compressed,
/// and the names of the files.
fn all_bytes(directory: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).expect("directory") {
        let path = entry.expect("entry").path();
        all.extend(path.as_os_str().as_encoded_bytes());
        if path.is_dir() {
            all.extend(all_bytes(&path));
            continue;
        }
        let file = fs::read(&path).expect("a file");
        let pages = file.chunks(4096).filter(|page| *page != &[0; 4096][..page.len()]);
        let plain: Vec<u8> = pages.flatten().copied().collect();
        for at in 0..plain.len().saturating_sub(ZSTD.len()) {
            if plain[at..].starts_with(&ZSTD) {
                let mut stream = zstd::stream::Decoder::new(&plain[at..]).expect("a decoder");
                // Up to its end, or what is behind it.
                let _ = stream.read_to_end(&mut all);
            }
        }
        all.extend(plain);
    }
    all
}

fn contains(bytes: &[u8], mark: &str) -> bool {
    let first = mark.as_bytes()[0];
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == first) {
        rest = &rest[at..];
        if rest.starts_with(mark.as_bytes()) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// What is stored of the program run in this way, and all that is told about it.
fn stored_and_told(mode: Mode, arguments: &str) -> (Vec<u8>, Vec<u8>) {
    let (place, out) = (Scratch::new("secrets"), Scratch::for_regions("secrets"));
    let trace = out.path().join("trace");
    let trace = if mode == Mode::UnderRun { trace.as_path() } else { out.path() };
    let run = Launch::of(&program::named("secrets/keeps_secrets"))
        .args(ARGUMENTS.iter().map(|(argument, _, _)| argument))
        .directory(place.path())
        .env("AWS_SECRET_ACCESS_KEY", "3NVMARK")
        .env("RESSHIM_ARGS", arguments)
        .env("RESSHIM_PROFILE", "full")
        .run_as(mode, trace);
    assert_eq!((run.ending, run.stderr_text().as_str()), (Ending::Exit(0), ""));
    let mut told = Vec::new();
    for options in [&["--all"][..], &["--format", "json"], &["--format", "markdown", "--all"]] {
        let report = Launch::cli().args(["report", "--at-exit"]).args(options).args([trace]);
        let report = report.directory(place.path()).run();
        assert_eq!(report.ending, Ending::Exit(0), "{}", report.stderr_text());
        told.extend(report.stdout);
        told.extend(report.stderr);
    }
    // Behind the reports, which store the names that they resolve.
    (all_bytes(out.path()), told)
}

#[test]
fn secrets_are_neither_stored_nor_told() {
    for mode in [Mode::Preloaded, Mode::UnderRun] {
        for arguments in ["0", "1"] {
            let how = format!("{mode:?}, RESSHIM_ARGS={arguments}");
            let (stored, told) = stored_and_told(mode, arguments);
            // The search finds what is there.
            for name in [
                "child-name",
                "https://host/path",
                "files/list",
                "https://there/list",
                "/absent/program",
            ] {
                assert!(contains(&stored, name), "{how}: {name} is not stored");
            }
            for mark in NEVER {
                assert!(!contains(&stored, mark), "{how}: {mark} is stored");
                assert!(!contains(&told, mark), "{how}: {mark} is told");
            }
            for (argument, mark, kept) in ARGUMENTS {
                let kept = *kept && arguments == "1";
                assert_eq!(contains(&stored, mark), kept, "{how}: of {argument} {mark} is stored");
                assert!(kept || !contains(&told, mark), "{how}: of {argument} {mark} is told");
            }
        }
    }
}
