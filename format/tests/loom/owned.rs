//! A thread's own chunk: reader, drainer, flight recorder, hand-over, and deaths.

use crate::memory::{Memory, Seen, check, explore, shared};
use loom::sync::Arc;
use loom::thread;
use resshim_format::ring::ChunkState;
use resshim_format::ring::drain::{Drainer, claim, release};
use resshim_format::ring::writer::Cursor;
use resshim_format::sync::{AtomicU64, Ordering, die_after, is_dead, steps_left};

/// The drainer before, which does not live.
const DEAD: Drainer = Drainer { pid: 1, start: 1 };

/// Steps of four pushes into two new chunks, and of parking.
fn writer(memory: &Memory) -> Vec<u64> {
    let mut cursor = Cursor::default();
    let committed = (1..=4).filter(|id| memory.push(&mut cursor, *id)).collect();
    cursor.park(&memory.ring());
    committed
}

/// More than the steps of `work` on one thread.
fn steps(work: impl Fn(&Memory) + Sync + Send + 'static) -> usize {
    let most = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let inner = most.clone();
    explore(0, move || {
        let memory = Memory::of(2);
        die_after(usize::MAX);
        work(&memory);
        inner.fetch_max(usize::MAX - steps_left(), std::sync::atomic::Ordering::Relaxed);
    });
    most.load(std::sync::atomic::Ordering::Relaxed) + 1
}

#[test]
fn a_reader_sees_whole_records_only() {
    explore(2, || {
        let memory = shared(Memory::of(2));
        let other = memory.clone();
        let writing = thread::spawn(move || writer(&other));
        thread::yield_now();
        let mut seen = Seen::new();
        memory.read(0, &mut seen);
        memory.read_all(&mut seen);
        // What is committed is committed in the order of the pushes.
        let ids: Vec<u64> = seen.values().copied().collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
        let committed = writing.join().unwrap();
        memory.read_all(&mut seen);
        check(&seen, &committed, &[1, 2, 3, 4]);
        assert_eq!((committed.len(), memory.overwritten()), (4, 0));
    });
}

#[test]
fn a_writer_killed_at_any_step_leaves_all_that_it_committed() {
    for step in 0..steps(|memory| drop(writer(memory))) {
        explore(1, move || {
            let memory = shared(Memory::of(2));
            let other = memory.clone();
            let writing = thread::spawn(move || {
                die_after(step);
                writer(&other)
            });
            thread::yield_now();
            let mut seen = Seen::new();
            memory.drain(0, &mut seen);
            let committed = writing.join().unwrap();
            memory.drain(0, &mut seen);
            memory.read_all(&mut seen);
            check(&seen, &committed, &[1, 2, 3, 4]);
        });
    }
}

#[test]
fn the_flight_recorder_races_the_drainer_and_nothing_is_lost_uncounted() {
    explore(1, || {
        let memory = shared(Memory::of(2));
        let mut cursor = Cursor::default();
        let mut committed: Vec<u64> = (1..=6).filter(|id| memory.push(&mut cursor, *id)).collect();
        let other = memory.clone();
        let writing = thread::spawn(move || {
            (7..=10).filter(|id| other.push(&mut cursor, *id)).collect::<Vec<u64>>()
        });
        thread::yield_now();
        let mut seen = Seen::new();
        memory.drain(0, &mut seen);
        memory.drain(1, &mut seen);
        committed.extend(writing.join().unwrap());
        assert_eq!(committed.len(), 10);
        memory.read_all(&mut seen);
        let pushed: Vec<u64> = (1..=10).collect();
        check(&seen, &[], &pushed);
        // Three records a chunk: what is missing are whole chunks, each of them counted.
        let missing = pushed.iter().filter(|id| seen.values().all(|seen| seen != *id)).count();
        assert!(missing as u64 <= 3 * memory.overwritten(), "{seen:?}");
        assert_eq!(missing % 3, 0);
    });
}

/// The smallest ring there is, and a reader that is a thread of its own: one that has yielded does not see
/// again what it saw before, and so none of the old words that `begin` and `copy` order against new ones.
#[test]
fn a_chunk_that_is_begun_anew_is_read_as_it_was_or_as_it_is() {
    explore(1, || {
        let memory = shared(Memory::of(1));
        let mut cursor = Cursor::default();
        assert!((1..=3).all(|id| memory.push(&mut cursor, id)));
        let other = memory.clone();
        let writing = thread::spawn(move || assert!(other.push(&mut cursor, 4)));
        let third = memory.clone();
        let reading = thread::spawn(move || {
            let mut seen = Seen::new();
            third.read(0, &mut seen);
            seen
        });
        writing.join().unwrap();
        let mut seen = reading.join().unwrap();
        memory.read(0, &mut seen);
        check(&seen, &[4], &[1, 2, 3, 4]);
    });
}

