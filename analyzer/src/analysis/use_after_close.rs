//! `use-after-close`: a read, write, send, receive or wait names a number that its process has closed.
//!
//! The call has failed, and nothing was hurt. But where another thread opens something in between, the next
//! such call reads from or writes to that. A finding only where this image acquired and released that very
//! lifetime of the number; the site that closed it is named. Healthy programs do it too: those that try one
//! number after the other were taken out by the model; a standard stream that is written to once more at the
//! end is none; in a fork child that goes on to exec, and in the last moments of a process that closes
//! everything to have its threads end, it is for information.

use std::collections::BTreeMap;

use resshim_format::op::Kind;
use serde_json::json;

use super::double_close::is_before_exec;
use super::{Analysis, Draft, Names, Options, StackRef, Words, seconds, trust};
use crate::model::Model;
use crate::model::closes::{CloseSuspect, Fault};
use crate::report::{ResourceRef, Severity, Verdict};

/// Standard streams: closed and written to in any order as a program ends.
const STANDARD: u32 = 3;
/// The last moments of a process.
const LAST_NS: u64 = 1_000_000_000;

/// See the module's documentation.
pub struct UseAfterClose;

impl Analysis for UseAfterClose {
    fn rule(&self) -> &'static str {
        "use-after-close"
    }

    fn find(&self, model: &Model, _: &Options, _: &mut dyn Names) -> Vec<Draft> {
        let used = model.closes.iter().filter(|close| close.fault == Fault::Used);
        let own = used.filter(|close| close.handle.number >= STANDARD);
        own.map(|close| draft(model, close)).collect()
    }

    fn title(&self, draft: &Draft, words: &Words) -> String {
        let times =
            if draft.count == 1 { "once".to_owned() } else { format!("{} times", draft.count) };
        let closer = words.other("closed_at").unwrap_or("somebody");
        format!("{} uses, {times}, what {closer} has closed", words.place)
    }

    fn advice(&self, _: &Draft, words: &Words) -> String {
        let closer = words.other("closed_at").unwrap_or("whoever closes it");
        format!(
            "Have {closer} close the descriptor only when nobody uses it any more, and set the variable \
             to -1 there. When another thread opens something in between, {} reads or writes that.",
            words.place
        )
    }
}

fn draft(model: &Model, close: &CloseSuspect) -> Draft {
    let image = close.image;
    let site = close.site.and_then(|site| model.sites.get(site as usize));
    let mut others = vec![("closed_at", StackRef { image, stack: close.before.stack })];
    if let Some(site) = site {
        others.push(("acquired_at", StackRef { image, stack: site.stack }));
    }
    let other_thread = close.before.tid != close.by.tid;
    let evidence = BTreeMap::from([
        ("since_s".to_owned(), json!(seconds(close.by.at_ns))),
        ("after_s".to_owned(), json!(seconds(close.by.at_ns.abs_diff(close.before.at_ns)))),
        ("has_threads".to_owned(), json!(close.has_threads)),
        ("threads".to_owned(), json!([close.before.tid, close.by.tid])),
    ]);
    let life = model.lives.get(image as usize);
    let is_last = life
        .and_then(|life| life.ended_ns)
        .is_some_and(|end| end.saturating_sub(close.before.at_ns) < LAST_NS);
    // Closing is a common way to have other threads end, though not a sound one.
    let is_harmless = is_before_exec(model, image) || is_last && other_thread && close.count <= 2;
    let (verdict, severity, confidence) = match (is_harmless, close.has_threads) {
        (true, _) => (Verdict::Possible, Severity::Info, 0.3),
        (false, true) => (Verdict::Probable, Severity::Error, 0.95),
        (false, false) => (Verdict::Probable, Severity::Warning, 0.9),
    };
    Draft {
        at: StackRef { image, stack: close.by.stack },
        kind: site.map_or(Kind::File.into(), |site| site.kind),
        verdict,
        severity,
        confidence: confidence * trust(model, image),
        count: close.count,
        bytes: None,
        resources: vec![ResourceRef {
            pid: model.images.get(image as usize).map_or(0, |image| image.pid),
            handle: format!("fd:{}", close.handle.number),
            label: String::new(),
        }],
        evidence,
        others,
        lost_path: None,
    }
}
