//! From what images told to what happened: lifecycles, live resources, sites, totals.
//!
//! [`fold::Fold`] takes the events in the order of time, [`finish`] puts the tables beside them. The
//! model never fails and does no input or output: what does not fit is counted. State from tables is
//! exact and wins over history: a lost event never makes a leak.

mod after_exit;
pub mod closed;
pub mod closes;
pub mod errno;
pub mod finish;
pub mod fold;
pub mod frees;
pub mod hash;
pub mod image;
pub mod kind;
pub mod mappings;
mod merge;
pub mod process;
pub mod resource;
pub mod runtimes;
pub mod series;
pub mod trail;
pub mod uses;

use std::collections::BTreeMap;

use self::closed::ClosedSet;
use self::closes::CloseSuspect;
use self::frees::FreeSuspect;
use self::image::Image;
use self::kind::{KindId, KindNames};
use self::process::Life;
use self::resource::{Live, SiteStats};
use self::series::Flow;
use crate::report::{Lifetimes, Series};

/// Everything that analyses look at.
#[derive(Debug)]
pub struct Model<'a> {
    /// Images, in the order of the trace.
    pub images: &'a [Image],
    /// Life of each.
    pub lives: Vec<Life>,
    /// Words of the kinds.
    pub kind_names: KindNames,
    /// Sites of all images.
    pub sites: Vec<SiteStats>,
    /// What was live when its image was last seen.
    pub live: Vec<Live>,
    /// Totals by kind.
    pub kinds: Vec<KindStats>,
    /// Closes that do not fit.
    pub closes: Vec<CloseSuspect>,
    /// Frees that do not fit.
    pub frees: Vec<FreeSuspect>,
    /// Lifecycles that have closed.
    pub closed: ClosedSet,
    /// Most descriptors that each image held at a time, those of others included.
    pub fd_peaks: Vec<u64>,
    /// Steps of the budget.
    pub steps: Vec<StepTaken>,
    /// How long resources are expected to be held, as the program says: image, kind, nanoseconds.
    pub expected: Vec<(u32, KindId, f64)>,
    /// Events that did not fit.
    pub anomalies: fold::Anomalies,
    /// Events of the trace.
    pub events: u64,
    /// End of the trace, ns since its start.
    pub end_ns: u64,
}

impl Model<'_> {
    /// When an image ended, or when it was last seen.
    pub fn end_of(&self, image: u32) -> u64 {
        let life = self.lives.get(image as usize);
        life.and_then(|life| life.ended_ns).unwrap_or(self.end_ns)
    }
}

/// Totals of a kind.
#[derive(Clone, Debug)]
pub struct KindStats {
    /// Which.
    pub kind: KindId,
    /// Acquired in all.
    pub acquired: u64,
    /// Released in all.
    pub released: u64,
    /// Not released by the end of its image or of the trace, as weights: of all images together, which
    /// may never have been live at one time.
    pub live_weight: f64,
    /// Most that were live at one time.
    pub peak: u64,
    /// Bytes acquired.
    pub acquired_bytes: u64,
    /// Bytes live.
    pub live_bytes: u64,
    /// Highest live bytes.
    pub peak_bytes: u64,
    /// Sum of the squares of the samples' weights.
    pub weight_squares: f64,
    /// Failed acquisitions by the errno's name.
    pub failed: BTreeMap<String, u64>,
    /// Quantiles of lifetimes.
    pub lifetimes: Option<Lifetimes>,
    /// Counts over time.
    pub series: Series,
    flow: Option<Box<Flow>>,
}

impl KindStats {
    fn new(kind: KindId) -> KindStats {
        KindStats {
            kind,
            acquired: 0,
            released: 0,
            live_weight: 0.0,
            peak: 0,
            acquired_bytes: 0,
            live_bytes: 0,
            peak_bytes: 0,
            weight_squares: 0.0,
            failed: BTreeMap::new(),
            lifetimes: None,
            series: Series::default(),
            flow: None,
        }
    }

    /// Live in the end.
    pub fn live(&self) -> u64 {
        self.live_weight.round() as u64
    }
}

/// The shim tracked a kind less closely from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepTaken {
    /// Index of the image.
    pub image: u32,
    /// When.
    pub at_ns: u64,
    /// Kind.
    pub kind: KindId,
    /// New level.
    pub level: u8,
    /// Number of the reason.
    pub reason: u16,
    /// The new mean, or another value of the reason.
    pub value: u64,
}
