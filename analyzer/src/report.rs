//! The report: the public JSON of `--format json` (schema `resshim.report/1`), and what every view shows.
//!
//! Scripts outside this repository read these keys: add freely, rename or remove nothing.
//! `resshim schema` prints the JSON Schema that is generated from these types. Fields that only
//! views need are `#[serde(skip)]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Value of [`Report::schema`].
pub const SCHEMA: &str = "resshim.report/1";

/// A whole report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// `resshim.report/1`.
    pub schema: String,
    /// Which trace, of what, how complete.
    pub trace: TraceInfo,
    /// Every process image, in order of its start.
    pub processes: Vec<Process>,
    /// Totals by kind of resource.
    pub kinds: Vec<KindTotals>,
    /// What was found, worst first.
    pub findings: Vec<Finding>,
    /// Cycles of the dependency graph.
    pub cycles: Vec<Cycle>,
    /// Limits reached or approached.
    pub alerts: Vec<Alert>,
    /// What the shim cost.
    pub overhead: Overhead,
    /// What the reader should know about this report.
    pub diagnostics: Vec<Diagnostic>,
    /// Live resources at the end that no rule judged (`still-open`), by kind.
    #[serde(default)]
    pub unjudged: BTreeMap<String, u64>,
    /// Limits that the processes live under, the nearest first.
    #[serde(default)]
    pub limits: Vec<Limit>,
}

/// A limit, and how near a process came to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Limit {
    /// `RLIMIT_NOFILE`, `RLIMIT_NPROC`, `memory.max`, `pids.max`, …
    pub name: String,
    /// Process that came nearest.
    pub pid: u32,
    /// Kind that fills it, empty if it is more than one.
    pub kind: String,
    /// Highest use.
    pub used: f64,
    /// The limit.
    pub limit: f64,
    /// Seconds until it is reached, if the use grows on as it did.
    pub eta_s: Option<f64>,
}

/// Which trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TraceInfo {
    /// Directory or packed file.
    pub path: String,
    /// Host name.
    pub host: String,
    /// RFC 3339.
    pub started: String,
    /// From the first image's start to the last event or end.
    pub duration_s: f64,
    /// Name of the profile.
    pub profile: String,
    /// Events in the trace.
    pub events: u64,
    /// Events that were lost (state is exact all the same).
    pub events_lost: u64,
    /// Whether everything was collected up to the end of every process.
    pub complete: bool,
    /// CMD of `run` and, of an interpreter, its script.
    #[serde(default)]
    pub command: Vec<String>,
}

/// One image of a process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Parent's pid.
    pub parent: u32,
    /// Which image of the process: 1, 2, …
    pub image: u32,
    /// Name of the service.
    pub service: String,
    /// Path of the executable.
    pub exe: String,
    /// Arguments that were stored.
    pub args: Vec<String>,
    /// Seconds since the start of the trace.
    pub started_s: f64,
    /// Seconds since the start of the trace; absent while it runs.
    pub ended_s: Option<f64>,
    /// `exit:N`, `signal:N`, `exec`, `running`, `unknown`.
    pub end: String,
    /// What could not be seen in it.
    pub not_visible: Vec<String>,
}

/// Totals of a kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KindTotals {
    /// Word of the contract, or one that an annotation named.
    pub kind: String,
    /// Resources acquired.
    pub acquired: u64,
    /// Resources released.
    pub released: u64,
    /// Not released by the end of the trace, or before its process ended. Of all processes together: where
    /// many have left some, that is more than `peak`.
    pub live: u64,
    /// Most that were live at one moment.
    pub peak: u64,
    /// Failed acquisitions by errno name.
    pub failed: BTreeMap<String, u64>,
    /// Lifetimes of released ones.
    pub lifetime_s: Option<Lifetimes>,
    /// Bytes, where the kind has a size.
    pub bytes: Option<Bytes>,
    /// How the counts went over time.
    pub series: Series,
}

/// Quantiles of lifetimes, seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lifetimes {
    /// Median.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
    /// Longest.
    pub max: f64,
}

/// Bytes of a kind that has sizes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bytes {
    /// Acquired.
    pub acquired: u64,
    /// Live at the end.
    pub live: u64,
    /// Highest.
    pub peak: u64,
    /// Standard error of `live` from sampling, 0 if every block was recorded.
    pub standard_error: f64,
}

/// Counts over time; all vectors have one length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// End of each interval, seconds since the start.
    pub t_s: Vec<f64>,
    /// Live at that time.
    pub live: Vec<u64>,
    /// Acquired in the interval.
    pub acquired: Vec<u64>,
    /// Released in the interval.
    pub released: Vec<u64>,
}

