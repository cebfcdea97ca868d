//! One region: what one process image tells, as typed values.
//!
//! [`Region`] is a copy of the state (header, strings, tables) at one moment, from a live file
//! ([`RegionFile::read`]) or from a stored one ([`Region::load`]). Chunks of a live file are
//! copied one by one ([`RegionFile::copy_chunk`]). Anything may stand in the bytes.

mod file;
#[cfg(test)]
pub(crate) mod fixture;
mod header;
mod image;
mod mapping;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::path::Path;

use resshim_format::header::{
    Control, DIRECTORY_ENTRIES, DIRECTORY_OFFSET, Header, MAGIC, STATES_OFFSET, Table, VERSION,
};
use resshim_format::ring::{CHUNK_BYTES, StateWord};
use resshim_format::table::{
    self, RowState, STACK_CUT, STACK_FOLDED, STACK_NO_UNWIND_DATA, STACK_UNIT, TableType,
};

pub use self::file::{ChunkCopy, RegionFile, parse_file_name};
pub use self::header::{RegionHeader, Strings};
pub use self::image::{Image, LARGEST_STATE};
pub use self::mapping::{Drain, Drainer};
use super::rows::{
    Annotated, Child, Code, Failure, Fd, HeapBlock, KindName, Mapping, Module, Plain, Site, Stack,
    Thread,
};
use crate::error::{Error, Result};

/// Rows that are longer than this are of no table that could be.
const LARGEST_ROW: u32 = 1 << 16;
/// Frames of a stack beyond this are damage.
const MOST_FRAMES: usize = 4096;

/// What did not fit in a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anomalies {
    /// Tables whose offset, row size or count does not fit the file: not read, or in part.
    pub bad_tables: u64,
    /// Tables of types that this version does not know.
    pub unknown_tables: u64,
    /// Strings of the header that run over its end.
    pub bad_strings: u64,
    /// Strings of tags that this version does not know.
    pub unknown_strings: u64,
    /// Chunks that the header claims beyond the file.
    pub bad_chunks: u64,
    /// Stored states that were cut short.
    pub damaged: u64,
}

impl Anomalies {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.bad_tables + self.bad_strings + self.bad_chunks + self.damaged
    }
}

/// An entry of the directory that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableInfo {
    /// Number of the [`TableType`].
    pub kind: u32,
    /// Bytes of a row.
    pub row_bytes: u32,
    /// Rows that can be read.
    pub rows: u32,
    /// Rows that may ever be used.
    pub capacity: u32,
    /// Offset of row 0.
    pub offset: u64,
    /// Rows handed out, as the table says.
    pub used: u32,
    /// Acquisitions that found the table full.
    pub refused: u32,
}

/// State of a region at one moment.
#[derive(Clone, Debug)]
pub struct Region {
    /// Fixed fields.
    pub header: RegionHeader,
    /// Strings of the header.
    pub strings: Strings,
    /// Tables, in the order of the directory.
    pub tables: Vec<TableInfo>,
    /// State words of the populated chunks.
    pub chunk_states: Vec<StateWord>,
    /// What did not fit.
    pub anomalies: Anomalies,
    /// Mean bytes between heap samples as it stood.
    pub heap_mean: u64,
    levels: Vec<u32>,
    /// The clock of uses as it stood, ticks; 0 = none are stamped.
    pub use_clock: u64,
    image: Image,
}

/// Checks magic, version and geometry of a header page; `file_bytes` bounds it.
pub(crate) fn check_header(path: &Path, image: &Image, file_bytes: u64) -> Result<RegionHeader> {
    let Some(header) = image.value::<Header>(0) else {
        return Err(not_a_region(path, "too short for a region"));
    };
    let magic = header.magic.load(std::sync::atomic::Ordering::Relaxed);
    if magic == 0 {
        return Err(not_a_region(path, "its process died while it was made: it tells nothing"));
    }
    if magic != MAGIC {
        return Err(not_a_region(path, "is no region of the shim"));
    }
    if header.version > VERSION || header.version == 0 {
        let why = format!("format version {}; this resshim knows up to {VERSION}", header.version);
        return Err(Error::input(
            path,
            why,
            "read it with the resshim that wrote it, or a newer one",
        ));
    }
    let header = RegionHeader::from(header);
    let states_end = STATES_OFFSET as u64 + header.chunk_limit as u64 * 8;
    let fits = header.chunk_bytes as usize == CHUNK_BYTES
        && header.chunks_offset.is_multiple_of(8)
        && states_end <= header.chunks_offset as u64
        && header.chunks_offset as u64 <= file_bytes;
    if header.chunk_limit > 0 && !fits {
        return Err(not_a_region(path, "damaged header: its chunks do not fit"));
    }
    Ok(header)
}

