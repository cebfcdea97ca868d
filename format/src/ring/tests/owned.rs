//! A thread's own chunk.

use super::super::ChunkState;
use super::super::word;
use super::*;
use crate::record::{DT_LIMIT, MAX_WORDS, STACK_LIMIT, TEXT_BYTES, TIME_SHIFT};
use crate::ring::writer::TEXT_LIMIT;
use proptest::prelude::*;
use std::vec;

#[test]
fn a_record_comes_back_as_it_was_pushed() {
    let memory = Memory::of(1);
    let mut cursor = Cursor::default();
    let event = Event {
        op: Op::Accept,
        stack: STACK_LIMIT - 1,
        words: &[1, u64::MAX, 0],
        texts: &[b"10.0.0.1:80", b""],
    };
    memory.push(&mut cursor, 1000, 42, event).unwrap();
    let expected = Seen {
        tsc: 1000,
        tid: 42,
        op: Op::Accept,
        stack: STACK_LIMIT - 1,
        words: vec![1, u64::MAX, 0],
        texts: vec![b"10.0.0.1:80".to_vec(), vec![]],
    };
    assert_eq!(memory.read(), (vec![expected], Anomalies::default()));
}

#[test]
fn strings_of_every_length_come_back_up_to_the_limit() {
    let long: Vec<u8> = (0..TEXT_LIMIT + 9).map(|i| i as u8 | 1).collect();
    for length in (0..=2 * TEXT_BYTES + 1).chain(TEXT_LIMIT - 1..long.len()) {
        let memory = Memory::of(1);
        let mut cursor = Cursor::default();
        let text = &long[..length];
        let event = Event { op: Op::Open, stack: 0, words: &[9], texts: &[text, b"second"] };
        memory.push(&mut cursor, 1, 1, event).unwrap();
        memory.push(&mut cursor, 1, 1, plain(&[1, 2])).unwrap();
        let (seen, anomalies) = memory.read();
        assert_eq!(anomalies, Anomalies::default());
        assert_eq!(seen.len(), 2, "length {length}");
        assert_eq!(seen[0].texts, [&text[..length.min(TEXT_LIMIT)], b"second"]);
    }
}

#[test]
fn a_record_with_a_name_is_the_same_whichever_way_it_was_pushed() {
    let long = [b'n'; TEXT_BYTES + 1];
    let words = [7, 9];
    let (one, other) = (Memory::of(1), Memory::of(1));
    let (mut quick, mut slow) = (Cursor::default(), Cursor::default());
    const NAMES: [&[u8]; 4] = [b"", b"named", b"eight888", &[b'n'; TEXT_BYTES]];
    let event = |name: usize| Event {
        op: Op::AnnotateState,
        stack: 3,
        words: &words,
        texts: &NAMES[name..=name],
    };
    // No chunk yet, then no room for a string that long: both are left to `push`.
    assert!(!quick.push_named(one.ring().words, 1, &event(1)));
    for cursor_of in [(&one, &mut quick), (&other, &mut slow)] {
        cursor_of.0.push(cursor_of.1, 1, 1, event(1)).unwrap();
    }
    let texts = [&long[..]];
    let too_long = Event { texts: &texts, ..event(1) };
    assert!(!quick.push_named(one.ring().words, 2, &too_long));
    let mut pushed = 1;
    for name in (0..NAMES.len()).cycle() {
        let at = 1 + pushed * 64;
        if !quick.push_named(one.ring().words, at, &event(name)) {
            break;
        }
        other.push(&mut slow, at, 1, event(name)).unwrap();
        pushed += 1;
    }
    // Up to the end of the chunk.
    assert!(pushed > 100, "{pushed}");
    assert_eq!(one.read(), other.read());
    assert_eq!(one.read().0.len() as u64, pushed);
}

#[test]
fn a_string_is_cut_at_the_reader_s_buffer() {
    let memory = Memory::of(1);
    let event = Event { op: Op::Open, stack: 0, words: &[], texts: &[&[b'y'; 300]] };
    memory.push(&mut Cursor::default(), 1, 1, event).unwrap();
    let (_, words) = memory.copy(0).unwrap();
    let record = Records::new(&words).next().unwrap();
    assert_eq!(record.text(0, &mut [0; 10]), Some(&[b'y'; 10][..]));
    assert_eq!(record.text(1, &mut [0; 10]), None);
    assert_eq!((record.word(0), record.word(1)), (0, 0));
}

