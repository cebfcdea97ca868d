//! What the shim left in a directory, read with the analyzer's readers.

use std::collections::HashSet;
use std::path::Path;

use resshim_analyzer::source::frame::Frames;
use resshim_analyzer::source::index::read_index;
use resshim_analyzer::source::open::Access;
use resshim_analyzer::source::region::{Region, RegionFile, parse_file_name};
use resshim_format::index::IndexRow;
use resshim_format::op::Op;
use resshim_format::record::Failure;
use resshim_format::ring::reader::Records;

/// One record, with what tests ask of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Counter at the event.
    pub tsc: u64,
    /// Thread.
    pub tid: u32,
    /// Operation; of a failed call: the one that failed.
    pub op: Op,
    /// Errno of a failed call.
    pub errno: Option<u16>,
    /// Words behind the header.
    pub words: Vec<u64>,
    /// Its label.
    pub label: Option<String>,
    /// Id of its stack, 0 = none.
    pub stack: u32,
}

/// A region: its tables and its records in the order of time.
#[derive(Debug)]
pub struct Image {
    /// Header and tables.
    pub region: Region,
    /// All that the ring still has.
    pub events: Vec<Event>,
}

/// All that stands in a directory.
#[derive(Debug)]
pub struct Traces {
    /// Regions in the order of their start.
    pub images: Vec<Image>,
    /// Rows of the index.
    pub index: Vec<IndexRow>,
}

impl Traces {
    /// Reads a directory that a bare preload has written to. Panics on what is broken.
    pub fn of(directory: &Path) -> Traces {
        let entries = std::fs::read_dir(directory).expect("directory of traces");
        let mut images: Vec<Image> = entries
            .map(|entry| entry.expect("directory entry"))
            .filter(|entry| parse_file_name(&entry.file_name().to_string_lossy()).is_some())
            .map(|entry| image(&entry.path()))
            .collect();
        images.sort_by_key(|image| image.region.header.start_tsc);
        let (index, _) = read_index(directory).unwrap_or_default();
        Traces { images, index }
    }

    /// All events of all images.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.images.iter().flat_map(|image| &image.events)
    }
}

fn image(path: &Path) -> Image {
    let file = RegionFile::open(path, Access::Read)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let region = file.read().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut events = Vec::new();
    for index in 0..file.chunks() {
        let Some(chunk) = file.copy_chunk(index) else { continue };
        let mut records = chunk.records();
        for record in &mut records {
            let mut text = [0; 4096];
            let label = record.text(0, &mut text);
            let label = label.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            let failure = (record.op == Op::Failed).then(|| Failure::unpack(record.word(1)));
            let op = failure.and_then(|failure| Op::from_number(failure.op)).unwrap_or(record.op);
            events.push(Event {
                tsc: record.tsc,
                tid: record.tid,
                op,
                errno: failure.map(|failure| failure.errno),
                words: record.words.to_vec(),
                label,
                stack: record.stack,
            });
        }
        assert_eq!(records.anomalies, Default::default(), "chunk {index} of {}", path.display());
    }
    events.sort_by_key(|event| event.tsc);
    Image { region, events }
}

/// How many opens of `wanted` the frames of a trace tell. A collector that was killed between writing a
/// frame and freeing its chunk leaves it to the next one, which writes it again: doubles are dropped as readers do.
pub fn opens_of(trace: &Path, wanted: &str) -> usize {
    let frames = Frames::open(trace).expect("events");
    let list = frames.list().expect("frames");
    assert_eq!(list.damaged_bytes, 0);
    let mut seen = HashSet::new();
    for frame in &list.frames {
        let words = frames.load(frame).expect("a whole frame");
        for record in Records::new(&words).filter(|record| record.op == Op::Open) {
            if record.text(0, &mut [0; 256]) == Some(wanted.as_bytes()) {
                seen.insert((
                    frame.head.region,
                    frame.head.fill,
                    frame.head.from as usize + record.at,
                ));
            }
        }
    }
    seen.len()
}
