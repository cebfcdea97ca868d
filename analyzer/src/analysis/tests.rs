//! The rules on stories: what each must find, and what healthy programs do that none may.

use resshim_format::header::End;
use resshim_format::op::{Kind, Op};
use resshim_format::record::{FdArgs, FdHandle};
use resshim_format::table::RowState;

use super::Analysis;
use super::hand_built::{Random, Story};
use crate::report::{Finding, Severity, Verdict};

/// Session starts and ends in time's order, `(start, end)` in milliseconds; `None` never ends.
fn play(sessions: Vec<(u64, Option<u64>)>, until: u64) -> Story {
    let mut steps: Vec<(u64, bool, usize)> = Vec::new();
    for (index, (start, end)) in sessions.iter().enumerate() {
        steps.push((*start, true, index));
        steps.extend(end.filter(|end| *end < until).map(|end| (end, false, index)));
    }
    steps.sort_unstable();
    let mut story = Story::new();
    let mut numbers = vec![0; sessions.len()];
    for (at, is_start, index) in steps.into_iter().filter(|step| step.0 < until) {
        match is_start {
            true => numbers[index] = story.open(at, 0, 10, Kind::Tcp),
            false => story.close(at, 0, 1, 11, numbers[index]),
        }
    }
    story.tell(until, 0, 1, Op::Phase, 0, &[]);
    story
}

fn above_possible(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.verdict > Verdict::Possible).collect()
}

#[test]
fn a_handler_that_forgets_one_in_twenty_is_a_probable_leak() {
    let mut random = Random(42);
    for _ in 0..10 {
        let sessions = (0..2000).map(|i| {
            let lifetime = random.lognormal(20.0, 1.0) as u64 + 1;
            let end = (random.unit() > 0.05).then_some(i * 30 + lifetime);
            (i * 30, end)
        });
        let findings = play(sessions.collect(), 60_000).findings(false);
        assert_eq!(findings.len(), 1, "{findings:?}");
        let leak = &findings[0];
        assert_eq!((leak.rule.as_str(), leak.kind.as_str()), ("leak", "tcp"));
        assert_eq!((leak.verdict, leak.severity), (Verdict::Probable, Severity::Error));
        assert!((60..150).contains(&leak.count), "{}", leak.count);
        assert!(leak.title.contains("f10") && leak.advice.contains("f11"), "{leak:?}");
        assert_eq!(leak.evidence["released_at"][0]["frames"][0]["function"], "f11");
        assert!(leak.evidence["growth_per_hour"].as_f64().unwrap() > 1000.0);
        assert_eq!(leak.pids, [100]);
    }
}

#[test]
fn a_leak_through_an_interpreter_without_frames_is_possible_at_most() {
    let sessions = || (0..2000).map(|i| (i * 30, (i % 20 != 0).then_some(i * 30 + 25))).collect();
    let known = play(sessions(), 60_000).findings(false);
    assert_eq!(known[0].verdict, Verdict::Probable);
    let blind = play(sessions(), 60_000).blind_findings();
    assert_eq!((blind.len(), blind[0].count), (1, known[0].count));
    assert_eq!((blind[0].verdict, blind[0].severity), (Verdict::Possible, Severity::Warning));
    assert!(blind[0].confidence <= 0.5);
}

#[test]
fn clean_lognormal_sessions_are_no_leak() {
    let mut random = Random(7);
    let mut seen = 0;
    for run in 0..40 {
        let median = if run % 2 == 0 { 3_000.0 } else { 100.0 };
        let sessions =
            (0..3000).map(|i| (i * 20, Some(i * 20 + 1 + random.lognormal(median, 1.5) as u64)));
        let findings = play(sessions.collect(), 60_000).findings(false);
        assert!(above_possible(&findings).is_empty(), "run {run}: {findings:?}");
        seen += findings.len();
    }
    assert!(seen <= 4, "{seen} of 40 clean services are called possible leaks");
}

#[test]
fn a_clean_morning_ramp_is_no_leak() {
    let mut random = Random(9);
    let mut seen = 0;
    for run in 0..40 {
        // More and more sessions begin, as the square root of time has it.
        let sessions = (0..3000_u64).map(|i| {
            let start = ((i as f64 / 3000.0).sqrt() * 60_000.0) as u64;
            (start, Some(start + 1 + random.lognormal(2_000.0, 1.0) as u64))
        });
        let findings = play(sessions.collect(), 60_000).findings(false);
        assert!(above_possible(&findings).is_empty(), "run {run}: {findings:?}");
        seen += findings.len();
    }
    assert!(seen <= 4, "{seen} of 40 ramps are called possible leaks");
}

