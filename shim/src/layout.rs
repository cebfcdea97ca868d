//! Where things lie in a region: constants, in two sizes. The small one is for processes whose
//! address space or file size is limited; its tables have a sixteenth of the rows.

use resshim_format::header::STATES_OFFSET;
use resshim_format::ring::CHUNK_BYTES;
use resshim_format::table::{
    AnnotatedRow, ChildRow, CodeRow, FailureRow, FdRow, HeapRow, KindRow, MappingRow, ModuleRow,
    SiteRow, StackHead, TableType, ThreadRow,
};

/// Bytes that the kernel promises at once, or four times as many where a table grows on.
pub const PAGE: usize = resshim_format::header::PAGE;
/// Most bytes of a region.
pub const RESERVE: usize = 64 << 20;
/// Most chunks of a region.
pub const CHUNKS: usize = 1024;

/// Most rows of the tables whose rows are handed out by free lists.
pub mod rows {
    /// Threads.
    pub const THREADS: usize = 8192;
    /// Children.
    pub const CHILDREN: usize = 8192;
    /// Sampled heap blocks.
    pub const HEAP: usize = 1 << 17;
    /// Mappings.
    pub const MAPPINGS: usize = 1 << 14;
    /// Annotated resources.
    pub const ANNOTATED: usize = 1 << 14;
}

/// A type of row: where its table lies.
pub trait Row: Sized {
    /// Index of the table in the directory.
    const TABLE: usize;
}

/// The tables in the order of the directory: type, row size, rows of the large layout.
macro_rules! tables {
    ($($index:literal $row:ty, $kind:ident, $rows:expr;)*) => {
        $(impl Row for $row { const TABLE: usize = $index; })*
        /// The tables in the order of the directory: type, row size, rows of the large layout.
        pub const TABLES: &[(TableType, usize, usize)] =
            &[$((TableType::$kind, core::mem::size_of::<$row>(), $rows)),*];
    };
}
tables! {
    0 FdRow, Fds, 65536;
    1 SiteRow, Sites, 8192;
    2 StackHead, Stacks, 1 << 20;
    3 ModuleRow, Modules, 2048;
    4 ThreadRow, Threads, rows::THREADS;
    5 ChildRow, Children, rows::CHILDREN;
    6 FailureRow, Failures, 2048;
    7 KindRow, Kinds, FEWEST;
    8 HeapRow, Heap, rows::HEAP;
    9 MappingRow, Mappings, rows::MAPPINGS;
    10 AnnotatedRow, Annotated, rows::ANNOTATED;
    11 CodeRow, Codes, 8192;
}

/// No table has fewer rows.
const FEWEST: usize = 128;

/// One geometry.
#[derive(Debug)]
pub struct Layout {
    /// Bytes of the file and of the mapping.
    pub reserve: usize,
    /// Rows of each table.
    pub rows: [usize; TABLES.len()],
    /// Where each table begins; the last entry is where the chunks do.
    pub offsets: [usize; TABLES.len() + 1],
    /// Chunks there is room for.
    pub chunks: usize,
}

impl Layout {
    const fn new(reserve: usize, shift: usize) -> Layout {
        let mut rows = [0; TABLES.len()];
        let mut offsets = [0; TABLES.len() + 1];
        // Header, control, directory and chunk states come first.
        let mut at = (STATES_OFFSET + CHUNKS * 8).next_multiple_of(PAGE);
        let mut index = 0;
        while index < TABLES.len() {
            let most = TABLES[index].2;
            let scaled = most >> shift;
            rows[index] = if scaled < FEWEST { FEWEST } else { scaled };
            offsets[index] = at;
            at = (at + TABLES[index].1 * rows[index]).next_multiple_of(PAGE);
            index += 1;
        }
        offsets[index] = at;
        let room = (reserve - at) / CHUNK_BYTES;
        Layout { reserve, rows, offsets, chunks: if room < CHUNKS { room } else { CHUNKS } }
    }

    /// Where the chunks begin.
    pub const fn chunks_offset(&self) -> usize {
        self.offsets[TABLES.len()]
    }
}

static LAYOUTS: [Layout; 2] = [Layout::new(RESERVE, 0), Layout::new(8 << 20, 4)];
/// Number of the large layout.
pub const LARGE: u32 = 0;
/// Number of the small layout.
pub const SMALL: u32 = 1;

const _: () = assert!(LAYOUTS_FIT);
const LAYOUTS_FIT: bool = {
    let (large, small) = (Layout::new(RESERVE, 0), Layout::new(8 << 20, 4));
    large.chunks == CHUNKS && small.chunks >= CHUNKS / 4 && small.reserve <= large.reserve
};

/// Where the table of descriptors begins: in every layout first, so that what stands before it is at the
/// same distance (the hooks of uses reach the control page from there).
pub const FDS_OFFSET: usize = {
    let (large, small) = (Layout::new(RESERVE, 0), Layout::new(8 << 20, 4));
    let offset = large.offsets[<FdRow as Row>::TABLE];
    assert!(small.offsets[<FdRow as Row>::TABLE] == offset);
    offset
};

/// The layout of this number.
#[inline(always)]
pub fn numbered(number: u32) -> &'static Layout {
    let [large, small] = &LAYOUTS;
    if number == SMALL { small } else { large }
}
