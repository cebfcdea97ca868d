//! Regions made by hand, for tests: what a shim would leave, without a traced process.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use resshim_format::header::{
    CONTROL_OFFSET, DIRECTORY_OFFSET, Header, MAGIC, STATES_OFFSET, STRINGS_OFFSET, Table, Tag,
    VERSION,
};
use resshim_format::index::REGION_SUFFIX;
use resshim_format::op::Op;
use resshim_format::ring::writer::{Cursor, Event, Grow, Moment, Ring, push_shared};
use resshim_format::ring::{CHUNK_BYTES, CHUNK_WORDS};
use resshim_format::table::{FdRow, ModuleRow, RowState, SiteRow, TableType};
use zerocopy::{FromBytes, FromZeros, IntoBytes, KnownLayout};

/// Chunks of a region of the fixture.
pub const CHUNKS: usize = 8;
const TABLES: &[(TableType, u32, u32)] = &[
    (TableType::Sites, size_of::<SiteRow>() as u32, 8),
    (TableType::Fds, size_of::<FdRow>() as u32, 32),
    (TableType::Modules, size_of::<ModuleRow>() as u32, 4),
    (TableType::Stacks, 16, 64),
    (TableType::Kinds, 32, 4),
];
const TABLES_OFFSET: usize = STATES_OFFSET + 4096;
const CHUNKS_OFFSET: usize = TABLES_OFFSET + 16 * 4096;

/// A region in memory; [`Fixture::write`] makes the file of it.
pub struct Fixture {
    /// Its process.
    pub pid: u32,
    /// Its id.
    pub id: u64,
    words: Vec<AtomicU64>,
    next_fill: AtomicU64,
    overwritten: AtomicU64,
    cursor: Cursor,
    shared: AtomicU32,
    strings: usize,
    stacks: u32,
}

struct Populated;
impl Grow for Populated {
    fn populated(&self) -> usize {
        CHUNKS
    }
    fn grow(&self) -> bool {
        false
    }
}

impl Fixture {
    /// A region of this process with empty tables.
    pub fn new(pid: u32, id: u64) -> Fixture {
        let length = (CHUNKS_OFFSET + CHUNKS * CHUNK_BYTES) / 8;
        let mut fixture = Fixture {
            pid,
            id,
            words: (0..length).map(|_| AtomicU64::new(0)).collect(),
            next_fill: AtomicU64::new(1),
            overwritten: AtomicU64::new(0),
            cursor: Cursor::default(),
            shared: AtomicU32::new(0),
            strings: STRINGS_OFFSET,
            stacks: 1,
        };
        let mut header = Header::new_zeroed();
        header.magic = AtomicU64::new(MAGIC);
        header.version = VERSION;
        header.header_bytes = size_of::<Header>() as u32;
        header.region_id = id;
        header.pid = pid;
        header.start_ticks = 77;
        header.tsc_hz = 1_000_000_000;
        header.chunks_offset = CHUNKS_OFFSET as u32;
        header.chunk_bytes = CHUNK_BYTES as u32;
        header.chunk_limit = CHUNKS as u32;
        header.chunks_populated = AtomicU32::new(CHUNKS as u32);
        fixture.put(0, header.as_mut_bytes());
        let mut offset = TABLES_OFFSET as u64;
        for (index, (kind, row_bytes, rows)) in TABLES.iter().enumerate() {
            let mut table = Table::new_zeroed();
            table.kind = *kind as u32;
            table.row_bytes = *row_bytes;
            table.capacity = *rows;
            table.populated = AtomicU32::new(*rows);
            table.offset = offset;
            fixture.put(DIRECTORY_OFFSET + index * size_of::<Table>(), table.as_mut_bytes());
            offset += *row_bytes as u64 * *rows as u64;
        }
        assert!(offset as usize <= CHUNKS_OFFSET && CONTROL_OFFSET < DIRECTORY_OFFSET);
        fixture
    }

    /// Changes the header.
    pub fn header(&mut self, change: impl FnOnce(&mut Header)) {
        let bytes = self.bytes();
        let mut header = Header::read_from_bytes(&bytes[..size_of::<Header>()]).unwrap();
        change(&mut header);
        self.put(0, header.as_mut_bytes());
    }

    /// Adds a string to the header.
    pub fn string(&mut self, tag: Tag, text: &str) -> &mut Fixture {
        let mut bytes = (tag as u16).to_le_bytes().to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        self.put(self.strings, &bytes);
        self.strings += bytes.len();
        self
    }

