//! Trails of events that are told by hand.

use resshim_format::op::{Kind, Op};
use resshim_format::record::{FdArgs, FdHandle};

use super::filter::Filter;
use super::*;
use crate::source::clock::ClockFacts;

fn image(region: u64, pid: u32) -> Image {
    Image {
        region,
        pid,
        image: 1,
        heap_mean: 1,
        clock: ClockFacts { is_monotonic: true, ..ClockFacts::default() },
        ..Image::default()
    }
}

fn life() -> Life {
    Life {
        started_ns: 0,
        ended_ns: None,
        ending: Ending::Unknown,
        next: None,
        ignored_sigchld: None,
    }
}

fn tell(trail: &mut Trail, at_ns: u64, image: usize, op: Op, words: &[u64]) {
    let tid = 1;
    trail.event(&Event { image, at_ns, tid, op, stack: 1, words, label: b"" });
}

fn fd(number: u32, generation: u32) -> u64 {
    FdHandle { number, generation }.pack()
}

fn args(kind: Kind) -> u64 {
    FdArgs { kind: kind as u8, ..FdArgs::default() }.pack()
}

fn whole(mut trail: Trail) -> Vec<Resource> {
    trail.finish();
    let ready = std::mem::take(&mut trail.ready).into_iter();
    ready
        .filter_map(|ready| match ready {
            Ready::Resource(resource) => Some(*resource),
            _ => None,
        })
        .collect()
}

fn ops(resource: &Resource) -> Vec<What> {
    resource.steps.iter().map(|step| step.what).collect()
}

#[test]
fn a_duplicate_is_the_same_resource_until_the_last_is_closed() {
    let (images, lives, filter) = ([image(1, 7)], [life()], Filter::default());
    let mut trail = Trail::new(&images, &lives, &filter);
    tell(&mut trail, 1, 0, Op::Open, &[fd(3, 1), args(Kind::File)]);
    tell(&mut trail, 2, 0, Op::Dup, &[fd(4, 1), args(Kind::File), fd(3, 1)]);
    tell(&mut trail, 3, 0, Op::Close, &[fd(3, 1)]);
    tell(&mut trail, 4, 0, Op::Open, &[fd(3, 2), args(Kind::File)]);
    tell(&mut trail, 5, 0, Op::Close, &[fd(4, 1)]);
    let all = whole(trail);
    assert_eq!(all.len(), 2);
    let calls = [Op::Open, Op::Dup, Op::Close, Op::Close].map(What::Op);
    assert_eq!((ops(&all[0]), all[0].over_ns), (calls.to_vec(), Some(5)));
    assert_eq!((ops(&all[1]), all[1].over_ns), (vec![What::Op(Op::Open)], None));
}

#[test]
fn a_release_that_is_told_late_is_of_the_lifetime_it_names() {
    let (images, lives, filter) = ([image(1, 7)], [life()], Filter::default());
    let mut trail = Trail::new(&images, &lives, &filter);
    tell(&mut trail, 1, 0, Op::Open, &[fd(3, 1), args(Kind::File)]);
    tell(&mut trail, 2, 0, Op::Open, &[fd(3, 2), args(Kind::File)]);
    tell(&mut trail, 3, 0, Op::Close, &[fd(3, 1)]);
    let all = whole(trail);
    let first = [What::Op(Op::Open), What::Vanished, What::Op(Op::Close)];
    assert_eq!(ops(&all[0]), first);
    assert_eq!((ops(&all[1]), all[1].over_ns), (vec![What::Op(Op::Open)], None));
}

#[test]
fn a_fork_child_holds_what_its_parent_closes() {
    let child = Image { parent_region: 1, parent_fork: 5, ..image(2, 8) };
    let images = [image(1, 7), child];
    let ended = Life { ended_ns: Some(9), ending: Ending::Exit(0), ..life() };
    let (lives, filter) = ([life(), ended], Filter { pid: Some(8), ..Filter::default() });
    let mut trail = Trail::new(&images, &lives, &filter);
    tell(&mut trail, 1, 0, Op::Open, &[fd(3, 1), args(Kind::File)]);
    tell(&mut trail, 2, 0, Op::Fork, &[8, 5]);
    tell(&mut trail, 3, 0, Op::Open, &[fd(4, 1), args(Kind::File)]);
    tell(&mut trail, 4, 0, Op::Close, &[fd(3, 1)]);
    let all = whole(trail);
    let file = all.iter().find(|r| r.kind == Kind::File.into()).expect("the file");
    let steps =
        [What::Op(Op::Open), What::Forked(1), What::Op(Op::Close), What::Ended(Ending::Exit(0))];
    assert_eq!((ops(file), file.over_ns), (steps.to_vec(), Some(9)));
    let files = all.iter().filter(|r| r.kind == Kind::File.into()).count();
    assert_eq!(files, 1, "what was opened behind the fork is none of the child's");
}

#[test]
fn of_a_long_life_the_first_and_the_last_steps_are_kept() {
    let (images, lives) = ([image(1, 7)], [life()]);
    let story = |trail: &mut Trail| {
        tell(trail, 0, 0, Op::Open, &[fd(3, 1), args(Kind::File)]);
        for at in 1..=1000 {
            tell(trail, at, 0, Op::SetCloexec, &[fd(3, 1), at & 1]);
        }
    };
    let filter = Filter { since_ns: 990, ..Filter::default() };
    let mut trail = Trail::new(&images, &lives, &filter);
    story(&mut trail);
    let all = whole(trail);
    let kept = (HEAD + TAIL) as u64;
    assert_eq!((all[0].steps.len() as u64, all[0].left_out), (kept, 1001 - kept));
    assert_eq!(all[0].steps.last().map(|step| step.at_ns), Some(1000));

    // Step by step nothing is left out that comes when it is known that it is asked for.
    let mut trail = Trail::new(&images, &lives, &filter).stream();
    story(&mut trail);
    let steps = trail.ready.iter().filter(|ready| matches!(ready, Ready::Step(..))).count() as u64;
    let left_out = trail.ready.iter().find_map(|ready| match ready {
        Ready::LeftOut(1, _, count) => Some(*count),
        _ => None,
    });
    assert_eq!(steps + left_out.unwrap_or(0), 1001);
    assert_eq!(left_out, Some(990 - kept));
}

#[test]
fn lives_that_are_over_are_handed_on_before_the_end() {
    let (images, lives, filter) = ([image(1, 7)], [life()], Filter::default());
    let mut trail = Trail::new(&images, &lives, &filter);
    let many = WAITING as u64 + 10;
    for at in 0..many {
        tell(&mut trail, at, 0, Op::Malloc, &[at + 1, 10]);
        tell(&mut trail, at, 0, Op::Free, &[at + 1]);
    }
    assert_eq!(trail.ready.len(), 10);
    assert_eq!(trail.named[0].len(), WAITING);
    assert_eq!(whole(trail).len() as u64, many);
}

#[test]
fn handles_are_read_as_they_are_printed() {
    let wanted = |text: &str| text.parse::<super::filter::Wanted>();
    assert_eq!(wanted("fd:7").map(|wanted| (wanted.class, wanted.number)), Ok(("fd".into(), 7)));
    assert_eq!(wanted("heap:0x10").map(|wanted| wanted.number), Ok(16));
    assert_eq!(wanted("my:job:3").map(|wanted| wanted.class), Ok("my:job".into()));
    assert!(wanted("7").is_err() && wanted(":7").is_err() && wanted("fd:x").is_err());
}
