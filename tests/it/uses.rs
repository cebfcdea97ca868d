//! What the hooks of uses leave: stamps and ends in the rows, descriptors that pass in messages, uses of
//! numbers at which nothing is open.

use resshim_analyzer::source::rows::Fd;
use resshim_format::header::FACT_USES;
use resshim_format::op::{Kind, Op};
use resshim_format::record::{FD_CLOEXEC, FD_EOF, FdArgs, FdHandle};
use resshim_tests::launch::{Ending, Launch};
use resshim_tests::program;
use resshim_tests::scratch::Scratch;
use resshim_tests::trace::Traces;

fn traced(name: &str, profile: &str) -> (Traces, String) {
    let program = program::named(name);
    let directory = Scratch::new(&program.name);
    let out = Scratch::for_regions(&program.name);
    let launch = Launch::of(&program).directory(directory.path()).env("RESSHIM_PROFILE", profile);
    let outcome = launch.preloaded(out.path()).run();
    assert_eq!(outcome.ending, Ending::Exit(0), "{}", outcome.stderr_text());
    (Traces::of(out.path()), outcome.stdout_text())
}

fn named(traces: &Traces, label: &str) -> Fd {
    let rows = traces.images[0].region.fds();
    let found = rows.filter(|row| row.label == label).min_by_key(|row| row.number);
    found.unwrap_or_else(|| panic!("no row of {label}"))
}

#[test]
fn uses_are_stamped_in_their_order_and_only_those_of_the_process_itself() {
    let (traces, _) = traced("uses/stamps", "default");
    let header = &traces.images[0].region.header;
    assert_ne!(header.facts & FACT_USES, 0);
    let last = |label: &str| named(&traces, label).last_use;
    let first = last("first");
    assert!(first > named(&traces, "never").acquired, "the clock has moved on since");
    for label in ["by number", "from", "to", "polled", "selected"] {
        assert!(last(label) >= first, "{label}");
    }
    assert!(last("second") > first);
    assert!(last("second") <= traces.images[0].region.use_clock);
    for label in ["never", "in child", "in vfork", "failed"] {
        assert_eq!(last(label), 0, "{label}");
    }
    let high = traces.images[0].region.fds().find(|row| row.number >= 900).expect("a high number");
    assert!(high.last_use >= first);
    assert_eq!(last("low"), 0, "the duplicate was used");
    assert!(header.use_clock_gap > 0);
}

#[test]
fn uses_are_not_stamped_in_the_light_profile_and_the_trace_says_so() {
    let (traces, _) = traced("uses/stamps", "light");
    assert_eq!(traces.images[0].region.header.facts & FACT_USES, 0);
    assert!(traces.images[0].region.fds().all(|row| row.last_use == 0));
}

#[test]
fn ends_of_sockets_and_pipes_are_seen_and_what_only_looks_so_is_not() {
    let (traces, said) = traced("uses/ends", "default");
    let fds: Vec<u32> = said.split_whitespace().map(|n| n.parse().expect("a number")).collect();
    let ended: Vec<bool> = fds
        .iter()
        .map(|fd| {
            let row = traces.images[0].region.fds().find(|row| row.number == *fd);
            row.expect("a row").args.bits & FD_EOF != 0
        })
        .collect();
    assert_eq!(ended, [true, true, true, true, false, false, false, false]);
}

#[test]
fn descriptors_in_messages_are_acquired_by_who_receives_them_and_told_by_who_sends() {
    let (traces, _) = traced("uses/passes", "default");
    let events = || traces.images[0].events.iter();
    let came: Vec<(Kind, u8, &str)> = events()
        .filter(|event| event.op == Op::Received)
        .map(|event| {
            let args = FdArgs::unpack(event.words[1]);
            let kind = Kind::from_number(args.kind as u32).expect("a kind");
            let label = event.label.as_deref().unwrap_or("");
            (kind, args.bits, label.rsplit('/').next().unwrap_or(""))
        })
        .collect();
    assert_eq!(came.len(), 3, "{came:?}");
    assert_eq!(came[0], (Kind::File, FD_CLOEXEC, "file"));
    assert_eq!(came[1], came[0]);
    assert_eq!((came[2].0, came[2].1), (Kind::Pipe, 0));
    let file = named(&traces, "file");
    let went = events().filter(|event| event.op == Op::Sent);
    let went: Vec<FdHandle> = went.map(|event| FdHandle::unpack(event.words[0])).collect();
    assert_eq!(went.len(), 4);
    for sent in [went[0], went[1], went[3]] {
        assert_eq!(sent, FdHandle { number: file.number, generation: file.generation });
    }
}
