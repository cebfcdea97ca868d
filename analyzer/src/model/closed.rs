//! Closed lifecycles, in columns.
//!
//! They come in batches of [`BATCH`] rows. Small traces never fill one: their lifetimes are sorted
//! where they lie, and polars is not woken up. Full batches become data frames; beyond
//! [`IN_MEMORY`] of them they go to an unlinked Arrow file, so that memory stays bounded however
//! long the trace is.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};

use polars::prelude::{
    Column, DataFrame, IpcReader, IpcWriter, NamedFrom, PolarsResult, SerReader, SerWriter, Series,
};

use crate::report::Lifetimes;

/// Rows of a batch.
pub const BATCH: usize = 65_536;
/// Batches that are kept in memory: 64 of 1.3 MiB.
const IN_MEMORY: usize = 64;
/// Lifetimes that quantiles are taken from; of more, a sample.
const SAMPLE: u64 = 4 << 20;

/// One closed lifecycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Site of the acquisition: index of [`super::Model::sites`].
    pub site: u32,
    /// Nanoseconds since the start of the trace.
    pub acquired_ns: u64,
    /// Nanoseconds from acquisition to release.
    pub lifetime_ns: u64,
}

#[derive(Debug, Default)]
struct Columns {
    site: Vec<u32>,
    acquired_ns: Vec<u64>,
    lifetime_ns: Vec<u64>,
}

impl Columns {
    fn take_frame(&mut self) -> PolarsResult<DataFrame> {
        let rows = std::mem::take(self);
        DataFrame::new_infer_height(vec![
            Column::from(Series::new("site".into(), rows.site)),
            Column::from(Series::new("acquired_ns".into(), rows.acquired_ns)),
            Column::from(Series::new("lifetime_ns".into(), rows.lifetime_ns)),
        ])
    }
}

/// All closed lifecycles of a trace.
#[derive(Debug, Default)]
pub struct ClosedSet {
    open: Columns,
    frames: Vec<DataFrame>,
    /// Each file holds [`IN_MEMORY`] batches.
    files: Vec<File>,
    rows: u64,
    /// Rows that could not be stored (no room for the file): quantiles do without them.
    dropped: u64,
}

/// Sorted lifetimes of one group (a kind, a site).
#[derive(Clone, Debug, Default)]
pub struct Sample {
    lifetimes_ns: Vec<u64>,
}

impl Sample {
    /// The quantile `q`, seconds; 0 where there are none.
    pub fn quantile_s(&self, q: f64) -> f64 {
        let last = self.lifetimes_ns.len().saturating_sub(1);
        let index = (q * last as f64).round() as usize;
        self.lifetimes_ns.get(index.min(last)).map_or(0.0, |ns| *ns as f64 / 1e9)
    }

    /// The quantiles of the report.
    pub fn lifetimes(&self) -> Option<Lifetimes> {
        (!self.lifetimes_ns.is_empty()).then(|| Lifetimes {
            p50: self.quantile_s(0.5),
            p90: self.quantile_s(0.9),
            p99: self.quantile_s(0.99),
            max: self.quantile_s(1.0),
        })
    }
}