#[test]
fn a_cache_that_fills_and_stays_is_no_leak() {
    let sessions = (0..500_u64).map(|i| (i * i / 100, None)).filter(|(start, _)| *start < 2000);
    assert!(play(sessions.collect(), 60_000).findings(false).is_empty());
    // One that evicts its oldest: level from the hundredth on.
    let sessions = (0..3000_u64).map(|i| (i * 20, Some((i + 100) * 20)));
    assert!(play(sessions.collect(), 60_000).findings(false).is_empty());
}

#[test]
fn what_only_grows_is_possible_and_no_more() {
    let sessions = (0..200_u64).map(|i| (i * 300, None));
    let findings = play(sessions.collect(), 60_000).findings(false);
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].verdict, findings[0].count), (Verdict::Possible, 200));
    let short = (0..200_u64).map(|i| (i * 3, None));
    assert!(play(short.collect(), 600).findings(false).is_empty(), "a short program tells nothing");
}

#[test]
fn what_is_open_at_exit_is_a_leak_only_where_that_was_asked() {
    let story = || {
        let mut story = Story::new();
        story.inherited(9);
        story.inherited(1);
        let number = story.open(1, 0, 10, Kind::File);
        story.open(2, 0, 12, Kind::File);
        story.close(3, 0, 1, 11, number);
        story
    };
    let mut over = story();
    over.end(10, 0, End::Exited);
    assert!(over.findings(false).is_empty());
    let mut over = story();
    over.end(10, 0, End::Exited);
    let findings = over.findings(true);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!((findings[0].verdict, findings[0].count), (Verdict::StillOpen, 1));
    assert!(findings[0].title.contains("f12"));
    assert!(story().findings(true).is_empty(), "it still runs");
    let mut over = story();
    over.end(10, 0, End::Exited);
    let unjudged = over.model(super::leak::unjudged);
    assert_eq!(unjudged.get("file"), Some(&1));
}

#[test]
fn descriptors_that_a_fork_child_inherited_are_its_parents() {
    for closes in [false, true] {
        let mut story = Story::new();
        let numbers: Vec<u32> = (0..100).map(|i| story.open(i, 0, 10, Kind::Tcp)).collect();
        story.tell(150, 0, 1, Op::Fork, 30, &[101, 1]);
        let child = story.image(151, 1);
        story.tell(151, child, 1, Op::Phase, 0, &[]);
        if closes {
            // Known by number alone: this image acquired none of them.
            numbers.iter().for_each(|n| story.tell(152, child, 1, Op::Close, 12, &[*n as u64]));
        }
        story.end(160, child, End::Exited);
        numbers.iter().for_each(|number| story.close(200, 0, 1, 11, *number));
        story.tell(201, 0, 1, Op::Wait, 31, &[101, 0]);
        story.end(300, 0, End::Exited);
        let totals = story.model(|model| {
            let tcp = model.kinds.iter().find(|kind| kind.kind == Kind::Tcp.into()).unwrap();
            let left = {
                let options = super::Options { at_exit: true, ..Default::default() };
                super::leak::Leak.find(
                    model,
                    &options,
                    &mut super::hand_built::Functions::default(),
                )
            };
            (tcp.acquired, tcp.released, tcp.live(), left.len(), model.closes.len())
        });
        assert_eq!(totals, (100, 100, 0, 0, 0));
    }
}

#[test]
fn what_a_daemon_leaves_in_its_parent_is_open_in_the_child_that_lives_on() {
    let left = |child_end: Option<u64>| {
        let mut story = Story::new();
        story.open(0, 0, 10, Kind::Tcp);
        story.open(1, 0, 10, Kind::Tcp);
        story.tell(3, 0, 1, Op::Mmap, 10, &[1 << 32, 4096]);
        story.tell(5, 0, 1, Op::Fork, 30, &[101, 1]);
        let child = story.image(6, 1);
        story.tell(6, child, 1, Op::Phase, 0, &[]);
        story.end(10, 0, End::Exited);
        if let Some(end) = child_end {
            story.end(end, child, End::Exited);
        }
        story.findings(true).iter().map(|finding| finding.count).sum::<u64>()
    };
    assert_eq!((left(None), left(Some(60_000))), (0, 0));
    assert_eq!(left(Some(9)), 3, "nobody has them any more");
    assert_eq!(left(Some(12)), 3, "a child that was ending anyway");
}

