//! Harness of the integration tests: what a test needs to say "this C program, traced and untraced,
//! behaves the same" or "this command prints that".
//!
//! * [`artifacts`]: where `libresshim.so` and `resshim` are, and what to do when they are not;
//! * [`program`]: compiles a program of `tests/programs` once per content;
//! * [`launch`]: runs a command untraced, preloaded or under `resshim run`, within a time limit;
//! * [`scratch`]: a private directory of one test;
//! * [`elf`]: exports, imports and version needs of a shared object;
//! * [`hook_table`]: which symbols the shim hooks;
//! * [`expect`]: stored outputs, rewritten with `UPDATE=1`;
//! * [`trace`]: what the shim left behind;
//! * [`python`]: the Python interpreters of this machine;
//! * [`script`]: the scripts that put real programs to work;
//! * [`recorder`]: `resshim record` beside what it collects;
//! * [`parallel`]: runs many small cases of one test at a time.
//!
//! It must not know what the shim does: a test states that, not the harness.

pub mod artifacts;
pub mod elf;
pub mod expect;
pub mod hook_table;
pub mod launch;
pub mod parallel;
pub mod program;
pub mod python;
pub mod recorder;
pub mod scratch;
pub mod script;
pub mod trace;
