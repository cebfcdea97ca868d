//! `bad-close`: a descriptor is closed that belongs to a stream (`FILE`, `DIR`).
//!
//! The stream still has the number: its own close fails later, or hits what was opened in between.
//! Proven where the stream was closed too, later; else only possible, since a program may abandon a stream on
//! purpose. Not in a fork child before exec, and not by sites that sweep.

use std::collections::BTreeMap;

use resshim_format::op::Kind;
use serde_json::json;

use super::double_close::is_before_exec;
use super::{Analysis, Draft, Names, Options, StackRef, Words, seconds, trust};
use crate::model::Model;
use crate::model::closes::{CloseSuspect, Fault};
use crate::report::{ResourceRef, Severity, Verdict};

/// See the module's documentation.
pub struct BadClose;

impl Analysis for BadClose {
    fn rule(&self) -> &'static str {
        "bad-close"
    }

    fn find(&self, model: &Model, _: &Options, _: &mut dyn Names) -> Vec<Draft> {
        let under = model.closes.iter().filter(|close| close.fault == Fault::UnderStream);
        let real = under.filter(|close| !is_before_exec(model, close.image));
        real.map(|close| draft(model, close)).collect()
    }

    fn title(&self, _: &Draft, words: &Words) -> String {
        format!("{} closes the descriptor of a stream that stays open", words.place)
    }

    fn advice(&self, _: &Draft, words: &Words) -> String {
        let opened = words.other("acquired_at").map_or(String::new(), |at| format!(" from {at}"));
        format!(
            "Close the stream{opened} with fclose or closedir in {}, and leave its descriptor alone.",
            words.place
        )
    }
}

fn draft(model: &Model, close: &CloseSuspect) -> Draft {
    let image = close.image;
    let site = close.site.and_then(|site| model.sites.get(site as usize));
    let others = site.map(|site| ("acquired_at", StackRef { image, stack: site.stack }));
    let (verdict, severity) = match close.is_confirmed {
        true => (Verdict::Probable, Severity::Error),
        false => (Verdict::Possible, Severity::Info),
    };
    Draft {
        at: StackRef { image, stack: close.by.stack },
        kind: site.map_or(Kind::File.into(), |site| site.kind),
        verdict,
        severity,
        confidence: if close.is_confirmed { 0.95 } else { 0.5 } * trust(model, image),
        count: close.count,
        bytes: None,
        resources: vec![ResourceRef {
            pid: model.images.get(image as usize).map_or(0, |image| image.pid),
            handle: format!("fd:{}", close.handle.number),
            label: String::new(),
        }],
        evidence: BTreeMap::from([
            ("since_s".to_owned(), json!(seconds(close.by.at_ns))),
            ("stream_closed_later".to_owned(), json!(close.is_confirmed)),
        ]),
        others: others.into_iter().collect(),
        lost_path: None,
    }
}