#[test]
fn what_is_left_at_exit_is_an_error_only_where_it_is_much() {
    let left = |count: u64, size: Option<u64>| {
        let mut story = Story::new();
        for i in 0..count {
            match size {
                Some(bytes) => story.tell(i, 0, 1, Op::Mmap, 10, &[(i + 1) << 32, bytes]),
                None => _ = story.open(i, 0, 10, Kind::File),
            }
        }
        story.end(1000, 0, End::Exited);
        story.findings(true)[0].severity
    };
    assert_eq!(left(1, None), Severity::Warning);
    assert_eq!(left(20, None), Severity::Error);
    assert_eq!(left(100, Some(16)), Severity::Warning);
    assert_eq!(left(1, Some(1 << 20)), Severity::Error);
}

#[test]
fn threads_that_nobody_joined_while_more_were_made_are_a_leak() {
    let mut story = Story::new();
    for i in 0..10 {
        story.thread(i * 100, 20, Some(i * 100 + 10), RowState::Ended);
    }
    story.end(2000, 0, End::Exited);
    let findings = story.findings(false);
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].kind.as_str(), findings[0].count), ("thread", 10));
    assert_eq!(findings[0].verdict, Verdict::Probable);
}

#[test]
fn a_pool_that_is_joined_last_and_detached_threads_are_no_leak() {
    let mut story = Story::new();
    for _ in 0..8 {
        story.thread(1, 20, Some(500), RowState::Ended);
        story.thread(2, 21, Some(10), RowState::Detached);
    }
    story.tell(510, 0, 1, Op::Phase, 0, &[]);
    assert!(story.findings(false).is_empty());
}

#[test]
fn a_second_close_by_another_site_is_told_at_the_culprit() {
    let mut story = Story::new();
    let number = story.open(1, 0, 10, Kind::Tcp);
    story.close(2, 0, 1, 11, number);
    story.close_again(3, 0, 1, 12, number, 1);
    let findings = story.findings(false);
    assert_eq!(findings.len(), 1);
    let twice = &findings[0];
    assert_eq!((twice.rule.as_str(), twice.verdict), ("double-close", Verdict::Probable));
    assert!(twice.title.starts_with("f12") && twice.title.contains("f11"), "{}", twice.title);
    assert_eq!(twice.evidence["acquired_at"][0]["frames"][0]["function"], "f10");
    assert_eq!(twice.resources[0].handle, format!("fd:{number}"));
}

#[test]
fn healthy_programs_close_wrongly_without_a_finding() {
    // The same loop of one thread, numbers that were never open, a number of another lifetime.
    let mut story = Story::new();
    let number = story.open(1, 0, 10, Kind::File);
    story.close(2, 0, 1, 11, number);
    story.close_again(3, 0, 1, 11, number, 1);
    story.close_again(4, 0, 1, 12, 77, 1);
    assert!(story.findings(false).is_empty());
    // A daemon sweeps from 3 on; some of the numbers had been open once.
    let mut story = Story::new();
    let numbers: Vec<u32> = (0..4).map(|_| story.open(1, 0, 10, Kind::File)).collect();
    numbers.iter().for_each(|number| story.close(2, 0, 1, 11, *number));
    for count in [1, 2, 4, 8, 16, 32, 1024] {
        story.close_again(3, 0, 1, 12, 2 + count, count);
    }
    assert!(story.findings(false).is_empty());
}