#[test]
fn a_drainer_killed_at_any_step_is_followed_by_another() {
    fn fill(memory: &Memory, cursor: &mut Cursor) {
        assert!((1..=4).all(|id| memory.push(cursor, id)));
    }
    fn drains(memory: &Memory) -> Seen {
        let mut seen = Seen::new();
        memory.drain(0, &mut seen);
        seen
    }
    let most = steps(|memory| {
        fill(memory, &mut Cursor::default());
        die_after(usize::MAX);
        drains(memory);
    });
    for step in 0..most {
        explore(1, move || {
            let memory = shared(Memory::of(2));
            let mut cursor = Cursor::default();
            fill(&memory, &mut cursor);
            let other = memory.clone();
            let first = thread::spawn(move || {
                die_after(step);
                let seen = drains(&other);
                (seen, is_dead())
            });
            // Meanwhile the writer goes on into the chunk that the drainer may just free.
            let committed: Vec<u64> = (5..=7).filter(|id| memory.push(&mut cursor, *id)).collect();
            let (mut seen, _) = first.join().unwrap();
            for (place, id) in drains(&memory) {
                assert!(seen.insert(place, id).is_none_or(|known| known == id));
            }
            memory.read_all(&mut seen);
            let wanted: Vec<u64> = (1..=4).chain(committed).collect();
            let lost = if memory.overwritten() > 0 { &[][..] } else { &wanted[..] };
            check(&seen, lost, &[1, 2, 3, 4, 5, 6, 7]);
        });
    }
}

#[test]
fn one_of_two_drainers_takes_over_from_a_dead_one() {
    explore(0, || {
        let word = Arc::new(AtomicU64::new(DEAD.pack()));
        let (first, second) = (Drainer { pid: 2, start: 2 }, Drainer { pid: 3, start: 3 });
        let other = word.clone();
        let racing = thread::spawn(move || claim(&other, second, |drainer| drainer != DEAD));
        let here = claim(&word, first, |drainer| drainer != DEAD);
        let there = racing.join().unwrap();
        assert!(here != there, "one, and only one");
        let holder = if here { first } else { second };
        assert_eq!(Drainer::unpack(word.load(Ordering::Relaxed)), Some(holder));
        release(&word, if here { second } else { first });
        assert_eq!(Drainer::unpack(word.load(Ordering::Relaxed)), Some(holder));
        release(&word, holder);
        assert_eq!(Drainer::unpack(word.load(Ordering::Relaxed)), None);
    });
}

#[test]
fn a_parked_chunk_is_handed_over_while_it_is_drained() {
    explore(3, || {
        let memory = shared(Memory::of(1));
        let mut cursor = Cursor::default();
        assert!(memory.push(&mut cursor, 1));
        cursor.park(&memory.ring());
        let other = memory.clone();
        let writing = thread::spawn(move || {
            let mut cursor = Cursor::default();
            let pushed = other.push(&mut cursor, 0x20);
            cursor.park(&other.ring());
            pushed
        });
        thread::yield_now();
        let mut seen = Seen::new();
        memory.drain(0, &mut seen);
        assert!(writing.join().unwrap());
        memory.drain(0, &mut seen);
        memory.drain(0, &mut seen);
        memory.read_all(&mut seen);
        // Where the drainer made the chunk full first, the thread overwrote it: drained before that.
        check(&seen, &[1, 0x20], &[1, 0x20]);
        assert_eq!(memory.state(0).state, ChunkState::Free);
    });
}

#[test]
fn a_thread_killed_while_it_takes_over_a_parked_chunk_hurts_nothing_in_it() {
    for step in 0..40 {
        explore(2, move || {
            let memory = shared(Memory::frozen(2));
            let mut cursor = Cursor::default();
            assert!(memory.push(&mut cursor, 1));
            cursor.park(&memory.ring());
            let other = memory.clone();
            let dying = thread::spawn(move || {
                die_after(step);
                let mut cursor = Cursor::default();
                let pushed = other.push(&mut cursor, 0x20);
                cursor.park(&other.ring());
                pushed && !is_dead()
            });
            let mut cursor = Cursor::default();
            assert!(memory.push(&mut cursor, 0x30));
            let mut wanted = vec![1, 0x30];
            wanted.extend(dying.join().unwrap().then_some(0x20));
            let mut seen = Seen::new();
            memory.read_all(&mut seen);
            check(&seen, &wanted, &[1, 0x20, 0x30]);
        });
    }
}

#[test]
fn one_of_two_threads_gets_the_one_free_chunk() {
    explore(0, || {
        let memory = shared(Memory::frozen(1));
        let other = memory.clone();
        let racing = thread::spawn(move || other.push(&mut Cursor::default(), 0x10));
        let here = memory.push(&mut Cursor::default(), 0x20);
        let there = racing.join().unwrap();
        assert!(here != there, "one, and only one");
        let mut seen = Seen::new();
        memory.read_all(&mut seen);
        let winner = if here { 0x20 } else { 0x10 };
        check(&seen, &[winner], &[winner]);
    });
}

#[test]
fn two_threads_overwrite_two_different_chunks() {
    explore(2, || {
        let memory = shared(Memory::of(2));
        let mut cursor = Cursor::default();
        assert!((1..=6).all(|id| memory.push(&mut cursor, id)));
        cursor.park(&memory.ring());
        let other = memory.clone();
        let racing = thread::spawn(move || other.push(&mut Cursor::default(), 0x70));
        let here = memory.push(&mut Cursor::default(), 0x80);
        let there = racing.join().unwrap();
        assert!(here && there);
        assert_eq!(memory.overwritten(), 2);
        let mut seen = Seen::new();
        memory.read_all(&mut seen);
        check(&seen, &[0x70, 0x80], &[0x70, 0x80]);
    });
}
