//! The chunks as a whole: growth, draining, flight recorder, freezing, no room.

use super::super::ChunkState;
use super::super::drain::free;
use super::*;

/// Fills chunk after chunk with bulky events until `chunks` are full.
fn fill(memory: &Memory, cursor: &mut Cursor, events: usize) {
    for at in 0..events {
        memory.push(cursor, at as u64, 1, bulky()).unwrap();
    }
}

fn fills(memory: &Memory) -> Vec<u64> {
    (0..memory.limit).map(|index| memory.state(index).fill).collect()
}

#[test]
fn the_ring_grows_only_when_no_chunk_is_free() {
    let memory = Memory::of(3);
    let mut cursor = Cursor::default();
    fill(&memory, &mut cursor, 14);
    assert_eq!(memory.populated.get(), 2);
    let (copied, _) = memory.copy(0).unwrap();
    assert!(free(&memory.states[0], &copied));
    fill(&memory, &mut cursor, 13);
    assert_eq!(memory.populated.get(), 2);
    assert_eq!(fills(&memory), [3, 2, 0]);
}

#[test]
fn the_flight_recorder_keeps_the_newest_and_counts_what_it_overwrites() {
    let memory = Memory::of(3);
    let mut cursor = Cursor::default();
    for at in 0..5 * 680 {
        memory.push(&mut cursor, at, 1, plain(&[at, 0])).unwrap();
    }
    let (seen, _) = memory.read();
    let read: Vec<u64> = seen.iter().map(|s| s.words[0]).collect();
    let newest: Vec<u64> = (5 * 680 - read.len() as u64..5 * 680).collect();
    assert_eq!(read, newest);
    assert!(read.len() > 1300);
    let begun = memory.next_fill.load(Ordering::Relaxed) - 1;
    assert_eq!(memory.overwritten.load(Ordering::Relaxed), begun - 3);
}

#[test]
fn a_frozen_chunk_is_not_overwritten() {
    let mut memory = Memory::of(3);
    let mut cursor = Cursor::default();
    fill(&memory, &mut cursor, 3 * 13);
    assert_eq!(fills(&memory), [1, 2, 3]);
    memory.frozen = (1, 2);
    fill(&memory, &mut cursor, 4 * 13);
    assert!(fills(&memory).contains(&1));
    assert_eq!(memory.state(0), StateWord { state: ChunkState::Full, fill: 1 });
    memory.frozen = (0, 0);
    fill(&memory, &mut cursor, 13);
    assert!(!fills(&memory).contains(&1));
}

#[test]
fn no_room_writes_nothing_and_ends_when_a_chunk_is_freed() {
    let mut memory = Memory::of(1);
    memory.frozen = (0, u64::MAX);
    let mut cursor = Cursor::default();
    fill(&memory, &mut cursor, 13);
    let before = memory.read();
    assert_eq!(memory.push(&mut cursor, 1, 1, bulky()), Err(NoRoom));
    assert_eq!(memory.push_shared(&AtomicU32::new(0), 1, 1, bulky()), Err(NoRoom));
    assert_eq!(memory.read(), before);
    assert_eq!(memory.overwritten.load(Ordering::Relaxed), 0);
    // The thread's chunk was given away, so that it can be drained; then it goes on.
    let (copied, _) = memory.copy(0).unwrap();
    assert!(free(&memory.states[0], &copied));
    memory.push(&mut cursor, 1, 1, bulky()).unwrap();
}

#[test]
fn a_ring_of_one_chunk_goes_on_as_a_flight_recorder() {
    let memory = Memory::of(1);
    let mut cursor = Cursor::default();
    for at in 0..2000 {
        memory.push(&mut cursor, at, 1, plain(&[at, 0])).unwrap();
    }
    assert_eq!(memory.read().0.last().unwrap().words[0], 1999);
    assert_eq!(memory.overwritten.load(Ordering::Relaxed), 2);
}

#[test]
fn growth_that_nobody_can_use_does_not_hide_the_oldest_chunk() {
    struct Endless;
    impl Grow for Endless {
        fn populated(&self) -> usize {
            usize::MAX
        }
        fn grow(&self) -> bool {
            true
        }
    }
    let memory = Memory::of(2);
    let mut cursor = Cursor::default();
    for at in 0..3000 {
        let pushed = cursor.push(&memory.ring(), &Endless, moment(at), 1, plain(&[at, 0]));
        assert_eq!(pushed, Ok(()));
    }
    assert_eq!(memory.read().0.last().unwrap().words[0], 2999);
}

#[test]
fn a_chunk_that_is_written_is_not_freed() {
    let memory = Memory::of(1);
    let mut cursor = Cursor::default();
    memory.push(&mut cursor, 1, 1, plain(&[1, 1])).unwrap();
    let (copied, _) = memory.copy(0).unwrap();
    assert!(!free(&memory.states[0], &copied));
    assert_eq!(memory.state(0).state, ChunkState::Owned);
}

#[test]
fn what_was_written_to_a_parked_chunk_after_it_was_copied_is_not_freed() {
    let memory = Memory::of(1);
    let mut cursor = Cursor::default();
    memory.push(&mut cursor, 1, 1, plain(&[1, 1])).unwrap();
    cursor.park(&memory.ring());
    let (copied, _) = memory.copy(0).unwrap();
    // Before it is freed, another thread takes it, writes and parks it again: the same state word.
    memory.push(&mut cursor, 2, 2, plain(&[2, 2])).unwrap();
    cursor.park(&memory.ring());
    assert!(!free(&memory.states[0], &copied));
    assert_eq!(memory.read().0.len(), 2);
    let (copied, words) = memory.copy(0).unwrap();
    assert_eq!(copied.state.state, ChunkState::Full);
    assert_eq!(walk(&words).0.len(), 2);
    assert!(free(&memory.states[0], &copied));
    assert_eq!(memory.state(0).state, ChunkState::Free);
}