impl Region {
    /// Makes sense of `image`; `path` is for messages, `file_bytes` the length of the whole region.
    ///
    /// # Errors
    /// Where the header is not one of a region that this version can read.
    pub(crate) fn parse(
        path: &Path,
        image: Image,
        file_bytes: u64,
        mut anomalies: Anomalies,
    ) -> Result<Region> {
        let header = check_header(path, &image, file_bytes)?;
        let strings = Strings::read(&image, &mut anomalies);
        let mut tables = directory(&image, file_bytes, &mut anomalies);
        for table in &mut tables {
            let most = table.rows as usize * table.row_bytes as usize;
            let held = image.available(table.offset, most) / table.row_bytes as usize;
            if held < table.rows as usize {
                anomalies.bad_tables += 1;
                table.rows = held as u32;
            }
        }
        let control = image.value::<Control>(resshim_format::header::CONTROL_OFFSET as u64);
        let unknown = (header.heap_mean, Vec::new(), 0);
        let (heap_mean, levels, use_clock) = control.map_or(unknown, |control| {
            let levels = control.levels.into_iter().map(|level| level.into_inner()).collect();
            (control.heap_mean.into_inner(), levels, control.use_clock.into_inner())
        });
        let chunks = header.chunks_populated.min(header.chunk_limit);
        let states = image.available(STATES_OFFSET as u64, chunks as usize * 8) / 8;
        let chunk_states = (0..states as u64)
            .filter_map(|index| image.value::<u64>(STATES_OFFSET as u64 + index * 8))
            .map(StateWord::unpack)
            .collect();
        if states < header.chunks_populated as usize {
            anomalies.bad_chunks += 1;
        }
        Ok(Region {
            header,
            strings,
            tables,
            chunk_states,
            anomalies,
            heap_mean,
            levels,
            use_clock,
            image,
        })
    }

    /// Reads a stored state (`regions/ID` of a trace).
    ///
    /// # Errors
    /// Where nothing of it can be read.
    pub fn load(path: &Path, stored: impl Read) -> Result<Region> {
        let mut anomalies = Anomalies::default();
        let image = Image::load(stored, &mut anomalies.damaged);
        // The stored state has no length of the file: what its extents hold bounds every table.
        Region::parse(path, image, u64::MAX, anomalies)
    }