#[test]
fn a_use_of_what_was_closed_names_who_closed_it() {
    let mut story = Story::new();
    story.thread(0, 20, None, RowState::Live);
    let number = story.open(1, 0, 10, Kind::Tcp);
    story.close(2, 0, 1, 11, number);
    story.fails_at(3, 0, (2, 12), Op::Recv, number, 1);
    story.fails_at(9000, 0, (2, 12), Op::Recv, number, 8);
    story.tell(9000, 0, 1, Op::Phase, 0, &[]);
    let findings = story.findings(false);
    assert_eq!(findings.len(), 1, "{findings:?}");
    let used = &findings[0];
    assert_eq!((used.rule.as_str(), used.kind.as_str()), ("use-after-close", "tcp"));
    assert_eq!((used.verdict, used.severity), (Verdict::Probable, Severity::Error));
    assert_eq!(used.count, 8);
    assert!(used.title.starts_with("f12 uses, 8 times") && used.title.contains("f11"));
    assert_eq!(used.evidence["closed_at"][0]["frames"][0]["function"], "f11");
    assert_eq!(used.evidence["acquired_at"][0]["frames"][0]["function"], "f10");
}

#[test]
fn healthy_programs_use_what_is_not_open_without_a_finding() {
    // A number that was never open, one of another lifetime, a standard stream at the end.
    let mut story = Story::new();
    story.fails_at(1, 0, (1, 12), Op::Write, 77, 1);
    for number in [0, 1, 2] {
        story.fails_at(2, 0, (1, 13 + number), Op::Write, number, 1);
    }
    // Who tries one number after the other has none in mind.
    let numbers: Vec<u32> = (0..12).map(|_| story.open(3, 0, 10, Kind::File)).collect();
    numbers.iter().for_each(|number| story.close(4, 0, 1, 11, *number));
    for (count, number) in numbers.iter().enumerate() {
        story.fails_at(5, 0, (1, 20), Op::Poll, *number, count as u32 + 1);
    }
    let findings = story.findings(false);
    assert!(findings.is_empty(), "{findings:?}");
}

#[test]
fn a_close_that_lets_threads_end_is_for_information() {
    let mut story = Story::new();
    story.thread(0, 20, None, RowState::Live);
    let number = story.open(1, 0, 10, Kind::Pipe);
    story.close(5000, 0, 1, 11, number);
    story.fails_at(5001, 0, (2, 12), Op::Read, number, 1);
    story.end(5100, 0, End::Exited);
    let findings = story.findings(false);
    assert_eq!((findings[0].verdict, findings[0].severity), (Verdict::Possible, Severity::Info));
}

#[test]
fn a_shell_that_closes_pipe_ends_twice_is_for_information() {
    let mut story = Story::new();
    let number = story.open(1, 0, 10, Kind::Pipe);
    story.tell(2, 0, 1, Op::Fork, 30, &[200, 1]);
    story.close(3, 0, 1, 11, number);
    story.close_again(4, 0, 1, 12, number, 1);
    let findings = story.findings(false);
    assert_eq!((findings[0].verdict, findings[0].severity), (Verdict::Possible, Severity::Info));
    // With a second thread it is dangerous whatever was forked.
    let mut story = Story::new();
    story.thread(0, 20, None, RowState::Live);
    let number = story.open(1, 0, 10, Kind::Pipe);
    story.tell(2, 0, 1, Op::Fork, 30, &[200, 1]);
    story.close(3, 0, 1, 11, number);
    story.close_again(4, 0, 2, 11, number, 1);
    let findings = story.findings(false);
    assert_eq!((findings[0].verdict, findings[0].severity), (Verdict::Probable, Severity::Error));
}

#[test]
fn closing_under_a_stream_is_proven_by_the_close_of_the_stream() {
    for is_proven in [false, true] {
        let mut story = Story::new();
        let number = story.open(1, 0, 10, Kind::File);
        story.fdopen(1, 0, number, 0x5000);
        story.close(2, 0, 1, 11, number);
        if is_proven {
            story.tell(3, 0, 1, Op::Fclose, 12, &[number as u64, 0x5000]);
        }
        let findings = story.findings(false);
        assert_eq!(findings.len(), 1);
        let verdict = if is_proven { Verdict::Probable } else { Verdict::Possible };
        assert_eq!((findings[0].rule.as_str(), findings[0].verdict), ("bad-close", verdict));
    }
}

