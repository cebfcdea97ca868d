//! The integration tests: one binary, one module a subject.

mod api;
mod cli;
mod collect;
mod harness;
mod heap;
mod hostile;
mod kill;
mod languages;
mod living;
mod mutations;
mod operators;
mod originals;
mod places;
mod programs;
mod quota;
mod readme;
mod records;
mod reports;
mod rows;
mod run;
mod scribble;
mod secrets;
mod symbols;
mod symbols_of_so;
mod system_calls;
mod unwind;