impl ClosedSet {
    /// Adds one.
    #[inline]
    pub fn push(&mut self, closed: Closed) {
        self.open.site.push(closed.site);
        self.open.acquired_ns.push(closed.acquired_ns);
        self.open.lifetime_ns.push(closed.lifetime_ns);
        self.rows += 1;
        if self.open.site.len() >= BATCH {
            self.seal();
        }
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Those of [`ClosedSet::len`] that could not be stored.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn seal(&mut self) {
        match self.open.take_frame() {
            Ok(frame) => self.frames.push(frame),
            Err(_) => self.dropped += BATCH as u64,
        }
        if self.frames.len() >= IN_MEMORY {
            let frames = std::mem::take(&mut self.frames);
            let rows = frames.iter().map(|frame| frame.height() as u64).sum::<u64>();
            match spill(frames) {
                Ok(file) => self.files.push(file),
                Err(_) => self.dropped += rows,
            }
        }
    }

    /// Calls `look` with each that is stored, in no order that means anything.
    pub fn each(&self, mut look: impl FnMut(Closed)) {
        for file in &self.files {
            // A file that has become unreadable costs its rows, not the report.
            if let Ok(frame) = read_back(file) {
                let _ = each_row(&frame, &mut look);
            }
        }
        for frame in &self.frames {
            let _ = each_row(frame, &mut look);
        }
        let times = self.open.acquired_ns.iter().zip(&self.open.lifetime_ns);
        for (site, (acquired_ns, lifetime_ns)) in self.open.site.iter().zip(times) {
            look(Closed { site: *site, acquired_ns: *acquired_ns, lifetime_ns: *lifetime_ns });
        }
    }

    /// Lifetimes by group; `group` says which one (below `groups`) a site belongs to, if any.
    pub fn samples(&self, groups: usize, group: impl Fn(u32) -> Option<usize>) -> Vec<Sample> {
        let share = self.rows.div_ceil(SAMPLE).max(1);
        let mut row = 0_u64;
        let mut samples = vec![Sample::default(); groups];
        self.each(|closed| {
            row += 1;
            if !is_sampled(row, share) {
                return;
            }
            if let Some(sample) = group(closed.site).and_then(|group| samples.get_mut(group)) {
                sample.lifetimes_ns.push(closed.lifetime_ns);
            }
        });
        for sample in &mut samples {
            sample.lifetimes_ns.sort_unstable();
        }
        samples
    }
}

/// Whether one in `share` rows is this one: by a hash, since programs acquire in rhythms that would
/// beat with every n-th row.
fn is_sampled(row: u64, share: u64) -> bool {
    let mixed = (row.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ row).wrapping_mul(0xff51_afd7_ed55_8ccd);
    share == 1 || (mixed >> 33).is_multiple_of(share)
}

fn each_row(frame: &DataFrame, look: &mut impl FnMut(Closed)) -> PolarsResult<()> {
    let sites = frame.column("site")?.u32()?.into_no_null_iter();
    let acquired = frame.column("acquired_ns")?.u64()?.into_no_null_iter();
    let lifetimes = frame.column("lifetime_ns")?.u64()?.into_no_null_iter();
    for (site, (acquired_ns, lifetime_ns)) in sites.zip(acquired.zip(lifetimes)) {
        look(Closed { site, acquired_ns, lifetime_ns });
    }
    Ok(())
}

/// A file that nobody else can see and that goes with its descriptor.
fn unlinked() -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let directory = std::env::temp_dir();
    Ok(File::from(rustix::fs::open(&directory, flags, Mode::RUSR | Mode::WUSR)?))
}

fn spill(frames: Vec<DataFrame>) -> PolarsResult<File> {
    let file = unlinked()?;
    let mut frames = frames.into_iter();
    let Some(mut all) = frames.next() else { return Ok(file) };
    for frame in frames {
        all.vstack_mut_owned(frame)?;
    }
    IpcWriter::new(&file).finish(&mut all)?;
    Ok(file)
}

fn read_back(file: &File) -> PolarsResult<DataFrame> {
    let mut file = file.try_clone()?;
    file.seek(SeekFrom::Start(0))?;
    IpcReader::new(file).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(rows: u64) -> ClosedSet {
        let mut set = ClosedSet::default();
        for row in 0..rows {
            let site = (row % 2) as u32;
            let lifetime_ns = if site == 0 { 1_000_000_000 } else { row };
            set.push(Closed { site, acquired_ns: row, lifetime_ns });
        }
        set
    }

    #[test]
    fn a_small_trace_and_a_spilled_one_give_the_same_quantiles() {
        for rows in [1000, BATCH as u64 * (IN_MEMORY as u64 + 2) + 10] {
            let set = filled(rows);
            assert_eq!((set.len(), set.dropped()), (rows, 0));
            assert_eq!(set.files.len(), (rows > 1000) as usize);
            let samples = set.samples(2, |site| Some(site as usize));
            assert_eq!(samples[0].quantile_s(0.5), 1.0);
            let median = samples[1].quantile_s(0.5) * 1e9 / rows as f64;
            assert!((0.49..0.51).contains(&median), "{median}");
            let none = set.samples(1, |_| None);
            assert!(none[0].lifetimes().is_none());
        }
    }
}
