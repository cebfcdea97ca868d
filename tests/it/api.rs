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