    fn offset_of(&self, kind: TableType) -> usize {
        let before = TABLES.iter().take_while(|table| table.0 != kind);
        TABLES_OFFSET + before.map(|(_, row, rows)| (row * rows) as usize).sum::<usize>()
    }

    /// Sets a row of a table.
    pub fn row<R>(&mut self, kind: TableType, index: u32, change: impl FnOnce(&mut R))
    where
        R: FromBytes + IntoBytes + KnownLayout,
    {
        let offset = self.offset_of(kind) + index as usize * size_of::<R>();
        let mut row = R::new_zeroed();
        change(&mut row);
        let bytes = row.as_mut_bytes().to_vec();
        self.put(offset, &bytes);
    }

    /// A live descriptor.
    pub fn fd(&mut self, number: u32, kind: resshim_format::op::Kind, label: &str) {
        self.row(TableType::Fds, number, |row: &mut FdRow| {
            *row.state.get_mut() = RowState::Live.word(1);
            *row.args.get_mut() = kind as u64;
            *row.op.get_mut() = Op::Open.number() as u32;
            let mut bytes = label.as_bytes().to_vec();
            bytes.resize(64, 0);
            for (word, bytes) in row.label.iter_mut().zip(bytes.chunks_exact(8)) {
                *word.get_mut() = u64::from_le_bytes(bytes.try_into().unwrap());
            }
        });
    }

    /// Changes the state of a descriptor that was added.
    pub fn fd_state(&mut self, number: u32, state: RowState, generation: u32) {
        self.row(TableType::Fds, number, |row: &mut FdRow| {
            *row.state.get_mut() = state.word(generation);
        });
    }

    /// Adds a stack and gives its id.
    pub fn stack(&mut self, frames: &[u64]) -> u32 {
        let id = self.stacks;
        let mut bytes = (frames.len() as u32).to_le_bytes().to_vec();
        bytes.resize(16, 0);
        bytes.extend(frames.iter().flat_map(|frame| frame.to_le_bytes()));
        self.put(self.offset_of(TableType::Stacks) + id as usize * 16, &bytes);
        self.stacks += 1 + frames.len().div_ceil(2) as u32;
        id
    }

    /// Writes a record as the thread `tid` of the process.
    pub fn push(&mut self, tsc: u64, tid: u32, op: Op, words: &[u64], texts: &[&[u8]]) -> bool {
        let moment = Moment { tsc, monotonic_ns: || 5 };
        let event = Event { op, stack: 0, words, texts };
        let mut cursor = self.cursor;
        let pushed = cursor.push(&self.ring(), &Populated, moment, tid, event).is_ok();
        self.cursor = cursor;
        pushed
    }

    /// Writes a record into the chunk that threads share.
    pub fn push_shared(&self, tsc: u64, tid: u32, op: Op, words: &[u64]) -> bool {
        let moment = Moment { tsc, monotonic_ns: || 5 };
        let event = Event { op, stack: 0, words, texts: &[] };
        push_shared(&self.ring(), &Populated, &self.shared, moment, tid, event).is_ok()
    }

    /// The thread ends.
    pub fn park(&mut self) {
        let mut cursor = self.cursor;
        cursor.park(&self.ring());
        self.cursor = cursor;
    }

    fn ring(&self) -> Ring<'_> {
        let states = STATES_OFFSET / 8;
        let chunks = CHUNKS_OFFSET / 8;
        Ring {
            states: &self.words[states..states + CHUNKS],
            words: &self.words[chunks..chunks + CHUNKS * CHUNK_WORDS],
            next_fill: &self.next_fill,
            overwritten: &self.overwritten,
            frozen: (0, 0),
        }
    }

    /// Overwrites bytes.
    pub fn put(&mut self, offset: usize, bytes: &[u8]) {
        for (index, byte) in bytes.iter().enumerate() {
            let at = offset + index;
            let word = self.words[at / 8].get_mut();
            let shift = at % 8 * 8;
            *word = *word & !(0xff << shift) | (*byte as u64) << shift;
        }
    }

    /// All its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        self.words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect()
    }

    /// Writes the region file into `directory`.
    pub fn write(&self, directory: &Path) -> PathBuf {
        let path = directory.join(format!("{}-{:016x}{REGION_SUFFIX}", self.pid, self.id));
        std::fs::write(&path, self.bytes()).unwrap();
        path
    }
}

/// A new directory for a test.
pub fn directory(name: &str) -> PathBuf {
    use std::os::unix::fs::DirBuilderExt;
    let path = std::env::temp_dir().join(format!("resshim-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
    path
}
