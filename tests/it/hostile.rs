//! Names that a program chose to harm whoever reads about it: shown as escapes in every view.

use resshim_tests::launch::{Ending, Launch};
use resshim_tests::program;
use resshim_tests::scratch::Scratch;

#[test]
fn names_of_a_hostile_program_harm_no_view() {
    let (out, place) = (Scratch::for_regions("hostile"), Scratch::new("hostile"));
    let run = Launch::of(&program::named("hostile/names")).directory(place.path());
    let outcome = run.preloaded(out.path()).run();
    assert_eq!((outcome.ending, outcome.stderr_text().as_str()), (Ending::Exit(0), ""));
    for args in
        [&["--format", "table"][..], &["--all"], &["--format", "markdown"], &["--format", "json"]]
    {
        let report =
            Launch::cli().args(["report", "--at-exit"]).args(args).args([out.path()]).run();
        assert_eq!(report.ending, Ending::Exit(0), "{args:?}: {}", report.stderr_text());
        let text =
            String::from_utf8(report.stdout).unwrap_or_else(|_| panic!("{args:?}: no UTF-8"));
        for line in text.lines() {
            assert!(!line.trim_start().starts_with("::"), "{args:?}: {line}");
            let harmful = |c: char| {
                c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            };
            assert!(!line.contains(harmful), "{args:?}: {line:?}");
        }
        if args.contains(&"markdown") {
            // Inside a code span nothing is markup; outside it nothing of the names may be.
            let outside = text.lines().flat_map(|line| line.split('`').step_by(2));
            for part in outside {
                assert!(!part.contains("<script>") && !part.contains("](javascript:"), "{part}");
            }
        }
        assert!(text.contains("red"), "{args:?}: the names are shown, escaped\n{text}");
    }
}