#[test]
fn frees_are_judged_only_where_every_block_is_recorded() {
    let story = |mean: u64| {
        let mut story = Story::new();
        story.change(0, |image| image.heap_mean = mean);
        story.tell(1, 0, 1, Op::Malloc, 40, &[0x1000, 64]);
        story.tell(1, 0, 1, Op::Malloc, 41, &[0x2000, 64]);
        story.tell(2, 0, 1, Op::Free, 42, &[0x1000]);
        story.tell(3, 0, 1, Op::Free, 43, &[0x1000]);
        story.tell(4, 0, 1, Op::Free, 44, &[0x2010]);
        story.tell(5, 0, 1, Op::Free, 44, &[0x9000]);
        story
    };
    let findings = story(1).findings(false);
    let found: Vec<(&str, &str)> =
        findings.iter().map(|f| (f.rule.as_str(), f.site_id.as_str())).collect();
    assert!(found.contains(&("double-free", "f43")) && found.contains(&("invalid-free", "f44")));
    assert_eq!(findings.len(), 2);
    assert!(story(512 << 10).findings(false).is_empty());
}

#[test]
fn threads_that_never_end_are_a_possible_leak_and_a_pool_is_none() {
    for state in [RowState::Live, RowState::Detached] {
        let mut story = Story::new();
        for thread in 0..8 {
            story.thread(thread, 11, None, state);
        }
        for thread in 0..60 {
            story.thread(1000 + thread * 1000, 10, None, state);
        }
        story.tell(61_000, 0, 1, Op::Phase, 0, &[]);
        let findings = story.findings(false);
        assert_eq!(findings.len(), 1, "{findings:?}");
        let leak = &findings[0];
        assert_eq!((leak.rule.as_str(), leak.kind.as_str()), ("leak", "thread"));
        assert_eq!((leak.verdict, leak.count), (Verdict::Possible, 60));
        assert!(leak.title.contains("f10 still run"), "{}", leak.title);
        assert!(leak.advice.contains("waits for something"), "{}", leak.advice);
    }
}

#[test]
fn one_defect_in_many_workers_is_one_finding() {
    let mut story = Story::new();
    for _ in 0..3 {
        let image = story.image(0, 1);
        story.open(5, image, 12, Kind::File);
        story.end(10, image, End::Exited);
    }
    let findings = story.findings(true);
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].count, findings[0].pids.as_slice()), (3, &[101, 102, 103][..]));
    assert_eq!(findings[0].evidence["acquired"], 3);
}

#[test]
fn a_close_written_after_its_number_was_given_away_ends_no_second_lifetime() {
    let mut story = Story::new();
    let number = story.open(0, 0, 10, Kind::Tcp);
    // Thread 2 is in close: the kernel has freed the number, thread 1 gets it, thread 2 writes its record.
    let args = FdArgs { kind: Kind::Tcp as u8, ..FdArgs::default() }.pack();
    let second = FdHandle { number, generation: 2 }.pack();
    story.tell(5, 0, 1, Op::Accept, 12, &[second, args]);
    story.tell(6, 0, 2, Op::Close, 11, &[FdHandle { number, generation: 1 }.pack()]);
    story.tell(9, 0, 1, Op::Close, 11, &[second]);
    let totals = story.model(|model| {
        let tcp = model.kinds.iter().find(|kind| kind.kind == Kind::Tcp.into());
        tcp.map(|tcp| (tcp.acquired, tcp.released))
    });
    assert_eq!(totals, Some((2, 2)));
}

#[test]
fn what_processes_left_one_after_the_other_was_never_live_at_one_time() {
    let mut story = Story::new();
    for i in 1..=10 {
        let image = story.image(i * 10, 1);
        for _ in 0..3 {
            story.open(i * 10 + 1, image, 10, Kind::File);
        }
        story.end(i * 10 + 5, image, End::Exited);
    }
    story.open(500, 0, 10, Kind::File);
    let totals = story.model(|model| {
        let of = &model.kinds[0];
        assert!(of.series.live.iter().all(|live| *live <= of.peak), "{:?}", of.series);
        (of.acquired, of.released, of.live(), of.peak)
    });
    assert_eq!(totals, (31, 0, 31, 3));
}

#[test]
fn what_a_program_builds_up_while_it_starts_is_no_probable_leak() {
    let sessions = (0..400).map(|i| (i, (i % 2 == 0).then_some(i + 3)));
    let findings = play(sessions.collect(), 500).findings(false);
    assert!(above_possible(&findings).is_empty(), "{findings:?}");
}

#[test]
fn idle_time_at_the_end_hides_no_leak() {
    let mut random = Random(5);
    let sessions = (0..1000).map(|i| {
        let lifetime = random.lognormal(20.0, 1.0) as u64 + 1;
        (i * 4, (random.unit() > 0.1).then_some(i * 4 + lifetime))
    });
    let findings = play(sessions.collect(), 10_000).findings(false);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].verdict, Verdict::Probable);
}

