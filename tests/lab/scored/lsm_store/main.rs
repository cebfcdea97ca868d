//! Keys go into a log and a table in memory; full, it is written out. Four tables of a level are merged into one of the next.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::raw::{c_char, c_int, c_void};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

const INDEX: usize = 128 * 1024;
const FILTER: usize = 16 * 1024;

extern "C" {
    fn mmap(at: *mut c_void, size: usize, protection: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut c_void;
    fn munmap(at: *mut c_void, size: usize) -> c_int;
    fn memfd_create(name: *const c_char, flags: u32) -> c_int;
}

#[derive(Clone, Copy)]
enum What {
    Table,
    Index,
    Filter,
    Wal,
    Scan,
}

const WHATS: [(What, &str, usize); 5] = [
    (What::Table, "table", 0),
    (What::Index, "index", INDEX),
    (What::Filter, "filter", FILTER),
    (What::Wal, "wal", 0),
    (What::Scan, "scan", 0),
];
static ACQUIRED: [AtomicIsize; 5] = [const { AtomicIsize::new(0) }; 5];
static RELEASED: [AtomicIsize; 5] = [const { AtomicIsize::new(0) }; 5];

fn acquired(what: What) {
    ACQUIRED[what as usize].fetch_add(1, Ordering::Relaxed);
}

fn released(what: What) {
    RELEASED[what as usize].fetch_add(1, Ordering::Relaxed);
}

/// The index of a table, mapped.
struct Map(*mut u8);

// SAFETY: after it was filled, a map is only read.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    #[inline(never)]
    fn new(file: &File) -> io::Result<Map> {
        file.set_len(INDEX as u64)?;
        // SAFETY: a new shared mapping of a file that is as long.
        let at = unsafe { mmap(std::ptr::null_mut(), INDEX, 3, 1, file.as_raw_fd(), 0) }; // LAB:index
        if at as isize == -1 {
            return Err(io::Error::last_os_error());
        }
        acquired(What::Index);
        Ok(Map(at.cast()))
    }

    fn put(&mut self, key: u32, value: u8) {
        // SAFETY: the place is inside the mapping.
        unsafe { *self.0.add(key as usize * 64 % INDEX) = value };
    }

    fn get(&self, key: u32) -> u8 {
        // SAFETY: as above.
        unsafe { *self.0.add(key as usize * 64 % INDEX) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: it was mapped by `new`, and nobody reads it any more.
        unsafe { munmap(self.0.cast(), INDEX) };
        released(What::Index);
    }
}

struct Table {
    path: String,
    _file: File,
    index: Map,
    filter: Vec<u8>,
    rows: BTreeMap<u32, u8>,
}

impl Table {
    #[inline(never)]
    fn create(path: &str) -> io::Result<File> {
        let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path)?; // LAB:table
        acquired(What::Table);
        Ok(file)
    }

    #[inline(never)]
    fn filter() -> Vec<u8> {
        let bits = vec![1; FILTER]; // LAB:filter
        acquired(What::Filter);
        bits
    }

    fn write(serial: usize, rows: BTreeMap<u32, u8>) -> io::Result<Arc<Table>> {
        let path = format!("table.{serial}");
        let file = Table::create(&path)?;
        let mut index = Map::new(&file)?;
        let mut filter = Table::filter();
        for (&key, &value) in &rows {
            index.put(key, value);
            filter[key as usize % FILTER] |= 2;
        }
        Ok(Arc::new(Table { path, _file: file, index, filter, rows }))
    }

    fn get(&self, key: u32) -> Option<u8> {
        (self.filter[key as usize % FILTER] & 2 != 0).then(|| self.index.get(key))
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        released(What::Table);
        released(What::Filter);
        if let Err(error) = fs::remove_file(&self.path) {
            eprintln!("{}: {error}", self.path);
        }
    }
}

struct Store {
    levels: Vec<Vec<Arc<Table>>>,
    fresh: BTreeMap<u32, u8>,
    wal: File,
    serial: usize,
    scans: Vec<JoinHandle<usize>>,
}

