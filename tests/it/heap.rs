//! Heap blocks: every one with a mean of 1, estimates without bias otherwise, and allocators whose C++
//! side cannot be seen are named.

use resshim_tests::artifacts;
use resshim_tests::launch::{Ending, Launch};
use resshim_tests::program;
use resshim_tests::scratch::Scratch;
use serde_json::Value;

fn report(directory: &Scratch) -> Value {
    let outcome = Launch::cli()
        .args(["report", "--format", "json", "--at-exit"])
        .args([directory.path()])
        .limit(std::time::Duration::from_secs(120))
        .run();
    assert_eq!(outcome.ending, Ending::Exit(0), "{}", outcome.stderr_text());
    serde_json::from_slice(&outcome.stdout).expect("the report is JSON")
}

#[test]
fn with_a_mean_of_one_every_block_is_counted_by_its_site() {
    let out = Scratch::for_regions("heap-blocks");
    let run = Launch::of(&program::named("heap/blocks")).preloaded(out.path());
    assert_eq!(run.env("RESSHIM_HEAP_SAMPLE", "1").run().ending, Ending::Exit(0));
    let report = report(&out);
    let leaks: Vec<&Value> = report["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .filter(|finding| finding["kind"] == "heap")
        .filter(|finding| finding["site"]["frames"][0]["function"] == "make_block")
        .collect();
    assert_eq!(leaks.len(), 1, "{report:#}");
    assert_eq!(leaks[0]["count"], 100, "{report:#}");
    assert_eq!(leaks[0]["bytes"], 10_000, "{report:#}");
}

/// More call paths than the table of sites has rows, as virtual machines have of themselves.
#[test]
fn blocks_from_everywhere_leave_sites_to_descriptors() {
    let out = Scratch::for_regions("heap-paths");
    let run = Launch::of(&program::named("heap/paths")).preloaded(out.path());
    assert_eq!(run.env("RESSHIM_HEAP_SAMPLE", "1").run().ending, Ending::Exit(0));
    let report = report(&out);
    let said = report["diagnostics"].to_string();
    assert!(said.contains("found a full table"), "this test needs more paths: {said}");
    let findings = report["findings"].as_array().expect("findings");
    let found = |kind: &str, function: &str| {
        findings.iter().any(|finding| {
            finding["kind"] == kind
                && finding["count"] == 5
                && finding["site"]["frames"][0]["function"] == function
        })
    };
    assert!(found("file", "forget_file"), "{findings:#?}");
}

#[test]
fn sampled_totals_estimate_what_is_live() {
    let out = Scratch::for_regions("heap-many");
    let run = Launch::of(&program::named("heap/many")).preloaded(out.path());
    assert_eq!(run.run().ending, Ending::Exit(0));
    let report = report(&out);
    let kinds = report["kinds"].as_array().expect("kinds");
    let heap = kinds.iter().find(|kind| kind["kind"] == "heap").expect("heap was seen");
    let live = heap["bytes"]["live"].as_f64().expect("bytes");
    // 256 MiB by a mean of 512 KiB: 512 samples, a standard error of 4.4 %; five of them.
    let expected = (256u64 << 20) as f64;
    assert!((live / expected - 1.0).abs() < 0.22, "{live} of {expected}");
    let told = heap["bytes"]["standard_error"].as_f64().expect("standard error");
    assert!((0.03..0.07).contains(&(told / expected)), "standard error {told}");
}

#[test]
fn an_allocator_with_its_own_operator_new_is_named() {
    let mut tried = 0;
    for library in ["libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libmimalloc.so.2"] {
        let Some(path) = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"]
            .into_iter()
            .map(|directory| std::path::Path::new(directory).join(library))
            .find(|path| path.exists())
        else {
            eprintln!("skipped: {library} is not installed");
            continue;
        };
        tried += 1;
        let out = Scratch::for_regions("heap-new");
        let preload = format!("{}:{}", artifacts::shim().display(), path.display());
        let run = Launch::of(&program::named("heap/new"))
            .preloaded(out.path())
            .env("LD_PRELOAD", preload);
        assert_eq!(run.run().ending, Ending::Exit(0), "{library}");
        let report = report(&out);
        let unseen = report["processes"][0]["not_visible"].to_string();
        assert!(unseen.contains(&format!("operator new is {library}'s own")), "{unseen}");
    }
    if tried == 0 {
        eprintln!("skipped: no allocator library is installed");
    }
    let out = Scratch::for_regions("heap-new");
    let run = Launch::of(&program::named("heap/new")).preloaded(out.path());
    assert_eq!(run.run().ending, Ending::Exit(0));
    let seen = report(&out);
    assert_eq!(seen["processes"][0]["not_visible"].as_array().map(Vec::len), Some(0), "{seen:#}");
}

#[test]
fn frees_that_do_not_fit_are_found_where_every_block_is_recorded() {
    for (name, rule) in [("heap/double_free", "double-free"), ("heap/inside_free", "invalid-free")]
    {
        let out = Scratch::for_regions("heap-frees");
        let run = Launch::of(&program::named(name)).preloaded(out.path());
        let outcome = run.env("RESSHIM_PROFILE", "full").run();
        assert_eq!(outcome.ending, Ending::Signal(6), "{}", outcome.stderr_text());
        let report = report(&out);
        let findings = report["findings"].as_array().expect("findings");
        let found: Vec<&Value> = findings.iter().filter(|found| found["rule"] == rule).collect();
        assert_eq!(found.len(), 1, "{name}: {report:#}");
        assert_eq!(found[0]["count"], 1, "{name}: {report:#}");
        assert_eq!(found[0]["site"]["frames"][0]["function"], "give_back", "{report:#}");
    }
}
