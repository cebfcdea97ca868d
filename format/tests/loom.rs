//! The ring under a model checker: the interleavings of its atomic operations, and a thread that is
//! killed between any two of them.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom \
//!     cargo test -p resshim-format --test loom --release
//! ```
//!
//! A chunk has 20 words here: three plain records, or two shared slots. `explore` says how many
//! preemptions of a model are explored (0: all): a thread may be switched away from at any
//! operation, but only so often in one execution. Each model ends within a minute.
#![cfg(loom)]

#[path = "loom/memory.rs"]
mod memory;
#[path = "loom/owned.rs"]
mod owned;
#[path = "loom/shared.rs"]
mod shared;
