//! `double-close`: a number is closed that had been closed already.
//!
//! Healthy programs close wrongly: shells before an exec, daemons that sweep. A finding only where
//! this image acquired and released that very lifetime of the number, and either two sites are
//! involved or another thread could have got the number in between; sites that sweep were taken out
//! by the model. In a fork child that goes on to exec nothing can be hurt, and a shell of one thread
//! closes the pipe ends that its children share more than once to be safe: for information.

use std::collections::BTreeMap;

use resshim_format::op::Kind;
use serde_json::json;

use super::{Analysis, Draft, Names, Options, StackRef, Words, seconds, trust};
use crate::model::Model;
use crate::model::closes::{CloseSuspect, Fault};
use crate::model::process::Ending;
use crate::report::{ResourceRef, Severity, Verdict};

/// See the module's documentation.
pub struct DoubleClose;

impl Analysis for DoubleClose {
    fn rule(&self) -> &'static str {
        "double-close"
    }

    fn find(&self, model: &Model, _: &Options, _: &mut dyn Names) -> Vec<Draft> {
        let twice = model.closes.iter().filter(|close| close.fault == Fault::Twice);
        let real = twice.filter(|close| close.has_threads || close.by.stack != close.before.stack);
        real.map(|close| draft(model, close)).collect()
    }

    fn title(&self, draft: &Draft, words: &Words) -> String {
        let times =
            if draft.count == 1 { "once".to_owned() } else { format!("{} times", draft.count) };
        let first = words.other("closed_before_at").unwrap_or("somebody else");
        format!("{} closes, {times}, what {first} had closed", words.place)
    }

    fn advice(&self, _: &Draft, words: &Words) -> String {
        let first = words.other("closed_before_at").unwrap_or("the other place");
        if first == words.place {
            return format!(
                "Close the descriptor once in {first}, and set the variable to -1 there. When another \
                 thread opens something in between, the second close hits that."
            );
        }
        format!(
            "Let one of {first} and {} own the descriptor, and set the variable to -1 where it is \
             closed. When another thread opens something in between, the second close hits that.",
            words.place
        )
    }
}

fn draft(model: &Model, close: &CloseSuspect) -> Draft {
    let image = close.image;
    let is_before_exec = is_before_exec(model, image);
    let site = close.site.and_then(|site| model.sites.get(site as usize));
    let mut others = vec![("closed_before_at", StackRef { image, stack: close.before.stack })];
    if let Some(site) = site {
        others.push(("acquired_at", StackRef { image, stack: site.stack }));
    }
    let evidence = BTreeMap::from([
        ("since_s".to_owned(), json!(seconds(close.by.at_ns))),
        ("after_s".to_owned(), json!(seconds(close.by.at_ns.abs_diff(close.before.at_ns)))),
        ("has_threads".to_owned(), json!(close.has_threads)),
        ("threads".to_owned(), json!([close.before.tid, close.by.tid])),
    ]);
    let is_harmless = is_before_exec || (close.has_forked && !close.has_threads);
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

/// A fork child that went on to exec: what it closes is its own short life.
pub(super) fn is_before_exec(model: &Model, image: u32) -> bool {
    let is_child = model.images.get(image as usize).is_some_and(|image| image.is_fork_child());
    let life = model.lives.get(image as usize);
    is_child && life.is_some_and(|life| life.ending == Ending::Exec)
}