#[test]
fn a_site_that_has_levelled_off_while_others_work_is_no_leak() {
    let mut story = Story::new();
    for i in 0..200 {
        // A table that is filled in the first two seconds, beside short uses of the same function …
        let kept = story.open(i * 10, 0, 10, Kind::File);
        if i % 2 == 0 {
            story.close(i * 10 + 3, 0, 1, 11, kept);
        }
    }
    for i in 0..5000 {
        // … and requests that go on.
        let number = story.open(2000 + i * 10, 0, 20, Kind::Tcp);
        story.close(2000 + i * 10 + 5, 0, 1, 21, number);
    }
    let findings = story.findings(false);
    assert!(above_possible(&findings).is_empty(), "{findings:?}");
}

/// Requests of one line on two paths, one every 30 ms: the sound path releases after 20 ms, of the other each is
/// open for `kept` or for ever.
fn two_paths(other: u64, kept: Option<u64>, line: u32) -> Story {
    let mut steps: Vec<(u64, bool, usize)> = Vec::new();
    for i in 0..2000_u64 {
        let end = if i % other == other - 1 { kept } else { Some(20) };
        steps.push((i * 30, true, i as usize));
        steps.extend(end.map(|kept| (i * 30 + kept, false, i as usize)).filter(|s| s.0 < 60_000));
    }
    steps.sort_unstable();
    let mut story = Story::new();
    let mut numbers = vec![0; 2000];
    for (at, is_start, index) in steps {
        let is_other = index as u64 % other == other - 1;
        match is_start {
            true => {
                let stack = if is_other { line } else { 10 };
                numbers[index] = story.open(at, 0, stack, Kind::Tcp);
            }
            false => story.close(at, 0, 1, 11, numbers[index]),
        }
    }
    story.tell(60_000, 0, 1, Op::Phase, 0, &[]);
    story
}

#[test]
fn a_path_that_never_releases_what_its_sibling_does_is_a_probable_leak() {
    // Too few for growth to say anything: ten in a minute.
    let findings = two_paths(200, None, 1010).findings(false);
    assert_eq!(findings.len(), 1, "{findings:?}");
    let leak = &findings[0];
    assert_eq!((leak.verdict, leak.severity, leak.count), (Verdict::Probable, Severity::Error, 10));
    assert_eq!(leak.site_id, "f1010");
    assert_eq!(leak.evidence["siblings_released"], 1990);
    assert_eq!(leak.evidence["released_at"][0]["frames"][0]["function"], "f11");
    // Another line of the program is no sibling: it may keep what it opens.
    assert!(two_paths(200, None, 1012).findings(false).is_empty());
    let many = two_paths(20, None, 1012).findings(false);
    assert_eq!((many.len(), many[0].verdict), (1, Verdict::Possible));
    let many = two_paths(20, None, 1010).findings(false);
    assert_eq!((many.len(), many[0].verdict, many[0].count), (1, Verdict::Probable, 100));
}

#[test]
fn a_path_whose_like_takes_as_long_is_no_leak() {
    // Long sessions beside short requests of the same line: they end, too.
    let findings = two_paths(20, Some(6_000), 1010).findings(false);
    assert!(above_possible(&findings).is_empty(), "{findings:?}");
    // Ten that a program opens as it starts, through the same line as its requests.
    let mut story = two_paths(20, Some(20), 1010);
    for i in 0..10 {
        story.open(i, 0, 2010, Kind::Tcp);
    }
    let findings = story.findings(false);
    assert!(above_possible(&findings).is_empty(), "{findings:?}");
}