    /// Writes the stored form.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn store(&self, out: impl Write) -> std::io::Result<()> {
        self.image.store(out)
    }

    /// Level of a kind as it stood, `None` for kinds without one.
    pub fn level(&self, kind: u32) -> Option<u32> {
        self.levels.get(kind as usize).copied()
    }

    /// The table of this type.
    pub fn table(&self, kind: TableType) -> Option<&TableInfo> {
        self.tables.iter().find(|table| table.kind == kind as u32)
    }

    fn rows<P: Plain>(&self, kind: TableType) -> impl Iterator<Item = P> + '_ {
        let table = self.table(kind).copied();
        let rows = table.map_or(0, |table| table.rows);
        (0..rows).filter_map(move |index| self.row::<P>(table.as_ref()?, index))
    }

    fn row<P: Plain>(&self, table: &TableInfo, index: u32) -> Option<P> {
        if index >= table.rows {
            return None;
        }
        let offset = table.offset.checked_add(index as u64 * table.row_bytes as u64)?;
        P::plain(index, self.image.row(offset, table.row_bytes as usize)?)
    }

    /// Sites in use.
    pub fn sites(&self) -> impl Iterator<Item = Site> + '_ {
        self.rows(TableType::Sites)
    }

    /// The site in this row.
    pub fn site(&self, row: u32) -> Option<Site> {
        self.row(self.table(TableType::Sites)?, row)
    }

    /// Descriptors that are not free.
    pub fn fds(&self) -> impl Iterator<Item = Fd> + '_ {
        self.fd_history().filter(|fd| !matches!(fd.state, RowState::Free | RowState::Claimed))
    }

    /// Every descriptor number that this image ever used, free ones with their last release.
    pub fn fd_history(&self) -> impl Iterator<Item = Fd> + '_ {
        self.rows(TableType::Fds)
    }

    /// The descriptor of this number, live or not.
    pub fn fd(&self, number: u32) -> Option<Fd> {
        self.row(self.table(TableType::Fds)?, number)
    }

    /// Threads: live, detached, ended and not joined.
    pub fn threads(&self) -> impl Iterator<Item = Thread> + '_ {
        self.rows(TableType::Threads)
    }

    /// Children that were not reaped.
    pub fn children(&self) -> impl Iterator<Item = Child> + '_ {
        self.rows(TableType::Children)
    }

    /// Live blocks.
    pub fn heap(&self) -> impl Iterator<Item = HeapBlock> + '_ {
        self.rows(TableType::Heap)
    }

    /// Live mappings.
    pub fn mappings(&self) -> impl Iterator<Item = Mapping> + '_ {
        self.rows(TableType::Mappings)
    }

    /// Live annotated resources.
    pub fn annotated(&self) -> impl Iterator<Item = Annotated> + '_ {
        self.rows(TableType::Annotated)
    }

    /// Modules that were registered.
    pub fn modules(&self) -> impl Iterator<Item = Module> + '_ {
        self.rows(TableType::Modules)
    }

    /// The module in this row.
    pub fn module(&self, row: u32) -> Option<Module> {
        self.row(self.table(TableType::Modules)?, row)
    }

    /// Failing calls.
    pub fn failures(&self) -> impl Iterator<Item = Failure> + '_ {
        self.rows(TableType::Failures)
    }

    /// Functions of managed languages.
    pub fn codes(&self) -> impl Iterator<Item = Code> + '_ {
        self.rows(TableType::Codes)
    }

    /// Names that the program gave to kinds, by kind number.
    pub fn kind_names(&self) -> impl Iterator<Item = (u32, String)> + '_ {
        self.rows(TableType::Kinds)
            .map(|KindName(row, name)| (resshim_format::op::FIRST_ANNOTATED_KIND + row, name))
    }

    /// Ids of the stacks in their order, up to one that is not complete: nobody knows how long that is.
    pub fn stack_ids(&self) -> impl Iterator<Item = u32> + '_ {
        let units = |stack: &Stack| 1 + (stack.frames.len() * 8).div_ceil(STACK_UNIT) as u32;
        let mut next = 1_u32;
        std::iter::from_fn(move || {
            let id = next;
            next = id.saturating_add(units(&self.stack(id)?));
            Some(id)
        })
    }

    /// The stack with this id; `None` for 0, and where it is not complete or does not fit.
    pub fn stack(&self, id: u32) -> Option<Stack> {
        let table = self.table(TableType::Stacks)?;
        if id == 0 || id >= table.rows || table.row_bytes as usize != STACK_UNIT {
            return None;
        }
        let offset = table.offset + id as u64 * STACK_UNIT as u64;
        let head: table::StackHead = self.image.value(offset)?;
        let word = head.frames.into_inner();
        let count = (word & 0xffff) as usize;
        let room = (table.rows - id - 1) as usize * (STACK_UNIT / 8);
        if count == 0 || count > room || count > MOST_FRAMES {
            return None;
        }
        let bytes = self.image.at(offset + STACK_UNIT as u64, count * 8)?;
        let frames = bytes.chunks_exact(8).map(|bytes| {
            let mut word = [0; 8];
            word.copy_from_slice(bytes);
            u64::from_le_bytes(word)
        });
        Some(Stack {
            frames: frames.collect(),
            folded: word & STACK_FOLDED != 0,
            cut: word & STACK_CUT != 0,
            no_unwind_data: word & STACK_NO_UNWIND_DATA != 0,
            epoch: head.epoch.into_inner(),
        })
    }
}

/// The tables that fit, each type once.
fn directory(image: &Image, file_bytes: u64, anomalies: &mut Anomalies) -> Vec<TableInfo> {
    let mut tables = Vec::new();
    let mut seen = HashSet::new();
    for index in 0..DIRECTORY_ENTRIES {
        let offset = (DIRECTORY_OFFSET + index * size_of::<Table>()) as u64;
        let Some(entry) = image.value::<Table>(offset) else { break };
        if entry.kind == 0 {
            break;
        }
        if !is_known(entry.kind) {
            anomalies.unknown_tables += 1;
        }
        let row_bytes = entry.row_bytes as u64;
        let populated = entry.populated.into_inner();
        let bad_row =
            row_bytes == 0 || entry.row_bytes > LARGEST_ROW || !row_bytes.is_multiple_of(8);
        if bad_row || entry.offset >= file_bytes || !seen.insert(entry.kind) {
            anomalies.bad_tables += 1;
            continue;
        }
        let fit = (file_bytes - entry.offset) / row_bytes;
        let rows = (populated.min(entry.capacity) as u64).min(fit) as u32;
        if rows < populated {
            anomalies.bad_tables += 1;
        }
        tables.push(TableInfo {
            kind: entry.kind,
            row_bytes: entry.row_bytes,
            rows,
            capacity: entry.capacity,
            offset: entry.offset,
            used: entry.used.into_inner(),
            refused: entry.refused.into_inner(),
        });
    }
    tables
}

fn is_known(kind: u32) -> bool {
    (TableType::Sites as u32..=TableType::Codes as u32).contains(&kind)
}

fn not_a_region(path: &Path, why: &str) -> Error {
    Error::input(
        path,
        why,
        "a trace is a directory that `resshim run`, `record` or the shim filled",
    )
}
