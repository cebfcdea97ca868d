//! The index of a directory of traces: which images began and ended.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use resshim_format::index::{INDEX_FILE, IndexRow};
use zerocopy::FromBytes;

use super::open::{self, Access};
use crate::error::{Error, Result};

const ROW_BYTES: usize = size_of::<IndexRow>();
/// Rows that are read at once.
const BATCH_ROWS: usize = 1024;

/// Reads the rows of an index as they are appended.
#[derive(Debug)]
pub struct IndexReader {
    path: PathBuf,
    file: Option<File>,
    offset: u64,
    /// Rows that were not whole.
    pub damaged: u64,
}

impl IndexReader {
    /// For the index of `directory`, from byte `offset` on; it need not be there yet.
    pub fn new(directory: &Path, offset: u64) -> IndexReader {
        IndexReader { path: directory.join(INDEX_FILE), file: None, offset, damaged: 0 }
    }

    /// Bytes that were passed.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The rows that came since the last call.
    ///
    /// # Errors
    /// Where the file cannot be opened or read; that it is not there yet is no error.
    pub fn new_rows(&mut self) -> Result<Vec<IndexRow>> {
        if self.file.is_none() {
            match open::regular(&self.path, Access::Read) {
                Ok(file) => self.file = Some(file),
                Err(error) if open::is_missing(&error) => return Ok(Vec::new()),
                Err(error) => return Err(error),
            }
        }
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let mut rows = Vec::new();
        let mut batch = vec![0; BATCH_ROWS * ROW_BYTES];
        loop {
            let read = file
                .read_at(&mut batch, self.offset)
                .map_err(|source| Error::io(&self.path, source))?;
            let bytes = &batch[..read];
            let mut at = 0;
            while let Some(row) = row_at(bytes, at) {
                if row.is_whole() {
                    rows.push(row);
                    at += ROW_BYTES;
                    continue;
                }
                self.damaged += 1;
                // A row that was cut short moves those behind it: look for the next whole one.
                let step = (1..ROW_BYTES)
                    .find(|step| row_at(bytes, at + step).is_some_and(|row| row.is_whole()));
                at += step.unwrap_or(ROW_BYTES);
            }
            self.offset += at as u64;
            if read < batch.len() {
                return Ok(rows);
            }
        }
    }
}

fn row_at(bytes: &[u8], at: usize) -> Option<IndexRow> {
    IndexRow::read_from_bytes(bytes.get(at..at + ROW_BYTES)?).ok()
}

/// All whole rows of the index of `directory`, and how many were not whole.
///
/// # Errors
/// As [`IndexReader::new_rows`].
pub fn read_index(directory: &Path) -> Result<(Vec<IndexRow>, u64)> {
    let mut reader = IndexReader::new(directory, 0);
    let rows = reader.new_rows()?;
    Ok((rows, reader.damaged))
}

/// The executable's name as a row has it.
pub fn name(row: &IndexRow) -> String {
    let length = row.name.iter().position(|byte| *byte == 0).unwrap_or(row.name.len());
    String::from_utf8_lossy(&row.name[..length]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::IntoBytes;

    fn row(pid: u32) -> IndexRow {
        let mut name = [0; 16];
        name[..3].copy_from_slice(b"cat");
        let row = IndexRow {
            check: 0,
            pid,
            parent_pid: 1,
            start_ticks: 7,
            region: 9,
            monotonic_ns: 1,
            event: 1,
            end: 0,
            status: 0,
            name,
        };
        row.sealed()
    }

    #[test]
    fn a_row_cut_short_by_a_full_disk_hides_none_behind_it() {
        let directory = std::env::temp_dir().join(format!("resshim-index2-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let mut bytes = row(1).as_bytes()[..24].to_vec();
        bytes.extend(row(2).as_bytes());
        bytes.extend(row(3).as_bytes());
        std::fs::write(directory.join(INDEX_FILE), &bytes).unwrap();
        let (rows, damaged) = read_index(&directory).unwrap();
        assert_eq!((rows[0].pid, rows[1].pid, damaged), (2, 3, 1));
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn rows_come_once_and_a_damaged_one_is_counted() {
        let directory = std::env::temp_dir().join(format!("resshim-index-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join(INDEX_FILE);
        let mut bytes = row(1).as_bytes().to_vec();
        let mut bad = row(2).as_bytes().to_vec();
        bad[20] ^= 1;
        bytes.extend(bad);
        bytes.extend(&row(3).as_bytes()[..40]);
        std::fs::write(&path, &bytes).unwrap();
        let mut reader = IndexReader::new(&directory, 0);
        let rows = reader.new_rows().unwrap();
        assert_eq!(rows.iter().map(|row| row.pid).collect::<Vec<_>>(), [1]);
        assert_eq!((reader.damaged, name(&rows[0]).as_str()), (1, "cat"));
        bytes.extend(&row(3).as_bytes()[40..]);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(reader.new_rows().unwrap()[0].pid, 3);
        assert!(reader.new_rows().unwrap().is_empty());
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