#[test]
fn what_a_batch_has_more_and_more_of_until_it_ends_is_a_probable_leak() {
    let batch = |count: u64, until: u64, end: End, released: bool| {
        let sessions = (0..count).map(|i| (20 + i * (until - 30) / count, None)).collect();
        let mut story = play(sessions, until);
        if released {
            (0..count as u32).for_each(|i| story.close(until, 0, 1, 11, 3 + i));
        }
        story.end(until + 10, 0, end);
        story.findings(false)
    };
    let findings = batch(60, 900, End::Exited, false);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!((findings[0].verdict, findings[0].severity), (Verdict::Probable, Severity::Error));
    assert_eq!(findings[0].evidence["grew_until_exit"], true);
    assert!(batch(60, 900, End::Exited, true).is_empty(), "it closes all of them in the end");
    assert!(batch(10, 900, End::Exited, false).is_empty(), "a handful is a habit");
    assert!(batch(60, 900, End::Running, false).is_empty(), "it may close them yet");
    // What it opens at its start and needs to its end.
    let start = |count: u64| {
        let mut story = play((0..count).map(|i| (i, None)).collect(), 2_000);
        for i in 0..500 {
            let number = story.open(2000 + i * 10, 0, 20, Kind::File);
            story.close(2005 + i * 10, 0, 1, 21, number);
        }
        story.end(8_000, 0, End::Exited);
        story.findings(false)
    };
    assert!(above_possible(&start(100)).is_empty());
}

#[test]
fn zombies_are_judged_by_whether_sigchld_is_ignored() {
    let verdict = |ignored: Option<(bool, u64)>, count: u64, end: End| {
        let mut story = Story::new();
        (0..count).for_each(|i| story.child(i * 100, 20, i * 100 + 10));
        story.tell(10_000, 0, 1, Op::Phase, 0, &[]);
        if end != End::Running {
            story.end(10_000, 0, end);
        }
        story.change(0, |image| {
            image.ignored_sigchld = ignored.map(|(ignored, at)| (ignored, at * 1_000_000));
        });
        let findings = story.findings(false);
        assert!(findings.iter().all(|finding| finding.kind == "process"), "{findings:?}");
        findings.first().map(|finding| (finding.verdict, finding.count))
    };
    let reaps = Some((false, 5_000));
    assert_eq!(verdict(reaps, 10, End::Exited), Some((Verdict::Probable, 10)));
    assert_eq!(verdict(reaps, 10, End::Running), Some((Verdict::Possible, 10)));
    assert_eq!(verdict(reaps, 20, End::Running), Some((Verdict::Probable, 20)));
    assert_eq!(verdict(None, 20, End::Exited), Some((Verdict::Possible, 20)), "nobody looked");
    assert_eq!(verdict(Some((false, 5)), 20, End::Exited), Some((Verdict::Possible, 20)), "before");
    assert_eq!(verdict(Some((true, 5_000)), 20, End::Exited), None, "the kernel reaps");
}

/// Sessions, and then a shutdown that takes 50 ms and closes all that is open.
fn shut_down(sessions: impl Iterator<Item = (u64, Option<u64>)>, until: u64) -> Vec<Finding> {
    let sessions = sessions.enumerate().map(|(i, (start, end))| {
        let in_the_end = until + 400 + i as u64 % 50;
        (start, Some(end.filter(|end| *end < until).unwrap_or(in_the_end)))
    });
    let mut story = play(sessions.collect(), until + 500);
    story.end(until + 500, 0, End::Exited);
    story.findings(false)
}

#[test]
fn what_only_the_shutdown_releases_was_forgotten_while_it_worked() {
    let mut random = Random(11);
    let forgets = (0..2000).map(|i| {
        let lifetime = random.lognormal(20.0, 1.0) as u64 + 1;
        (i * 30, (random.unit() > 0.05).then_some(i * 30 + lifetime))
    });
    let findings = shut_down(forgets, 60_000);
    assert_eq!(findings.len(), 1, "{findings:?}");
    let leak = &findings[0];
    assert_eq!((leak.verdict, leak.severity), (Verdict::Probable, Severity::Error));
    assert!((60..150).contains(&leak.count), "{}", leak.count);
    assert!(leak.title.contains("released only as the process ended"), "{}", leak.title);
    assert!(leak.evidence["released_only_at_the_end"].as_u64() >= Some(leak.count));
}

#[test]
fn sessions_that_a_shutdown_ends_are_no_leak() {
    let mut random = Random(13);
    for median in [100.0, 3_000.0] {
        for _ in 0..10 {
            let sessions = (0..3000)
                .map(|i| (i * 20, Some(i * 20 + 1 + random.lognormal(median, 1.5) as u64)));
            let findings = shut_down(sessions, 60_000);
            assert!(above_possible(&findings).is_empty(), "{findings:?}");
        }
    }
    // A pool that is filled in the first second, beside short uses.
    let pool = (0..20).map(|i| (i * 40 + 5, None));
    let sessions = (0..2000).map(|i| (i * 30, Some(i * 30 + 20))).chain(pool);
    let findings = shut_down(sessions, 60_000);
    assert!(above_possible(&findings).is_empty(), "{findings:?}");
}