#[test]
fn words_beyond_the_longest_record_are_cut() {
    let memory = Memory::of(1);
    let event = Event { op: Op::Open, stack: 0, words: &[3; 40], texts: &[b"t"] };
    memory.push(&mut Cursor::default(), 1, 1, event).unwrap();
    let (seen, anomalies) = memory.read();
    assert_eq!(seen[0].words, [3; MAX_WORDS - 1]);
    assert_eq!(seen[0].texts, [b"t"]);
    assert_eq!(anomalies, Anomalies::default());
}

#[test]
fn time_goes_on_where_the_difference_no_longer_fits() {
    let memory = Memory::of(1);
    let mut cursor = Cursor::default();
    let unit = 1 << TIME_SHIFT;
    let limit = DT_LIMIT * unit;
    let moments = [unit, limit, limit + unit, 3 * limit, u64::MAX / unit * unit, limit];
    for at in moments {
        memory.push(&mut cursor, at, 1, plain(&[at, 0])).unwrap();
    }
    let (seen, anomalies) = memory.read();
    assert_eq!(anomalies, Anomalies::default());
    let times: Vec<u64> = seen.iter().map(|s| s.tsc).collect();
    // The last one is before its base: another processor's counter. It is not before what came before.
    let expected = [moments[0], moments[1], moments[2], moments[3], moments[4], moments[4]];
    assert_eq!(times, expected);
}

#[test]
fn a_full_chunk_is_followed_by_another() {
    let memory = Memory::of(4);
    let mut cursor = Cursor::default();
    let pushed: Vec<u64> = (0..1500).collect();
    for at in &pushed {
        memory.push(&mut cursor, at << TIME_SHIFT, 7, plain(&[*at, 1])).unwrap();
    }
    let (seen, anomalies) = memory.read();
    assert_eq!(anomalies, Anomalies::default());
    let read: Vec<u64> = seen.iter().map(|s| s.words[0]).collect();
    assert_eq!(read, pushed);
    assert!(seen.iter().all(|s| s.tid == 7 && s.tsc == s.words[0] << TIME_SHIFT));
    let states: Vec<ChunkState> = (0..3).map(|index| memory.state(index).state).collect();
    assert_eq!(states, [ChunkState::Full, ChunkState::Full, ChunkState::Owned]);
}

#[test]
fn a_parked_chunk_goes_on_under_the_next_thread() {
    let memory = Memory::of(2);
    let mut first = Cursor::default();
    memory.push(&mut first, 640, 1, plain(&[1, 0])).unwrap();
    first.park(&memory.ring());
    assert!(!first.is_placed());
    let parked = memory.state(0);
    assert_eq!(parked.state, ChunkState::Parked);

    let mut second = Cursor::default();
    // More than a difference later: the context has the whole time.
    let later = (DT_LIMIT + 5) << TIME_SHIFT << 3;
    memory.push(&mut second, later, 2, plain(&[2, 0])).unwrap();
    memory.push(&mut second, later + 64, 2, plain(&[3, 0])).unwrap();
    assert_eq!(memory.state(0), StateWord { state: ChunkState::Owned, ..parked });
    let (seen, anomalies) = memory.read();
    assert_eq!(anomalies, Anomalies::default());
    let read: Vec<_> = seen.iter().map(|s| (s.tid, s.tsc, s.words[0])).collect();
    assert_eq!(read, [(1, 640, 1), (2, later, 2), (2, later + 64, 3)]);
    // Acquisitions of both threads.
    assert_eq!(memory.word(0, word::CONTENTS), 3);
}

