//! Names that a program, or whoever built it, chose to harm those who read about it: shown as escapes in
//! every view. Files that its debug information names: read only where the reader said so.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use resshim_tests::launch::{Ending, Launch};
use resshim_tests::program;
use resshim_tests::scratch::Scratch;

/// Every way to print a report, and what else shows names of a trace.
const VIEWS: &[&[&str]] = &[
    &["audit"],
    &["audit", "--stacks"],
    &["audit", "--format", "json"],
    &["--format", "table"],
    &["--all"],
    &["--format", "markdown"],
    &["--format", "markdown", "--all"],
    &["--format", "json"],
];

/// What of a line of markdown is in no code span: a run of backquotes opens one if another run of that
/// length follows (CommonMark 6.1).
fn outside_code(line: &str) -> String {
    let run = |text: &str| text.len() - text.trim_start_matches('`').len();
    let (mut outside, mut rest) = (String::new(), line);
    while let Some(at) = rest.find('`') {
        outside += &rest[..at];
        let length = run(&rest[at..]);
        rest = &rest[at + length..];
        let mut from = 0;
        while let Some(close) = rest[from..].find('`').map(|close| from + close) {
            from = close + run(&rest[close..]);
            if from - close == length {
                rest = &rest[from..];
                break;
            }
        }
    }
    outside + rest
}

