//! A small key-value store: values in memory up to a bound, segments on disk opened when first asked for and kept (a
//! warm-up), an anonymous mapping as its write buffer, and snapshots by a fork that the next round waits for.

use std::collections::{BTreeMap, HashMap};
use std::ffi::c_void;
use std::fs::{self, File};
use std::io::{self, BufRead, Write};
use std::os::unix::fs::FileExt;
use std::time::Duration;

extern "C" {
    fn fork() -> i32;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
    fn _exit(code: i32) -> !;
    fn mmap(at: *mut c_void, len: usize, prot: i32, flags: i32, fd: i32, offset: i64) -> *mut c_void;
    fn munmap(at: *mut c_void, len: usize) -> i32;
}

const BUFFER: usize = 256 << 10;
const SEGMENTS: u64 = 160;
const KEYS: usize = 1500;

#[derive(Clone, Copy, Default)]
struct Use {
    acquired: i64,
    live: i64,
}

struct WriteBuffer {
    at: *mut u8,
    used: usize,
}

struct Store {
    values: BTreeMap<u64, Box<[u8; 1024]>>,
    segments: HashMap<u64, File>,
    buffer: WriteBuffer,
    snapshot: Option<i32>,
    uses: HashMap<&'static str, Use>,
}

impl Store {
    fn note(&mut self, site: &'static str, by: i64) {
        let entry = self.uses.entry(site).or_default();
        entry.live += by;
        entry.acquired += by.max(0);
    }

    #[inline(never)]
    fn segment(&mut self, number: u64) -> io::Result<&File> {
        if !self.segments.contains_key(&number) {
            let file = File::open(format!("kv_segments/{number}"))?; // LAB:segment
            self.segments.insert(number, file);
            self.note("segment", 1);
        }
        Ok(&self.segments[&number])
    }

    #[inline(never)]
    fn put(&mut self, key: u64) {
        let value = Box::new([key as u8; 1024]); // LAB:put
        if self.values.insert(key, value).is_none() {
            self.note("put", 1);
        } else {
            self.note("put", 1);
            self.note("put", -1);
        }
        if self.values.len() > KEYS && self.values.pop_first().is_some() {
            self.note("put", -1);
        }
        if self.buffer.at.is_null() || self.buffer.used + 1024 > BUFFER {
            self.fresh_buffer();
        }
        // SAFETY: the buffer has room for another kilobyte.
        unsafe { self.buffer.at.add(self.buffer.used).write_bytes(key as u8, 1024) };
        self.buffer.used += 1024;
    }

    #[inline(never)]
    fn fresh_buffer(&mut self) {
        if !self.buffer.at.is_null() {
            // SAFETY: it was mapped with this length and nothing points into it.
            unsafe { munmap(self.buffer.at.cast(), BUFFER) };
            self.note("fresh_buffer", -1);
        }
        // SAFETY: a new private anonymous mapping.
        let at = unsafe { mmap(std::ptr::null_mut(), BUFFER, 3, 0x22, -1, 0) }; // LAB:fresh_buffer
        self.buffer = WriteBuffer { at: at.cast(), used: 0 };
        self.note("fresh_buffer", 1);
    }

    #[inline(never)]
    fn snapshot(&mut self) {
        if let Some(earlier) = self.snapshot.take() {
            // SAFETY: a child of this process that nobody else waits for.
            unsafe { waitpid(earlier, std::ptr::null_mut(), 0) };
            self.note("snapshot", -1);
        }
        // SAFETY: the program has one thread, the child may do all.
        let child = unsafe { fork() }; // LAB:snapshot
        if child == 0 {
            let _ = write_snapshot(&self.values);
            // SAFETY: ends the child without the parent's buffers.
            unsafe { _exit(0) };
        }
        self.snapshot = Some(child);
        self.note("snapshot", 1);
    }

    #[inline(never)]
    fn journal(&mut self, key: u64) -> io::Result<()> {
        let mut file = File::options().append(true).create(true).open("kv_journal")?; // LAB:journal
        self.note("journal", 1);
        let done = writeln!(file, "put {key}");
        drop(file);
        self.note("journal", -1);
        done
    }
}

fn write_snapshot(values: &BTreeMap<u64, Box<[u8; 1024]>>) -> io::Result<()> {
    let mut out = io::BufWriter::new(File::create("kv_snapshot")?);
    values.values().try_for_each(|v| out.write_all(&v[..]))
}

fn random(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545f4914f6cdd1d) >> 32
}

fn main() -> io::Result<()> {
    let mut state = std::env::args().nth(1).map_or(1, |s| s.parse().unwrap_or(1)) * 7919 + 17;
    fs::create_dir_all("kv_segments")?;
    for n in 0..SEGMENTS {
        fs::write(format!("kv_segments/{n}"), [n as u8; 64])?;
    }
    let mut store = Store {
        values: BTreeMap::new(),
        segments: HashMap::new(),
        buffer: WriteBuffer { at: std::ptr::null_mut(), used: 0 },
        snapshot: None,
        uses: HashMap::new(),
    };
    println!("START");
    let mut word = String::new();
    io::stdin().lock().read_line(&mut word)?;

    for turn in 0..9000u64 {
        if random(&mut state) % 3 == 0 {
            let key = random(&mut state) % 20_000;
            store.put(key);
            if turn % 8 == 0 {
                store.journal(key)?;
            }
        } else {
            // low numbers are asked for more often
            let pick = (random(&mut state) % SEGMENTS).min(random(&mut state) % SEGMENTS);
            store.segment(pick)?.read_at(&mut [0; 64], 0)?;
        }
        if turn % 60 == 59 {
            store.snapshot();
        }
        std::thread::sleep(Duration::from_micros(1200 + random(&mut state) % 900));
    }

    println!("DONE");
    for (site, unit) in
        [("segment", 0), ("put", 1024), ("fresh_buffer", BUFFER as i64), ("snapshot", 0), ("journal", 0)]
    {
        let Use { acquired, live } = store.uses.get(site).copied().unwrap_or_default();
        let bytes = if unit > 0 { format!(", \"bytes\": {}", live * unit) } else { String::new() };
        println!("{{\"site\": \"{site}\", \"acquired\": {acquired}, \"live\": {live}, \"leaked\": 0{bytes}}}");
    }
    word.clear();
    io::stdin().lock().read_line(&mut word)?;
    if let Some(last) = store.snapshot {
        // SAFETY: as above.
        unsafe { waitpid(last, std::ptr::null_mut(), 0) };
    }
    Ok(())
}