#[test]
fn a_parked_chunk_without_room_is_sealed() {
    let memory = Memory::of(2);
    let mut first = Cursor::default();
    for _ in 0..13 {
        memory.push(&mut first, 1, 1, bulky()).unwrap();
    }
    first.park(&memory.ring());
    memory.push(&mut Cursor::default(), 1, 2, bulky()).unwrap();
    assert_eq!(memory.state(0).state, ChunkState::Full);
    assert_eq!(memory.state(1).state, ChunkState::Owned);
    assert_eq!(memory.read().0.len(), 14);
}

#[test]
fn contents_count_acquisitions_and_releases() {
    let memory = Memory::of(1);
    let mut cursor = Cursor::default();
    let ops = [Op::Open, Op::Dup, Op::Fork, Op::Close, Op::Wait, Op::Bind, Op::Phase];
    for op in ops {
        memory.push(&mut cursor, 1, 1, Event { op, stack: 0, words: &[], texts: &[] }).unwrap();
    }
    assert_eq!(memory.word(0, word::CONTENTS), 2 << 32 | 3);
}

#[test]
fn an_event_longer_than_a_chunk_is_refused_whole() {
    let memory = Memory::of(2);
    let mut cursor = Cursor::default();
    memory.push(&mut cursor, 1, 1, plain(&[1, 1])).unwrap();
    let text: &[u8] = &[b'z'; 1024];
    let event = Event { op: Op::Exec, stack: 0, words: &[], texts: &[text; 14] };
    assert_eq!(memory.push(&mut cursor, 1, 1, event), Err(NoRoom));
    let fits = Event { texts: &[text; 13], ..event };
    memory.push(&mut cursor, 1, 1, fits).unwrap();
    memory.push(&mut cursor, 1, 1, plain(&[2, 1])).unwrap();
    let (seen, anomalies) = memory.read();
    assert_eq!(anomalies, Anomalies::default());
    let texts: Vec<usize> = seen.iter().map(|s| s.texts.len()).collect();
    assert_eq!(texts, [0, 13, 0]);
}

/// A random event: how far its time is from the one before, and what it says.
fn events() -> impl Strategy<Value = (u64, usize, u32, Vec<u64>, Vec<Vec<u8>>)> {
    // At least a unit of time, so that the times that are read say the order.
    let ahead =
        prop_oneof![4 => (1 << TIME_SHIFT)..5000u64, 1 => (DT_LIMIT << TIME_SHIFT)..1 << 40];
    let op = 0..Op::ALL.len();
    let words = prop::collection::vec(any::<u64>(), 0..MAX_WORDS);
    let text = prop::collection::vec(any::<u8>(), 0..TEXT_LIMIT + 1);
    (ahead, op, 0..STACK_LIMIT, words, prop::collection::vec(text, 0..3))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_is_pushed_is_read(
        events in prop::collection::vec((events(), 0..3usize, any::<bool>()), 1..40),
    ) {
        let memory = Memory::of(30);
        let mut threads = [Cursor::default(); 3];
        let mut expected = Vec::new();
        let mut tsc = 0;
        for ((ahead, op, stack, words, texts), thread, park) in events {
            let op = Op::ALL[op];
            if matches!(op, Op::Time | Op::Context | Op::Text) {
                continue;
            }
            tsc += ahead;
            let strings: Vec<&[u8]> = texts.iter().map(|t| &t[..]).collect();
            let event = Event { op, stack, words: &words, texts: &strings };
            memory.push(&mut threads[thread], tsc, thread as u32, event).unwrap();
            if park {
                threads[thread].park(&memory.ring());
            }
            expected.push(Seen { tsc, tid: thread as u32, op, stack, words, texts });
        }
        let (mut seen, anomalies) = memory.read();
        prop_assert_eq!(anomalies, Anomalies::default());
        // Times are kept to 64 ticks after the base, which is a record's own time.
        prop_assert_eq!(seen.len(), expected.len());
        seen.sort_by_key(|s| s.tsc);
        for thread in 0..3 {
            let mut expected = expected.iter().filter(|s| s.tid == thread);
            for seen in seen.iter().filter(|s| s.tid == thread) {
                let one = expected.next().unwrap();
                prop_assert!(one.tsc - seen.tsc < 1 << TIME_SHIFT);
                prop_assert_eq!(seen, &Seen { tsc: seen.tsc, ..one.clone() });
            }
        }
    }
}
