//! What was released after the phase `exit` of its image: a runtime that tears itself down closes everything
//! that the program had forgotten. It counts as still open at exit, as if it had not been released.
//!
//! Threads and children are left out: one that still ran when the phase began is no leak, and whether it
//! did is not known here.

use std::collections::HashMap;

use resshim_format::table::RowState;

use super::hash::WordMap;
use super::kind::KindId;
use super::resource::{Handle, Live};

/// Resources of a site that are kept one by one; the rest of a site stand with its last.
const OF_A_SITE: u32 = 4096;

/// One that is released, as the fold knows it.
pub(super) struct Released {
    pub image: u32,
    pub site: u32,
    pub kind: KindId,
    pub handle: Handle,
    pub acquired_ns: u64,
    pub bytes: u64,
    pub weight: u32,
    pub label: Box<str>,
}

/// All of a trace.
#[derive(Debug, Default)]
pub(super) struct AfterExit {
    /// When the phase began, by image.
    phases: HashMap<u32, u64>,
    left: Vec<Live>,
    /// By site: how many are kept, and the last of them.
    last: WordMap<(u32, usize)>,
}

impl AfterExit {
    /// The phase begins; a second time it has begun already.
    pub fn begins(&mut self, image: u32, at_ns: u64) {
        self.phases.entry(image).or_insert(at_ns);
    }

    /// Whether the image is in that phase.
    pub fn has_begun(&self, image: u32) -> bool {
        !self.phases.is_empty() && self.phases.contains_key(&image)
    }

    /// Whether the image releases now what was open when its phase began.
    pub fn holds(&self, image: u32, acquired_ns: u64) -> bool {
        !self.phases.is_empty()
            && self.phases.get(&image).is_some_and(|begun| acquired_ns <= *begun)
    }

    /// Keeps one.
    pub fn keep(&mut self, released: Released) {
        let (weight, next) = (released.weight as f64, self.left.len());
        let last = self.last.entry(released.site as u64).or_insert((0, next));
        if last.0 >= OF_A_SITE {
            if let Some(live) = self.left.get_mut(last.1) {
                live.weight += weight;
                live.bytes = live.bytes.saturating_add(released.bytes);
            }
            return;
        }
        *last = (last.0 + 1, next);
        self.left.push(Live {
            image: released.image,
            site: Some(released.site),
            kind: released.kind,
            handle: released.handle,
            state: RowState::Live,
            acquired_ns: released.acquired_ns,
            ended_ns: None,
            last_use_ns: None,
            use_is_known: false,
            has_ended: false,
            is_watched: false,
            bytes: released.bytes,
            weight,
            is_foreign: false,
            is_cloexec: false,
            is_passed_on: false,
            label: released.label,
        });
    }

    /// What was kept.
    pub fn left(&self) -> &[Live] {
        &self.left
    }
}
