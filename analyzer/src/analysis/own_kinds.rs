//! What programs name themselves, and the phase `exit`, on stories.

use resshim_format::header::End;
use resshim_format::op::{Kind, Op};

use super::hand_built::Story;
use crate::fail_on::Rules;
use crate::report::{Finding, Report, Verdict};

fn told(findings: &[Finding]) -> Vec<(&str, Verdict, u64)> {
    findings.iter().map(|f| (f.kind.as_str(), f.verdict, f.count)).collect()
}

/// Jobs of a worker, every twentieth of which is forgotten.
fn forgetful(kind: &str) -> Story {
    let mut story = Story::new();
    for job in 0..600 {
        let at = job * 100;
        story.acquire(at, 0, 10, (kind, job), "job");
        if job % 20 != 0 {
            story.release(at + 20, 0, 11, (kind, job));
        }
    }
    story.tell(60_000, 0, 1, Op::Phase, 0, &[]);
    story
}

#[test]
fn a_kind_of_the_programs_own_leaks_like_one_of_resshims() {
    for kind in ["data-source", "task"] {
        let findings = forgetful(kind).findings(false);
        assert_eq!(told(&findings), [(kind, Verdict::Probable, 30)], "{findings:?}");
        let leak = &findings[0];
        assert_eq!(leak.evidence["released_at"][0]["frames"][0]["function"], "f11");
        assert_eq!(leak.resources[0].handle, format!("{kind}:0x0"));
        assert_eq!(leak.resources[0].label, "job");
        let report = Report { findings, ..Report::default() };
        let fails = |rules: &str| {
            let rules: Rules = rules.parse().expect("rules");
            rules.first_match(&report, false).is_some()
        };
        assert!(fails(&format!("leak@{kind}")) && !fails("leak@database"));
    }
}

#[test]
fn a_kind_of_the_programs_own_has_totals_and_lifetimes() {
    forgetful("data-source").model(|model| {
        let of = model.kinds.iter().find(|of| model.kind_names.name(of.kind) == "data-source");
        let of = of.expect("in the table of kinds");
        assert_eq!((of.acquired, of.released, of.live(), of.peak), (600, 570, 30, 31));
        let lifetimes = of.lifetimes.as_ref().expect("lifetimes");
        assert!((lifetimes.p50 - 0.02).abs() < 0.001, "{lifetimes:?}");
    });
}

#[test]
fn one_word_of_two_processes_is_one_finding() {
    let mut story = Story::new();
    let other = story.image(0, 0);
    story.acquire(1, 0, 10, ("lease", 1), "");
    // Another number of the same kind there.
    story.acquire(1, other, 9, ("job", 1), "");
    story.release(2, other, 11, ("job", 1));
    story.acquire(3, other, 10, ("lease", 1), "");
    story.end(10, 0, End::Exited);
    story.end(10, other, End::Exited);
    let findings = story.findings(true);
    assert_eq!(told(&findings), [("lease", Verdict::StillOpen, 2)]);
    assert_eq!(findings[0].pids, [100, 101]);
}

/// Three files and two leases, all of which are given back: one of each before the phase `exit`.
fn tears_down() -> Story {
    let mut story = Story::new();
    let files = [1, 2, 3].map(|at| story.open(at, 0, 10, Kind::File));
    story.acquire(4, 0, 20, ("lease", 7), "seven");
    story.acquire(5, 0, 20, ("lease", 8), "eight");
    story.close(6, 0, 1, 11, files[0]);
    story.release(6, 0, 21, ("lease", 7));
    story
}

fn gives_the_rest_back(mut story: Story, image: usize) -> Story {
    story.close(20, image, 1, 12, 4);
    story.close(20, image, 1, 12, 5);
    story.release(20, image, 22, ("lease", 8));
    // What begins in the phase and ends in it was never left to it.
    let late = story.open(21, image, 13, Kind::File);
    story.close(22, image, 1, 14, late);
    story.acquire(21, image, 23, ("lease", 9), "");
    story.release(22, image, 24, ("lease", 9));
    story.end(30, image, End::Exited);
    story
}

#[test]
fn what_is_released_after_the_phase_exit_was_still_open_at_exit() {
    let story = || {
        let mut story = tears_down();
        story.phase(10, 0, "exit");
        gives_the_rest_back(story, 0)
    };
    let findings = story().findings(true);
    let expected = [("file", Verdict::StillOpen, 2), ("lease", Verdict::StillOpen, 1)];
    assert_eq!(told(&findings), expected, "{findings:?}");
    assert_eq!(findings[1].resources[0].label, "eight");
    assert_eq!(findings[0].resources[1].handle, "fd:5");
    assert_eq!(findings[0].evidence["released"], 1);
    assert_eq!(story().findings(false), []);
    story().model(|model| {
        let unjudged = super::leak::unjudged(model);
        assert_eq!((unjudged.get("file"), unjudged.get("lease")), (Some(&2), Some(&1)));
        for of in &model.kinds {
            let name = model.kind_names.name(of.kind);
            let left = unjudged.get(name).copied().unwrap_or(0);
            assert_eq!((of.live(), of.acquired - of.released), (left, left), "{name}");
            assert_eq!(of.series.live.last(), Some(&left), "{name}");
        }
    });
}

#[test]
fn other_phases_and_other_processes_leave_releases_alone() {
    let mut story = tears_down();
    story.phase(10, 0, "exiting");
    let other = story.image(0, 0);
    story.phase(10, other, "exit");
    assert_eq!(gives_the_rest_back(story, 0).findings(true), []);
}

#[test]
fn many_that_are_released_after_the_phase_exit_are_all_counted() {
    let mut story = Story::new();
    for handle in 0..1000 {
        story.acquire(handle, 0, 10, ("lease", handle), "");
    }
    story.phase(2000, 0, "exit");
    for handle in 0..1000 {
        story.release(2001, 0, 11, ("lease", handle));
    }
    story.end(3000, 0, End::Exited);
    let findings = story.findings(true);
    assert_eq!(told(&findings), [("lease", Verdict::StillOpen, 1000)]);
}
