//! Two small files of a directory of traces that every process of it shares.
//!
//! `index` is a log of 64-byte rows, appended with one `write` each (`O_APPEND`): a row that begins
//! an image, a row that ends it. A row cut short by a full disk or a kill is skipped: readers look at
//! multiples of 64 bytes and at `check`.
//!
//! `quota` is one page: the bytes that all files of the shim in the directory have been promised.

use core::sync::atomic::AtomicU64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Name of the index in its directory.
pub const INDEX_FILE: &str = "index";
/// Name of the quota page in its directory.
pub const QUOTA_FILE: &str = "quota";
/// A region's file is named `PID-REGIONID.region`, the id as 16 hexadecimal digits.
pub const REGION_SUFFIX: &str = ".region";

/// What a row of the index says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum IndexEvent {
    /// An image began.
    Begin = 1,
    /// An image ended; `region` = 0: it had nothing to tell.
    End = 2,
    /// A fork child made a region.
    Child = 3,
    /// An image could not make a region although it had something to tell; `status` = errno.
    Refused = 4,
}

/// A row of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct IndexRow {
    /// [`INDEX_CHECK`] xor the xor of words 1 to 7.
    pub check: u64,
    /// Process.
    pub pid: u32,
    /// Its parent at that moment.
    pub parent_pid: u32,
    /// Start of the process in clock ticks since boot.
    pub start_ticks: u64,
    /// Region of the image, 0 = none (yet).
    pub region: u64,
    /// `CLOCK_MONOTONIC` at that moment, nanoseconds.
    pub monotonic_ns: u64,
    /// Number of the [`IndexEvent`].
    pub event: u16,
    /// Number of the [`crate::header::End`] for `End`.
    pub end: u16,
    /// Exit status, or errno.
    pub status: u32,
    /// First bytes of the executable's name, NUL-padded.
    pub name: [u8; 16],
}
/// See [`IndexRow::check`].
pub const INDEX_CHECK: u64 = u64::from_le_bytes(*b"resshimi");

impl IndexRow {
    /// The row with its check word set.
    pub fn sealed(mut self) -> IndexRow {
        self.check = INDEX_CHECK ^ self.fold();
        self
    }
    /// Whether the check word fits.
    pub fn is_whole(&self) -> bool {
        self.check == INDEX_CHECK ^ self.fold()
    }
    fn fold(&self) -> u64 {
        let bytes = self.as_bytes();
        let mut fold = 0;
        let mut at = 8;
        while at + 8 <= bytes.len() {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            fold ^= u64::from_le_bytes(word).rotate_left(at as u32);
            at += 8;
        }
        fold
    }
}

/// The quota page.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct Quota {
    /// Bytes that living and left-behind regions have been promised.
    pub promised: AtomicU64,
    /// Regions that could not be made, or got no event history, for whatever reason.
    pub refused: AtomicU64,
    /// `CLOCK_MONOTONIC` when the living alone were last found to exceed the limit, nanoseconds.
    pub in_vain_ns: AtomicU64,
}

const _: () = assert!(core::mem::size_of::<IndexRow>() == 64);
