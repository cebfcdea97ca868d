//! A writer in another process, killed with SIGKILL at random moments: the file has every record
//! whose push had returned, and nothing torn.
#![cfg(not(loom))]
#![allow(unsafe_code, reason = "fork, a shared mapping and atomics in it")]

use resshim_format::op::Op;
use resshim_format::ring::copy::{InMemory, copy};
use resshim_format::ring::reader::Records;
use resshim_format::ring::writer::{Cursor, Event, Grow, Moment, Ring, push_shared};
use resshim_format::ring::{CHUNK_HEADER, CHUNK_WORDS};
use resshim_format::sync::{AtomicU32, AtomicU64, Ordering};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::time::Duration;

const CHUNKS: usize = 256;
/// Words before the chunks: next fill, overwritten, pushes that returned (own chunk, shared), states.
const FRONT: usize = 4 + CHUNKS;
const WORDS: usize = FRONT + CHUNKS * CHUNK_WORDS;

struct All;
impl Grow for All {
    fn populated(&self) -> usize {
        CHUNKS
    }
    fn grow(&self) -> bool {
        false
    }
}

fn map(file: &File) -> &'static [AtomicU64] {
    let (length, fd) = (WORDS * 8, file.as_raw_fd());
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping of a file of this length, which nobody makes shorter.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), length, access, libc::MAP_SHARED, fd, 0) };
    assert_ne!(at, libc::MAP_FAILED);
    // SAFETY: page-aligned, `WORDS` words long, never unmapped, and only ever used as atomics.
    unsafe { std::slice::from_raw_parts(at.cast(), WORDS) }
}

fn ring(words: &'static [AtomicU64]) -> Ring<'static> {
    Ring {
        states: &words[4..FRONT],
        words: &words[FRONT..],
        next_fill: &words[0],
        overwritten: &words[1],
        frozen: (0, 0),
    }
}

/// The child: pushes until it is killed. Numbers go up by one; odd ones go to the shared chunk.
fn write(words: &'static [AtomicU64]) -> ! {
    let (ring, place) = (ring(words), AtomicU32::new(0));
    let mut cursor = Cursor::default();
    let text = [b't'; 300];
    for id in 1u64.. {
        let record = [id, !id];
        let length = (id % 300) as usize;
        let texts = [&text[..length]];
        let texts = if id % 5 < 2 { &texts[..] } else { &[] };
        let event = Event { op: Op::Open, stack: length as u32, words: &record, texts };
        let moment = Moment { tsc: id << 6, monotonic_ns: || 0 };
        let shared = id % 2 == 1;
        let pushed = if shared {
            push_shared(&ring, &All, &place, moment, 9, event)
        } else {
            cursor.push(&ring, &All, moment, 9, event)
        };
        if pushed.is_err() {
            break;
        }
        words[2 + shared as usize].store(id, Ordering::Release);
        // Threads come and go.
        if id % 1024 == 0 {
            cursor.park(&ring);
        }
    }
    // SAFETY: no argument that could be wrong; nothing of the parent's is run.
    unsafe { libc::_exit(1) }
}

/// Numbers that stand in the ring, each checked as a whole.
fn read(words: &'static [AtomicU64]) -> Vec<u64> {
    let ring = ring(words);
    let mut ids = Vec::new();
    for (state, words) in ring.states.iter().zip(ring.words.chunks_exact(CHUNK_WORDS)) {
        let mut into = [0; CHUNK_WORDS];
        let Some(copied) = copy(&InMemory { state, words }, &mut into) else { continue };
        assert!(copied.words > CHUNK_HEADER);
        let mut records = Records::new(&into[..copied.words]);
        for record in records.by_ref() {
            let id = record.word(1);
            assert_eq!((record.word(2), record.tsc, record.tid), (!id, id << 6, 9), "torn");
            assert_eq!(record.stack as u64, id % 300, "torn");
            let mut text = [0; 512];
            let text = record.text(0, &mut text);
            let expected = (id % 5 < 2).then_some(&[b't'; 300][..(id % 300) as usize]);
            assert_eq!(text, expected, "torn string");
            ids.push(id);
        }
        let anomalies = records.anomalies;
        assert_eq!((anomalies.bad_lengths, anomalies.unknown_ops), (0, 0));
        // One writer: only its last event can be without its first slot.
        assert!(anomalies.holes <= 1 && anomalies.stray_texts == 0, "{anomalies:?}");
    }
    ids.sort();
    ids
}

#[test]
fn a_killed_writer_leaves_every_record_whose_push_returned() {
    let mut random = 0x9e37_79b9_7f4a_7c15u64 ^ std::process::id() as u64;
    let (mut whole, mut total) = (0, 0);
    for round in 0..100 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let path = std::env::temp_dir().join(format!("ring-{}-{round}", std::process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file.set_len(WORDS as u64 * 8).unwrap();
        let words = map(&file);
        words[0].store(1, Ordering::Relaxed);
        // SAFETY: the child calls nothing but the ring's functions and `_exit`: no allocation, no lock.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            write(words);
        }
        while words[2].load(Ordering::Acquire) == 0 {
            std::hint::spin_loop();
        }
        // Half of them before the ring is full, half of them while it overwrites itself.
        let longest = [300_000, 20_000_000][round % 2];
        std::thread::sleep(Duration::from_nanos(random % longest));
        let mut status = 0;
        // SAFETY: `pid` is this process's child, which nobody else waits for.
        unsafe {
            libc::kill(pid, libc::SIGKILL);
            libc::waitpid(pid, &mut status, 0);
        }
        assert!(libc::WIFSIGNALED(status), "it ran out of room: {status:#x}");
        let returned = [words[2].load(Ordering::Acquire), words[3].load(Ordering::Acquire)];
        let last = returned[0].max(returned[1]);
        let ids = read(words);
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "a record twice");
        // The one that was being pushed may be there as well.
        assert!(ids.last().is_some_and(|id| (last..=last + 1).contains(id)));
        // Whole chunks may have been overwritten; the newest of each kind that returned is there.
        for returned in returned.into_iter().filter(|id| *id > 0) {
            assert!(ids.binary_search(&returned).is_ok(), "{returned} is lost");
        }
        if words[1].load(Ordering::Relaxed) == 0 {
            let all = ids.iter().take(last as usize).copied();
            assert!(all.eq(1..=last), "of {last} there are {}", ids.len());
            (whole, total) = (whole + 1, total + last);
        }
        // SAFETY: mapped above; `words` is not used again.
        unsafe { libc::munmap(words.as_ptr() as *mut _, WORDS * 8) };
    }
    eprintln!("{total} records in {whole} rounds without overwriting");
    assert!(whole > 0, "no round ended before the ring was full");
}
