//! Chunks that many threads write.

use super::super::copy::settled;
use super::super::drain::free;
use super::super::{CHUNK_HEADER, ChunkState, SHARED_WORDS, SLOT_WORDS, word};
use super::*;
use std::vec;

const SLOTS: usize = SHARED_WORDS / SLOT_WORDS;

#[test]
fn events_with_strings_of_many_slots_come_back() {
    let memory = Memory::of(1);
    let place = AtomicU32::new(0);
    let long: Vec<u8> = (0..1024).map(|i| i as u8).collect();
    let texts: [&[u8]; 3] = [&long, b"", b"/etc/hosts"];
    let event = Event { op: Op::Bind, stack: 3, words: &[7; 20], texts: &texts };
    memory.push_shared(&place, 5, 8, event).unwrap();
    memory.push_shared(&place, u64::MAX, 9, plain(&[1, 2])).unwrap();
    let (seen, anomalies) = memory.read();
    assert_eq!(anomalies, Anomalies::default());
    let texts = vec![long, vec![], b"/etc/hosts".to_vec()];
    let words = vec![7; 14];
    assert_eq!(seen[0], Seen { tsc: 5, tid: 8, op: Op::Bind, stack: 3, words, texts });
    assert_eq!((seen[1].tid, seen[1].tsc, &seen[1].words[..]), (9, u64::MAX, &[1, 2][..]));
    assert_eq!(seen.len(), 2);
    assert_eq!(memory.word(0, word::CONTENTS), 1);
}

#[test]
fn a_chunk_is_sealed_by_its_last_slot() {
    let memory = Memory::of(2);
    let place = AtomicU32::new(0);
    for slot in 0..SLOTS as u64 {
        assert_eq!(
            memory.state(0).state,
            [ChunkState::Shared, ChunkState::Free][(slot == 0) as usize]
        );
        memory.push_shared(&place, slot, 1, plain(&[slot, 0])).unwrap();
    }
    assert_eq!(memory.state(0).state, ChunkState::Full);
    memory.push_shared(&place, 1000, 1, plain(&[1000, 0])).unwrap();
    assert_eq!(memory.state(1).state, ChunkState::Shared);
    assert_eq!(memory.read().0.len(), SLOTS + 1);
}

#[test]
fn an_event_that_does_not_fit_the_rest_seals_the_chunk_without_a_hole() {
    let memory = Memory::of(2);
    let place = AtomicU32::new(0);
    for slot in 0..SLOTS as u64 - 5 {
        memory.push_shared(&place, slot, 1, plain(&[slot, 0])).unwrap();
    }
    memory.push_shared(&place, 1, 1, bulky()).unwrap();
    assert_eq!(memory.state(0).state, ChunkState::Full);
    let (seen, anomalies) = memory.read();
    assert_eq!(seen.len(), SLOTS - 5 + 1);
    assert_eq!(seen.last().unwrap().texts[0].len(), 1024);
    assert_eq!(anomalies, Anomalies::default());
}

#[test]
fn an_event_longer_than_a_shared_chunk_is_refused() {
    let memory = Memory::of(2);
    let place = AtomicU32::new(0);
    let text: &[u8] = &[b'z'; 1024];
    let event = Event { op: Op::Exec, stack: 0, words: &[], texts: &[text; 12] };
    assert_eq!(memory.push_shared(&place, 1, 1, event), Err(NoRoom));
    assert_eq!(place.load(Ordering::Relaxed), 0);
}

#[test]
fn a_hole_is_counted_once_and_its_strings_are_not_strays() {
    let memory = Memory::of(1);
    let place = AtomicU32::new(0);
    let event = Event { op: Op::Bind, stack: 3, words: &[1], texts: &[&[b'a'; 150]] };
    memory.push_shared(&place, 1, 1, plain(&[1, 0])).unwrap();
    memory.push_shared(&place, 2, 1, event).unwrap();
    memory.push_shared(&place, 3, 1, plain(&[3, 0])).unwrap();
    // As left by a thread that was killed before it stored the first word of its first slot.
    memory.chunk(0)[CHUNK_HEADER + SLOT_WORDS].store(0, Ordering::Relaxed);
    let (seen, anomalies) = memory.read();
    let read: Vec<u64> = seen.iter().map(|s| s.words[0]).collect();
    assert_eq!(read, [1, 3]);
    assert_eq!(anomalies, Anomalies { holes: 1, ..Anomalies::default() });
    // A drainer of the living process comes back for it.
    let (copied, words) = memory.copy(0).unwrap();
    assert_eq!(settled(&copied, &words), CHUNK_HEADER + SLOT_WORDS);
}

#[test]
fn a_place_from_an_earlier_fill_does_no_harm() {
    let memory = Memory::of(1);
    let place = AtomicU32::new(0);
    for slot in 0..SLOTS as u64 {
        memory.push_shared(&place, slot, 1, plain(&[slot, 0])).unwrap();
    }
    // The chunk that `place` still names is drained, and a thread takes it for its own.
    let (copied, words) = memory.copy(0).unwrap();
    assert_eq!(settled(&copied, &words), CHUNK_HEADER + SHARED_WORDS);
    assert!(free(&memory.states[0], &copied));
    let mut cursor = Cursor::default();
    memory.push(&mut cursor, 1, 2, plain(&[5, 5])).unwrap();
    let late = memory.push_shared(&place, 1, 3, plain(&[6, 6]));
    assert_eq!(late, Err(NoRoom));
    for word in 0..600 {
        memory.push(&mut cursor, 1, 2, plain(&[word, 5])).unwrap();
    }
    let (seen, anomalies) = memory.read();
    assert_eq!(anomalies, Anomalies::default());
    assert_eq!(seen.len(), 601);
    assert!(seen.iter().all(|s| s.tid == 2));
}

#[test]
fn scribbled_counters_do_not_panic() {
    for word in [word::RESERVED, word::COMPLETED, word::COMMITTED, word::CONTENTS, word::FILL] {
        for value in [0, 1, SHARED_WORDS as u64 - 1, u64::MAX, u64::MAX - 17, 1 << 63] {
            let memory = Memory::of(2);
            let place = AtomicU32::new(0);
            let mut cursor = Cursor::default();
            memory.push_shared(&place, 1, 1, bulky()).unwrap();
            memory.push(&mut cursor, 1, 1, plain(&[1, 2])).unwrap();
            cursor.park(&memory.ring());
            memory.chunk(0)[word].store(value, Ordering::Relaxed);
            memory.chunk(1)[word].store(value, Ordering::Relaxed);
            let _ = memory.push_shared(&place, 2, 1, bulky());
            let _ = memory.push_shared(&AtomicU32::new(u32::MAX), 2, 1, bulky());
            let _ = memory.push(&mut cursor, 2, 1, bulky());
            memory.read();
        }
    }
}
