//! A batch that is being filled.

use std::collections::HashMap;

use crate::source::generated::Batch;

/// Longest name that is kept.
const LONGEST_NAME: usize = 4096;

/// Fills a [`Batch`]; each string is kept once.
#[derive(Debug, Default)]
pub struct Filling {
    batch: Batch,
    strings: HashMap<String, u32>,
    bytes: usize,
}

impl Filling {
    /// Adds a code: where it lies, what it is called, when it was made (0 = the map does not tell).
    pub fn code(&mut self, start: u64, size: u64, name: &[u8], made_ns: u64) {
        let name = self.string(name);
        self.batch.starts.push(start);
        self.batch.sizes.push(size);
        self.batch.names.push(name);
        if made_ns != 0 || !self.batch.made_ns.is_empty() {
            // Those before it were not told.
            self.batch.made_ns.resize(self.batch.starts.len() - 1, 0);
            self.batch.made_ns.push(made_ns);
        }
        self.bytes += 32;
    }

    /// Adds a line of the code that was added last.
    pub fn line(&mut self, address: u64, line: u32, file: &[u8]) {
        let Some(code) = self.batch.starts.len().checked_sub(1) else { return };
        let file = self.string(file);
        self.batch.line_codes.push(code as u32);
        self.batch.line_addresses.push(address);
        self.batch.lines.push(line);
        self.batch.line_files.push(file);
        self.bytes += 20;
    }

    /// Bytes that it takes, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What was filled in, of what was written after `since_ns`.
    pub fn finish(self, since_ns: u64) -> Batch {
        Batch { since_ns, ..self.batch }
    }

    fn string(&mut self, text: &[u8]) -> u32 {
        let text = String::from_utf8_lossy(text.get(..LONGEST_NAME).unwrap_or(text));
        if let Some(index) = self.strings.get(text.as_ref()) {
            return *index;
        }
        let index = self.batch.strings.len() as u32;
        self.bytes += text.len();
        self.batch.strings.push(text.clone().into_owned());
        self.strings.insert(text.into_owned(), index);
        index
    }
}