impl Store {
    #[inline(never)]
    fn new_wal() -> io::Result<File> {
        // SAFETY: the name is a C string; the descriptor is new and owned by the file.
        let wal = unsafe { File::from_raw_fd(memfd_create(c"wal".as_ptr(), 1)) }; // LAB:wal
        acquired(What::Wal);
        Ok(wal)
    }

    fn put(&mut self, key: u32, value: u8) -> io::Result<bool> {
        self.wal.write_all(&key.to_le_bytes())?;
        self.fresh.insert(key, value);
        let full = self.fresh.len() >= 60;
        if full {
            self.flush()?;
        }
        Ok(full)
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.scans.len() > 1 {
            self.scans.remove(0).join().map_err(|_| io::Error::other("a scan has failed"))?;
            released(What::Scan);
        }
        let rows = std::mem::take(&mut self.fresh);
        self.add(0, rows)?;
        self.wal = Store::new_wal()?;
        released(What::Wal);
        Ok(())
    }

    fn add(&mut self, level: usize, rows: BTreeMap<u32, u8>) -> io::Result<()> {
        self.serial += 1;
        let table = Table::write(self.serial, rows)?;
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        self.levels[level].push(table);
        if self.levels[level].len() == 4 {
            let merged = self.levels[level].drain(..).flat_map(|table| table.rows.clone()).collect();
            self.add(level + 1, merged)?;
        }
        Ok(())
    }

    #[inline(never)]
    fn scan(&mut self, from: u32, stay: Duration) {
        let tables: Vec<Arc<Table>> = self.levels.iter().flatten().map(Arc::clone).collect();
        let work = move || {
            std::thread::sleep(stay);
            tables.iter().filter(|table| (from..from + 50).any(|key| table.get(key).is_some_and(|v| v > 0))).count()
        };
        let scan = std::thread::spawn(work); // LAB:scan
        acquired(What::Scan);
        self.scans.push(scan);
    }
}

/// A permutation of numbers: multiply, add, fold.
fn next(state: &mut u64) -> u32 {
    *state = state.wrapping_mul(0xd1342543de82ef95).wrapping_add(0xaf251af3b0f025b5);
    ((*state ^ (*state >> 32)) >> 11) as u32
}

fn main() -> io::Result<()> {
    let seed: u64 = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(1);
    let mut state = seed << 20 | 0xabc;
    println!("START");
    io::stdin().read_exact(&mut [0])?;
    let mut store = Store { levels: Vec::new(), fresh: BTreeMap::new(), wal: Store::new_wal()?, serial: 0, scans: Vec::new() };
    let mut flushes = 0;
    while flushes < 600 {
        for _ in 0..3 {
            let key = next(&mut state) % 40_000;
            if store.put(key, 1 + (key % 200) as u8)? {
                flushes += 1;
                if next(&mut state) % 2 == 0 {
                    store.scan(key, Duration::from_millis(u64::from(next(&mut state) % 40)));
                }
            }
        }
        std::thread::sleep(Duration::from_micros(u64::from(900 + next(&mut state) % 500)));
    }
    for scan in store.scans.drain(..) {
        scan.join().map_err(|_| io::Error::other("a scan has failed"))?;
        released(What::Scan);
    }
    println!("DONE");
    for (what, name, unit) in WHATS {
        let taken = ACQUIRED[what as usize].load(Ordering::Relaxed);
        let live = taken - RELEASED[what as usize].load(Ordering::Relaxed);
        let bytes = if unit > 0 { format!(", \"bytes\": {}", live as usize * unit) } else { String::new() };
        println!("{{\"site\": \"{name}\", \"acquired\": {taken}, \"live\": {live}, \"leaked\": 0{bytes}}}");
    }
    let mut rest = String::new();
    io::stdin().read_line(&mut rest)?;
    drop(store);
    Ok(())
}
