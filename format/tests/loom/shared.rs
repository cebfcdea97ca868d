//! A chunk that many threads write: reader, drainer, hand-over of the place, and deaths.

use crate::memory::{Memory, Seen, check, explore, shared};
use loom::thread;
use resshim_format::ring::ChunkState;
use resshim_format::ring::writer::Cursor;
use resshim_format::sync::{die_after, is_dead};

/// A string that takes one more slot: with its record, the whole chunk.
const TEXT: &[u8] = b"text";

#[test]
fn two_writers_share_a_chunk_under_a_reader() {
    explore(1, || {
        let memory = shared(Memory::frozen(2));
        assert_eq!(memory.push_shared(1, b""), None);
        let other = memory.clone();
        let writing = thread::spawn(move || other.push_shared(2, b""));
        let third = memory.clone();
        let reading = thread::spawn(move || {
            let mut seen = Seen::new();
            third.read(0, &mut seen);
            seen
        });
        assert_eq!(memory.push_shared(3, b""), None);
        assert_eq!(writing.join().unwrap(), None);
        let mut seen = reading.join().unwrap();
        memory.read_all(&mut seen);
        check(&seen, &[1, 2, 3], &[1, 2, 3]);
        assert_eq!(memory.state(0).state, ChunkState::Full);
    });
}

#[test]
fn an_event_of_two_slots_is_seen_with_its_string_or_not_at_all() {
    explore(3, || {
        let memory = shared(Memory::frozen(1));
        let other = memory.clone();
        let writing = thread::spawn(move || other.push_shared(1, TEXT));
        thread::yield_now();
        let mut seen = Seen::new();
        memory.drain(0, &mut seen);
        memory.read(0, &mut seen);
        assert_eq!(writing.join().unwrap(), None);
        memory.read(0, &mut seen);
        check(&seen, &[1], &[1]);
    });
}

#[test]
fn two_threads_that_both_begin_a_shared_chunk_leave_one() {
    explore(2, || {
        let memory = shared(Memory::frozen(2));
        let other = memory.clone();
        let racing = thread::spawn(move || other.push_shared(1, b""));
        let here = memory.push_shared(2, b"");
        assert_eq!((here, racing.join().unwrap()), (None, None));
        let mut seen = Seen::new();
        memory.read_all(&mut seen);
        check(&seen, &[1, 2], &[1, 2]);
        // Both are in one chunk, and the other one can be had.
        let mut states = [memory.state(0).state, memory.state(1).state];
        states.sort_by_key(|state| *state as u64);
        assert_eq!(states, [ChunkState::Free, ChunkState::Full]);
    });
}

#[test]
fn a_late_reservation_meets_a_chunk_that_was_begun_anew() {
    explore(2, || {
        let memory = shared(Memory::frozen(1));
        // Full at once; `place` still names it.
        assert_eq!(memory.push_shared(1, TEXT), None);
        let other = memory.clone();
        let late = thread::spawn(move || other.push_shared(2, b""));
        let third = memory.clone();
        let owner = thread::spawn(move || {
            let mut cursor = Cursor::default();
            (3..=5).filter(|id| third.push(&mut cursor, *id)).collect::<Vec<u64>>()
        });
        thread::yield_now();
        let mut seen = Seen::new();
        memory.drain(0, &mut seen);
        let late = late.join().unwrap();
        let mut wanted = owner.join().unwrap();
        memory.read_all(&mut seen);
        wanted.push(1);
        wanted.extend(late.is_none().then_some(2));
        check(&seen, &wanted, &[1, 2, 3, 4, 5]);
    });
}

#[test]
fn late_and_early_reservations_of_a_chunk_that_is_shared_again() {
    explore(2, || {
        let memory = shared(Memory::frozen(2));
        assert_eq!(memory.push_shared(1, TEXT), None);
        let other = memory.clone();
        let first = thread::spawn(move || other.push_shared(2, b""));
        let third = memory.clone();
        let second = thread::spawn(move || third.push_shared(3, b""));
        thread::yield_now();
        let mut seen = Seen::new();
        memory.drain(0, &mut seen);
        let mut wanted = vec![1];
        wanted.extend(first.join().unwrap().is_none().then_some(2));
        wanted.extend(second.join().unwrap().is_none().then_some(3));
        memory.read_all(&mut seen);
        check(&seen, &wanted, &[1, 2, 3]);
    });
}