/// The report in one view, in this directory; what no view may hold is not in it.
fn view(args: &[&str], more: &[&str], trace: &Path, directory: &Path) -> String {
    let report = match args.first() {
        Some(&"audit") => Launch::cli().args(args).args([trace]),
        _ => Launch::cli().args(["report", "--at-exit"]).args(args).args(more).args([trace]),
    };
    let report = report.directory(directory).env("COLUMNS", "80").run();
    assert_eq!(report.ending, Ending::Exit(0), "{args:?}: {}", report.stderr_text());
    let text = String::from_utf8(report.stdout).unwrap_or_else(|_| panic!("{args:?}: no UTF-8"));
    for line in text.lines().chain(String::from_utf8_lossy(&report.stderr).lines()) {
        let start = line.trim_start();
        assert!(!start.starts_with("::") && !start.starts_with("##vso"), "{args:?}: {line}");
        let harmful = |c: char| {
            c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        assert!(!line.contains(harmful), "{args:?}: {line:?}");
    }
    if args.contains(&"markdown") {
        // Inside a code span nothing is markup; outside it nothing of the names may be.
        for line in text.lines() {
            let outside = outside_code(line);
            for markup in ["<script", "</script", "<img", "](javascript:"] {
                assert!(!outside.contains(markup), "{markup} in {line}");
            }
        }
        assert!(!text.lines().any(|line| line.starts_with("# heading")), "{text}");
    }
    if args == ["--format", "table"] {
        // Two lines are there to be copied: they are as long as the trace's name.
        let copied = |line: &&str| line.starts_with("trace ") || line.starts_with("next ");
        let long = text.lines().filter(|line| !copied(line)).find(|line| line.chars().count() > 80);
        assert_eq!(long, None, "a line of more than 80 columns");
        let rows: usize = text.lines().map(|line| line.chars().count().div_ceil(80).max(1)).sum();
        assert!(rows <= 24, "more than one screen:\n{text}");
    }
    text
}

#[test]
fn names_of_a_hostile_program_harm_no_view() {
    for arguments in ["0", "1"] {
        let (out, place) = (Scratch::for_regions("hostile"), Scratch::new("hostile"));
        let run = Launch::of(&program::named("hostile/names"))
            .directory(place.path())
            .env("RESSHIM_ARGS", arguments)
            .env("RESSHIM_SERVICE", "\x1b[31mred\n::error::service</script>");
        let outcome = run.preloaded(out.path()).run();
        assert_eq!((outcome.ending, outcome.stderr_text().as_str()), (Ending::Exit(0), ""));
        for args in VIEWS {
            let text = view(args, &[], out.path(), place.path());
            // Which of them is a matter of the finding's ids where there is room for five.
            let parts = ["red", "onerror", "\\u{200b}", "begins", "gnp", "alert", "bytes", "vso"];
            let mut parts = parts.iter().chain(&["heading", "warning::x", "cmd|", "javascript"]);
            let is_shown = parts.any(|part| text.contains(part));
            assert!(is_shown, "{args:?}: the names are shown, escaped\n{text}");
        }
    }
}

/// Stands for a name in the program below, and is of the same length.
const PLACEHOLDER: &str = "placeholder_of_a_hostile_name_";
const HOSTILE: &[u8; PLACEHOLDER.len()] = b"\x1b[31mred\n::error::</script>\xff\x07\r";

#[test]
fn names_in_a_hostile_binary_harm_no_view() {
    let (out, place) = (Scratch::for_regions("binary"), Scratch::new("binary"));
    let source = place.path().join("binary.c");
    let text = format!(
        "#include <fcntl.h>\nint {PLACEHOLDER}(void) {{ return open(\"/dev/null\", O_RDONLY); }}\n\
         #line 1 \"/{PLACEHOLDER}.c\"\nint main(void) {{ return {PLACEHOLDER}() < 0; }}\n"
    );
    fs::write(&source, text).expect("source");
    let mut binary = fs::read(program::compiled(&source).expect("compiles").path).expect("binary");
    let mut at = 0;
    let mut replaced = 0;
    while let Some(found) =
        binary[at..].windows(PLACEHOLDER.len()).position(|name| name == PLACEHOLDER.as_bytes())
    {
        at += found;
        binary[at..at + PLACEHOLDER.len()].copy_from_slice(HOSTILE);
        replaced += 1;
    }
    assert!(replaced >= 3, "in the symbols, and twice in the debug information: {replaced}");
    // The file's own name is as bad.
    let executable = place.path().join("\x1b[31mred\n::error::exe<\u{202e}script>");
    fs::write(&executable, binary).expect("executable");
    fs::set_permissions(&executable, Permissions::from_mode(0o700)).expect("executable");
    let outcome = Launch::new(&executable).preloaded(out.path()).run();
    assert_eq!(outcome.ending, Ending::Exit(0), "{}", outcome.stderr_text());
    for args in VIEWS {
        let text = view(args, &[], out.path(), place.path());
        assert!(text.contains("red"), "{args:?}: the names are shown, escaped\n{text}");
    }
}

#[test]
fn no_file_is_quoted_but_regular_ones_below_the_source_directory() {
    let (out, place) = (Scratch::for_regions("quoted"), Scratch::new("quoted"));
    let outside = Scratch::new("quoted-outside");
    let sources = place.path().join("sources");
    fs::create_dir(&sources).expect("sources");
    let secret = outside.path().join("secret.c");
    fs::write(&secret, "S3CRET\n").expect("a file outside");
    fs::write(place.path().join("beside.c"), "S3CRET\n").expect("a file outside");
    fs::write(sources.join("own.c"), "quoted \x1b[31m\u{202e}</script>\n").expect("a source");
    symlink(&secret, sources.join("linked.c")).expect("link");
    symlink(outside.path(), sources.join("linked")).expect("link");
    symlink("/etc/shadow", sources.join("shadow.c")).expect("link");
    let fifo = sources.join("fifo.c");
    assert_eq!(Launch::new("mkfifo").args([&fifo]).run().ending, Ending::Exit(0));
    let below = sources.display();
    let names = [
        "/etc/shadow".to_owned(),
        secret.display().to_string(),
        format!("{below}/linked.c"),
        format!("{below}/linked/secret.c"),
        format!("{below}/shadow.c"),
        format!("{below}/../beside.c"),
        format!("{below}/linked/../../beside.c"),
        format!("{below}/fifo.c"),
        format!("/proc/self/root{}", secret.display()),
        format!("{below}/own.c"),
    ];
    let mut text = "#include <fcntl.h>\n".to_owned();
    for (number, name) in names.iter().enumerate() {
        text += &format!(
            "#line 1 \"{name}\"\nint leak{number}(void) {{ return open(\"/dev/null\", O_RDONLY); }}\n"
        );
    }
    text += "int main(void) {\n";
    for number in 0..names.len() {
        text += &format!("if (leak{number}() < 0) return 1;\n");
    }
    text += "return 0; }\n";
    let source = place.path().join("leaks.c");
    fs::write(&source, text).expect("source");
    let program = program::compiled(&source).expect("compiles");
    assert_eq!(Launch::of(&program).preloaded(out.path()).run().ending, Ending::Exit(0));
    let shadow = fs::read_to_string("/etc/shadow").unwrap_or_default();
    let below = sources.to_str().expect("a path of letters");
    // The directory by name, and as the one that the reader stands in.
    for (more, directory) in [(&["--source", below][..], Path::new("/")), (&[], &sources)] {
        for args in VIEWS {
            let text = view(args, more, out.path(), directory);
            assert!(!text.contains("S3CRET"), "{more:?} {args:?}: {text}");
            let line = shadow.lines().find(|line| line.len() > 8 && text.contains(line));
            assert_eq!(line, None, "{more:?} {args:?}");
            if args == &["--all"] {
                assert!(text.contains("quoted "), "{more:?}: what may be read is read: {text}");
                assert!(text.contains("/etc/shadow:1"), "{more:?}: the name is shown: {text}");
            }
        }
    }
}
