//! `double-free`: a heap block is freed that had been freed already.
//!
//! Only where every block is recorded, and by one thread's own order (see the model's `frees`).

use std::collections::BTreeMap;

use resshim_format::op::Kind;
use serde_json::json;

use super::{Analysis, Draft, Names, Options, StackRef, Words, seconds, trust};
use crate::model::Model;
use crate::model::frees::{FreeFault, FreeSuspect};
use crate::report::{ResourceRef, Severity, Verdict};

/// See the module's documentation.
pub struct DoubleFree;

impl Analysis for DoubleFree {
    fn rule(&self) -> &'static str {
        "double-free"
    }

    fn find(&self, model: &Model, _: &Options, _: &mut dyn Names) -> Vec<Draft> {
        of(model, FreeFault::Twice)
    }

    fn title(&self, _: &Draft, words: &Words) -> String {
        let first = words.other("freed_before_at").unwrap_or("somebody else");
        format!("{} frees a block that {first} had freed", words.place)
    }

    fn advice(&self, _: &Draft, words: &Words) -> String {
        let first = words.other("freed_before_at").unwrap_or("the other place");
        format!(
            "Let one of {first} and {} own the block, and clear the pointer where it is freed.",
            words.place
        )
    }
}

/// Drafts of one fault.
pub(super) fn of(model: &Model, fault: FreeFault) -> Vec<Draft> {
    model.frees.iter().filter(|free| free.fault == fault).map(|free| draft(model, free)).collect()
}

fn draft(model: &Model, free: &FreeSuspect) -> Draft {
    let image = free.image;
    let mut others = Vec::new();
    if free.before.stack != 0 {
        others.push(("freed_before_at", StackRef { image, stack: free.before.stack }));
    }
    if let Some(site) = model.sites.get(free.site as usize) {
        others.push(("acquired_at", StackRef { image, stack: site.stack }));
    }
    Draft {
        at: StackRef { image, stack: free.by.stack },
        kind: Kind::Heap.into(),
        verdict: Verdict::Probable,
        severity: Severity::Error,
        confidence: 0.95 * trust(model, image),
        count: free.count,
        bytes: None,
        resources: vec![ResourceRef {
            pid: model.images.get(image as usize).map_or(0, |image| image.pid),
            handle: format!("heap:{:#x}", free.address),
            label: String::new(),
        }],
        evidence: BTreeMap::from([("since_s".to_owned(), json!(seconds(free.by.at_ns)))]),
        others,
        lost_path: None,
    }
}
