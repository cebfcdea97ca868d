//! The C API does what its header says under the shim, and nothing without it, in executables of any
//! kind and in a shared object.

use resshim_tests::launch::{Ending, Launch, Mode};
use resshim_tests::program;
use resshim_tests::scratch::Scratch;

const PROGRAMS: [&str; 4] = ["api/pie", "api/non_pie", "api/cxx", "api/in_library"];

#[test]
fn without_the_shim_the_api_does_nothing() {
    for name in PROGRAMS {
        let outcome = Launch::of(&program::named(name)).run();
        assert_eq!(outcome.ending, Ending::Exit(0), "{name}: {}", outcome.stderr_text());
        assert_eq!(outcome.stdout_text(), "sessions seen: 0\nend 1\n", "{name}");
    }
}

#[test]
fn under_the_shim_each_names_what_is_live_and_stops_when_told() {
    let expected = "session 1 alice\nsession 3 carol\nsessions seen: 2\ndatabase 7 db://host:5432/orders of db://b/c\nend 2\n";
    for name in PROGRAMS {
        let out = Scratch::for_regions("api");
        let outcome = Launch::of(&program::named(name)).run_as(Mode::Preloaded, out.path());
        assert_eq!(outcome.ending, Ending::Exit(0), "{name}: {}", outcome.stderr_text());
        assert_eq!(outcome.stdout_text(), expected, "{name}");
    }
}

/// Labels as a program may give them, and what is stored.
const LABELS: [(&str, &str); 12] = [
    ("https://u:p@h/p?q=1", "https://h/p"),
    ("https://h:8080/p?q=1 second", "https://h:8080/p second"),
    ("amqp://u:secret@a/v,amqp://u:secret@b/v", "amqp://a/v,amqp://b/v"),
    ("http://proxy/http://u:secret@h/", "http://proxy/http://h/"),
    ("http://h/?next=http://u:secret@h/", "http://h/"),
    ("postgres://u:secret/secret@h/db", "postgres://h/db"),
    ("postgres://u:secret?secret@h/db?x=secret", "postgres://h/db"),
    ("redis://:secret@[::1]:6379/0", "redis://[::1]:6379/0"),
    ("http://[::1]/x", "http://[::1]/x"),
    ("mongodb://u:secret@a:1,b:2/db", "mongodb://a:1,b:2/db"),
    ("'http://u:secret@h/#secret' quoted", "'http://h/' quoted"),
    ("http://u:cut-off-before-the-at-sec", "http://u"),
];

#[test]
fn labels_are_stored_without_the_credentials_of_urls() {
    let out = Scratch::for_regions("api-labels");
    let run = Launch::of(&program::named("api/labels")).args(LABELS.map(|(given, _)| given));
    let outcome = run.run_as(Mode::Preloaded, out.path());
    assert_eq!(outcome.ending, Ending::Exit(0), "{}", outcome.stderr_text());
    let stored = LABELS.map(|(_, stored)| format!("{stored}\n")).concat();
    assert_eq!(outcome.stdout_text(), stored);
    // Neither in a table nor in a record, whatever a reader shows of them.
    let mut regions = 0;
    for entry in std::fs::read_dir(out.path()).expect("directory").flatten() {
        let bytes = std::fs::read(entry.path()).expect("file");
        let holds = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
        assert!(!holds(b"secret"), "{}", entry.path().display());
        regions += usize::from(holds(b"amqp://a/v"));
    }
    assert_eq!(regions, 1);
}
