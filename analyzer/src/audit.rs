//! The public types of an audit trail: what `resshim audit --format json` prints, one line a step, and
//! what its table shows.
//!
//! Scripts outside this repository read these keys: add freely, rename or remove nothing.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::report::Site;

/// One thing that happened to a resource: one line of JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Line {
    /// Number of the resource in this trail; `null`: a failed call that was about none.
    pub resource: Option<u32>,
    /// Word of the contract, or one that an annotation named.
    pub kind: String,
    /// Seconds since the trace began.
    pub at_s: f64,
    /// Process that did it.
    pub pid: u32,
    /// Which image of it: 1, 2, …
    pub image: u32,
    /// Thread that did it, 0 where no thread did.
    pub tid: u32,
    /// The call as the manual names it, or what happened without one: `fork` (a child has it too), `exec`
    /// (the next image has it), `closed by exec`, `vanished`, `process ended`, `left out`.
    pub event: String,
    /// `acquire`, `alias`, `release`, `transfer`, `state`, `failed`, `end`, `mark`.
    pub effect: String,
    /// `fd:7`, `heap:0xADDRESS`, …; empty where the call failed before there was one.
    pub handle: String,
    /// The handle that this is another one of.
    pub alias_of: Option<String>,
    /// Arguments as they were recorded.
    pub arguments: BTreeMap<String, String>,
    /// Path, address, name.
    pub label: String,
    /// Process that has the resource too from now on (`fork`), or goes on with it (`exec`).
    pub to_pid: Option<u32>,
    /// Call stack.
    pub site: Site,
}

/// A resource with its steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trail {
    /// Its number.
    pub number: u32,
    /// Kind.
    pub kind: String,
    /// Its first handle.
    pub handle: String,
    /// Path, address, name.
    pub label: String,
    /// Program that was seen with it first, and its pid.
    pub program: (String, u32),
    /// When it was acquired, if that was seen.
    pub acquired_s: Option<f64>,
    /// When its life was over.
    pub over_s: Option<f64>,
    /// How it stands in the end, in words.
    pub end: String,
    /// Steps.
    pub lines: Vec<Line>,
    /// So many are left out, behind `left_out.0` of them.
    pub left_out: (usize, u64),
}

/// What is handed to a view, in portions.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// A resource.
    Trail(Trail),
    /// A step, or a failed call that is about no resource.
    Line(Line),
}

/// What stood in the trace beside the parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Resources and single steps that were handed on.
    pub shown: u64,
    /// Events of the trace.
    pub events: u64,
    /// Events that were lost: they are in no trail.
    pub events_lost: u64,
    /// What else is to be known.
    pub remarks: Vec<String>,
}
