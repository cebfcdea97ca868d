//! The integration tests: one binary, one module a subject.

mod harness;
mod rows;
mod symbols;
mod symbols_of_so;