/// What the rules of a project find; `text` is what its file says.
fn by_rules(story: Story, text: &str) -> Vec<Finding> {
    let rules = crate::rules::Rules::parse(text).unwrap();
    story.findings_by(super::Options { at_exit: false, rules })
}

#[test]
fn more_than_a_limit_of_the_project_is_a_finding() {
    // 40 at a time, all of them released.
    let sessions = || (0..2000_u64).map(|i| (i * 30, Some(i * 30 + 1_200))).collect();
    let story = || play(sessions(), 70_000);
    let limit = |max: u64, site: &str| {
        by_rules(story(), &format!("[[rules.limit]]\nkind = \"tcp\"\n{site}max = {max}"))
    };
    assert!(limit(50, "").is_empty());
    let found = limit(20, "");
    assert_eq!(found.len(), 1, "{found:?}");
    let one = &found[0];
    assert_eq!(
        (one.rule.as_str(), one.kind.as_str(), one.verdict),
        ("threshold", "tcp", Verdict::Definite)
    );
    assert!((38..=41).contains(&one.count), "{}", one.count);
    assert!(one.title.contains("20 are allowed") && one.title.contains("f10"), "{}", one.title);
    assert!(limit(20, "site = \"f77\"\n").is_empty(), "another function");
    // Of one function only what is certain counts: of these no peak is stored, and none is live.
    assert!(limit(20, "site = \"f10\"\n").is_empty());
    let left = play((0..30).map(|i| (i * 10, None)).collect(), 1_000);
    let found = by_rules(left, "[[rules.limit]]\nkind = \"tcp\"\nsite = \"f10\"\nmax = 20");
    assert_eq!((found.len(), found[0].count), (1, 30));
}

#[test]
fn growth_beyond_what_the_project_allows_is_a_finding() {
    let story = || play((0..200_u64).map(|i| (i * 300, None)).collect(), 60_000);
    let grown = |allowed: u64| {
        let text = format!("[[rules.limit]]\nkind = \"tcp\"\ngrowth_per_hour = {allowed}");
        let found = by_rules(story(), &text);
        found.iter().filter(|finding| finding.rule == "threshold").count()
    };
    assert_eq!((grown(1_000), grown(20_000)), (1, 0), "it is 12 000 an hour");
}

#[test]
fn what_is_held_for_longer_than_expected_is_overdue() {
    let story = || {
        let held = |i| if i == 3 { 5_000 } else { 50 };
        let sessions = (0..10).map(|i| (i * 100, Some(i * 100 + held(i)))).collect();
        let mut story = play(sessions, 6_000);
        story.open(200, 0, 12, Kind::Tcp);
        story
    };
    let expects =
        |text: &str| by_rules(story(), &format!("[[rules.expect]]\nkind = \"tcp\"\n{text}"));
    assert!(expects("seconds = 10").is_empty());
    let found = expects("seconds = 1");
    let of = |finding: &Finding| (finding.site_id.clone(), finding.count, finding.severity);
    let mut all: Vec<_> = found.iter().map(of).collect();
    all.sort();
    assert_eq!(all, [("f10".into(), 1, Severity::Warning), ("f12".into(), 1, Severity::Error)]);
    assert!(found.iter().all(|finding| finding.rule == "overdue"));
    let own = expects("seconds = 1\nsite = \"f12\"");
    assert_eq!((own.len(), own[0].resources.len()), (1, 1));
    assert!(own[0].title.contains("held for longer than 1.0 s"), "{}", own[0].title);
    // The program itself says it.
    let mut said = story();
    said.tell(1, 0, 1, Op::Expect, 0, &[Kind::Tcp as u64, 4.0_f64.to_bits()]);
    assert_eq!(said.findings(false).len(), 2);
    let mut said = story();
    said.tell(1, 0, 1, Op::Expect, 0, &[Kind::File as u64, 4.0_f64.to_bits()]);
    said.tell(1, 0, 1, Op::Expect, 0, &[Kind::Tcp as u64, f64::NAN.to_bits()]);
    assert!(said.findings(false).is_empty());
}
