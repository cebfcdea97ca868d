//! The resshim command, as a library.
//!
//! `source` → `model` → `analysis` → `view`, with `cmd` on top: each reads only what stands left of
//! it. Analysis does no input or output, views never read records.
//!
//! | module | owns |
//! |---|---|
//! | [`audit`] | the public types of an audit trail |
//! | [`cli`] | the shape of the command line |
//! | [`cmd`] | one file a command: options → model → analysis → view |
//! | [`collect`] | the collector: live regions → trace |
//! | [`elf`] | headers of ELF files, read without trust |
//! | [`escape`] | strings of a trace, made harmless |
//! | [`fail_on`] | the rules of `--fail-on` |
//! | [`live`] | what a live process holds, by `/proc` and by its region |
//! | [`snapshot`] | the public types of a snapshot |
//! | [`report`] | the public types of a report: what analysis produces and views show |
//! | [`model`] | from what images told to what happened: lifecycles, live resources, totals |
//! | [`analyze`] | from a trace to a report: where the others meet |
//! | [`analysis`] | from the model to findings, one file a rule |
//! | [`rules`] | `.resshim.toml`: what a project expects, what it has looked into |
//! | [`source`] | regions and traces as typed rows and records: the only readers of untrusted bytes |
//! | [`view`] | a report on a terminal, as JSON, as markdown |
//! | [`symbols`] | names of call sites, their ids, source lines: the only reader of code and debug information |
//! | [`error`] | what ends a command, and its exit code |

pub mod analysis;
pub mod analyze;
pub mod audit;
pub mod cli;
pub mod cmd;
pub mod collect;
pub mod elf;
pub mod error;
pub mod escape;
pub mod fail_on;
pub mod live;
pub mod model;
pub mod report;
pub mod rules;
pub mod snapshot;
pub mod source;
pub mod symbols;
pub mod view;