/// How sure a finding is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Open at process exit, nothing more is known.
    StillOpen,
    /// Weak evidence.
    Possible,
    /// Strong evidence.
    Probable,
    /// Proven.
    Definite,
}

/// How much a finding matters.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Worth a look.
    Warning,
    /// To be repaired.
    Error,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Stable across runs and builds.
    pub id: String,
    /// False where symbols were missing.
    pub id_stable: bool,
    /// Hash of the whole stack.
    pub site_id: String,
    /// Word of the contract's table of rules.
    pub rule: String,
    /// Kind of the resources.
    pub kind: String,
    /// How sure.
    pub verdict: Verdict,
    /// How bad.
    pub severity: Severity,
    /// 0 to 1.
    pub confidence: f64,
    /// One line.
    pub title: String,
    /// Resources it is about.
    pub count: u64,
    /// Bytes of them.
    pub bytes: Option<u64>,
    /// Processes they are in.
    pub pids: Vec<u32>,
    /// Where they were acquired (or where the defect is).
    pub site: Site,
    /// What the verdict rests on, by rule. Keys that views show, where they are present:
    /// `since_s` (number: the first of these resources, or the begin of the growth, seconds since
    /// the start), `growth_per_hour` (number), `released_at` (a [`Site`]: where others of this site
    /// are released; or a list of them).
    pub evidence: BTreeMap<String, serde_json::Value>,
    /// What to change.
    pub advice: String,
    /// What following the advice would bring.
    pub saving: Option<Saving>,
    /// Some of the resources.
    pub resources: Vec<ResourceRef>,
}

/// A computed saving.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Saving {
    /// Best estimate.
    pub value: f64,
    /// `s`, `bytes`, a count's word.
    pub unit: String,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// A call site.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Site {
    /// Index of the first frame of the program's own code; where there is none, of what comes nearest.
    pub user: usize,
    /// Whether that frame is the program's own code: false where none of it is on the stack.
    #[serde(default)]
    pub own: bool,
    /// Innermost first.
    pub frames: Vec<Frame>,
}

/// One frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Frame {
    /// Demangled name; empty if there is none.
    pub function: String,
    /// Source file; empty if not known.
    pub file: String,
    /// Line, 0 if not known.
    pub line: u32,
    /// Module's path.
    pub module: String,
    /// Offset of the call in the module.
    pub offset: u64,
    /// Inlined into the next frame.
    pub inlined: bool,
}

/// One resource of a finding.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceRef {
    /// Process.
    pub pid: u32,
    /// `fd:7`, `thread:TID`, `pid:PID`, `heap:0xADDR`, …
    pub handle: String,
    /// Path, address, name.
    pub label: String,
}

/// A cycle of the dependency graph.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cycle {
    /// Class of the contract.
    pub class: String,
    /// Its nodes.
    pub nodes: Vec<CycleNode>,
    /// Its edges, in order.
    pub edges: Vec<CycleEdge>,
    /// The edge to cut.
    pub advice: String,
}

/// A node of a cycle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CycleNode {
    /// Handle with its process.
    pub id: String,
    /// Kind.
    pub kind: String,
    /// Label.
    pub label: String,
}

/// An edge of a cycle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CycleEdge {
    /// Node id.
    pub from: String,
    /// Node id.
    pub to: String,
    /// `holds`, `waits-for`, …
    pub relation: String,
    /// Where it began.
    pub site: Site,
}

/// A limit reached or approached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alert {
    /// Rule.
    pub rule: String,
    /// When, seconds since the start.
    pub at_s: f64,
    /// Kind.
    pub kind: String,
    /// Value then.
    pub value: f64,
    /// Its limit.
    pub limit: f64,
    /// Seconds until the limit, if it goes on.
    pub eta_s: Option<f64>,
}

/// What the shim cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Overhead {
    /// Share of the processes' CPU time, 0 to 1.
    pub cpu_share: f64,
    /// Mean of an event.
    pub ns_per_event: f64,
    /// Bytes of memory and disk.
    pub bytes: u64,
    /// When the shim did less, and why.
    pub steps: Vec<Step>,
}

/// A step of the budget.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Seconds since the start.
    pub at_s: f64,
    /// Kind.
    pub kind: String,
    /// New level.
    pub to: String,
    /// Reason.
    pub why: String,
}

/// A remark.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnostic {
    /// `warning`, `info`, `error`.
    pub level: String,
    /// One line.
    pub text: String,
}
