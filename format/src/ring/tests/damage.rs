//! Words that nobody wrote: a traced process may scribble on its region.

use super::super::{CHUNK_HEADER, SLOT_WORDS, word};
use super::*;
use crate::record::HeaderWord;
use proptest::prelude::*;

/// Walks to the end, reads every string, and holds what came against the words there were.
fn survives(words: &[u64]) {
    let mut records = Records::new(words);
    let (mut count, mut last) = (0, None);
    for record in records.by_ref() {
        count += 1;
        assert!(record.at >= CHUNK_HEADER && last.is_none_or(|last| record.at > last));
        assert!(record.at + record.words.len() < words.len());
        last = Some(record.at);
        for field in [0, 1, 255] {
            let mut bytes = [0; 64];
            record.text(field, &mut bytes);
        }
    }
    assert!(count <= words.len(), "{count} records in {} words", words.len());
    let (position, anomalies) = (records.position(), records.anomalies);
    let sum = anomalies.bad_lengths + anomalies.unknown_ops + anomalies.stray_texts;
    assert!(sum + anomalies.holes <= words.len() as u64);
    assert!(position <= words.len().max(CHUNK_HEADER));
    assert_eq!(records.next(), None, "it goes on after its end");
    records.fill();
    records.clock_pair();
}

/// Chunks as a writer leaves them: an owned one, parked and gone on with, and a shared one.
fn chunks() -> [Vec<u64>; 2] {
    let memory = Memory::of(2);
    let place = AtomicU32::new(0);
    let mut cursor = Cursor::default();
    for at in 0..40 {
        let event = if at % 3 == 0 { bulky() } else { plain(&[1, 2]) };
        memory.push_shared(&place, at << 40, 2, event).unwrap();
        if at < 20 {
            memory.push(&mut cursor, at << 40, 1, event).unwrap();
        }
        if at == 5 {
            cursor.park(&memory.ring());
        }
    }
    [0, 1].map(|index| memory.copy(index).unwrap().1)
}

#[test]
fn every_operation_number_in_every_length_is_survived() {
    for owner in [1, 1 << 32] {
        for op in 0..1024 {
            for length in 0..16 {
                let mut words = std::vec![0; CHUNK_HEADER + 3 * SLOT_WORDS];
                words[word::OWNER] = owner;
                let header = HeaderWord { dt: 1, words: length, op, stack: 1 }.pack();
                for (index, to) in words.iter_mut().enumerate().skip(CHUNK_HEADER) {
                    // In shared slots the record stands behind a context.
                    let context =
                        owner >> 32 == 1 && (index - CHUNK_HEADER).is_multiple_of(SLOT_WORDS);
                    let one = HeaderWord { dt: 0, words: 3, op: Op::Context.number(), stack: 0 };
                    *to = if context { one.pack() } else { header };
                }
                survives(&words);
            }
        }
    }
}

#[test]
fn an_unknown_operation_takes_its_strings_with_it() {
    let memory = Memory::of(2);
    let event = Event { op: Op::Open, stack: 0, words: &[1], texts: &[b"/tmp"] };
    memory.push(&mut Cursor::default(), 1, 1, event).unwrap();
    memory.push_shared(&AtomicU32::new(0), 1, 1, event).unwrap();
    for (index, at) in [(0, CHUNK_HEADER), (1, CHUNK_HEADER + 3)] {
        let header = HeaderWord { op: 1023, ..HeaderWord::unpack(memory.word(index, at)) };
        memory.chunk(index)[at].store(header.pack(), Ordering::Relaxed);
    }
    let (seen, anomalies) = memory.read();
    assert_eq!(seen, []);
    assert_eq!(anomalies, Anomalies { unknown_ops: 2, ..Anomalies::default() });
}

#[test]
fn copies_cut_at_every_word_are_survived() {
    for words in chunks() {
        for length in 0..words.len() {
            survives(&words[..length]);
        }
    }
}

#[test]
fn a_scribbled_state_or_header_is_no_copy_or_a_bounded_one() {
    let memory = Memory::of(1);
    memory.push(&mut Cursor::default(), 1, 1, plain(&[1, 2])).unwrap();
    for bits in (0..64).map(|bit| 1 << bit).chain([0, u64::MAX]) {
        memory.chunk(0)[word::COMMITTED].store(bits, Ordering::Relaxed);
        if let Some((copied, words)) = memory.copy(0) {
            assert!(copied.words <= CHUNK_WORDS);
            survives(&words);
        }
    }
    memory.states[0].fetch_xor(1 << 20, Ordering::Relaxed);
    assert_eq!(memory.copy(0), None, "another fill than the state's");
    let mut words = Box::new([0; CHUNK_WORDS]);
    let short = InMemory { state: &memory.states[0], words: &memory.words[..7] };
    assert_eq!(copy(&short, &mut words), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn random_words_are_survived(
        words in prop::collection::vec(any::<u64>(), 0..300),
        owner in prop_oneof![Just(1), Just(1u64 << 32), any::<u64>()],
    ) {
        let mut words = words;
        if let Some(to) = words.get_mut(word::OWNER) {
            *to = owner;
        }
        survives(&words);
    }

    #[test]
    fn flipped_bits_are_survived(
        which in 0..2usize,
        flips in prop::collection::vec((0..CHUNK_WORDS, 0..64u32), 1..200),
    ) {
        let mut words = chunks()[which].clone();
        for (index, bit) in flips {
            let length = words.len();
            words[index % length] ^= 1 << bit;
        }
        survives(&words);
    }
}
