//! `invalid-free`: an address is freed that lies inside a block.
//!
//! Only where every block is recorded. An address that no block holds is not judged: memory from
//! before the shim, from a parent, from another allocator is freed rightly every day.

use super::double_free::of;
use super::{Analysis, Draft, Names, Options, Words};
use crate::model::Model;
use crate::model::frees::FreeFault;

/// See the module's documentation.
pub struct InvalidFree;

impl Analysis for InvalidFree {
    fn rule(&self) -> &'static str {
        "invalid-free"
    }

    fn find(&self, model: &Model, _: &Options, _: &mut dyn Names) -> Vec<Draft> {
        of(model, FreeFault::Inside)
    }

    fn title(&self, _: &Draft, words: &Words) -> String {
        let from = words.other("acquired_at").map_or(String::new(), |at| format!(" from {at}"));
        format!("{} frees an address inside a block{from}", words.place)
    }

    fn advice(&self, _: &Draft, words: &Words) -> String {
        format!("Keep the pointer that the allocator gave and free that one in {}.", words.place)
    }
}