/// Two writers complete a chunk, a drainer frees it: what is freed was stored.
#[test]
fn a_shared_chunk_is_freed_when_all_of_it_is_stored() {
    explore(2, || {
        let memory = shared(Memory::frozen(2));
        let (second, third) = (memory.clone(), memory.clone());
        let writing = thread::spawn(move || second.push_shared(2, b""));
        let draining = thread::spawn(move || {
            let mut seen = Seen::new();
            third.drain(0, &mut seen);
            seen
        });
        assert_eq!(memory.push_shared(1, b""), None);
        assert_eq!(writing.join().unwrap(), None);
        let mut seen = draining.join().unwrap();
        memory.read_all(&mut seen);
        check(&seen, &[1, 2], &[1, 2]);
    });
}

/// Whoever takes it writes behind all who wrote it: no plain store of theirs races with one of his.
#[test]
fn a_shared_chunk_is_overwritten_when_all_of_it_is_written() {
    explore(2, || {
        let memory = shared(Memory::of(1));
        let (second, third) = (memory.clone(), memory.clone());
        let writing = thread::spawn(move || second.push_shared(2, b""));
        let taking = thread::spawn(move || third.push(&mut Cursor::default(), 0x30));
        let first = memory.push_shared(1, b"");
        let second = writing.join().unwrap();
        let third = taking.join().unwrap();
        assert!(third || first.is_none() || second.is_none(), "somebody gets it");
        let mut seen = Seen::new();
        memory.read_all(&mut seen);
        check(&seen, if third && memory.overwritten() > 0 { &[0x30] } else { &[] }, &[1, 2, 0x30]);
    });
}

#[test]
fn a_chunk_that_is_given_back_is_taken_by_another() {
    explore(2, || {
        let memory = shared(Memory::frozen(2));
        let (second, third) = (memory.clone(), memory.clone());
        let racing = thread::spawn(move || second.push_shared(2, b""));
        let taking = thread::spawn(move || third.push(&mut Cursor::default(), 0x30));
        let first = memory.push_shared(1, b"");
        let wanted = [
            first.is_none().then_some(1),
            racing.join().unwrap().is_none().then_some(2),
            taking.join().unwrap().then_some(0x30),
        ];
        let wanted: Vec<u64> = wanted.into_iter().flatten().collect();
        let mut seen = Seen::new();
        memory.read_all(&mut seen);
        check(&seen, &wanted, &[1, 2, 0x30]);
    });
}

#[test]
fn a_shared_chunk_that_is_begun_anew_shows_nothing_of_what_it_was() {
    explore(1, || {
        let memory = shared(Memory::of(1));
        assert_eq!(memory.push_shared(1, TEXT), None);
        let other = memory.clone();
        let writing = thread::spawn(move || other.push_shared(2, b""));
        let third = memory.clone();
        let reading = thread::spawn(move || {
            let mut seen = Seen::new();
            // What is seen of the chunk before is as with one thread's chunk.
            if third.state(0).fill == 2 {
                third.read(0, &mut seen);
            }
            seen
        });
        assert_eq!(writing.join().unwrap(), None);
        let mut seen = reading.join().unwrap();
        memory.read(0, &mut seen);
        check(&seen, &[2], &[1, 2]);
    });
}

#[test]
fn a_shared_writer_killed_at_any_step_hurts_no_other() {
    for step in 0..70 {
        explore(1, move || {
            let memory = shared(Memory::frozen(3));
            assert_eq!(memory.push_shared(1, b""), None);
            let other = memory.clone();
            let dying = thread::spawn(move || {
                die_after(step);
                other.push_shared(2, TEXT).is_none() && !is_dead()
            });
            thread::yield_now();
            // Into what is left, or into a chunk of its own.
            assert_eq!(memory.push_shared(3, b""), None);
            let mut wanted = vec![1, 3];
            wanted.extend(dying.join().unwrap().then_some(2));
            let mut seen = Seen::new();
            memory.read_all(&mut seen);
            check(&seen, &wanted, &[1, 2, 3]);
        });
    }
}
