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
//!
//! What was taken out of `writer.rs` or `reader.rs`, one at a time, and the models that failed then:
//!
//! | without | failed |
//! |---|---|
//! | release of `COMMITTED` in `commit` | `a_drainer_killed…` |
//! | release of `FILL` in `begin`; its acquire in `copy` | `a_chunk_that_is_begun_anew…` alone |
//! | the fence in `take` | `a_chunk_that_is_begun_anew…`, `the_flight_recorder…` |
//! | `FILL` stored last | `the_flight_recorder…` |
//! | the chunk sealed before the next is taken | `a_chunk_that_is_begun_anew…`, `the_flight_recorder…`, `two_threads_overwrite…` |
//! | an overwritten chunk counted | `the_flight_recorder…`, `two_threads_overwrite…` |
//! | compare and exchange in `take` (a store instead) | `one_of_two_threads…`, both of the flight recorder, four of shared chunks |
//! | release in `seal` | `a_thread_killed…`, `a_writer_killed…`, `the_flight_recorder…` |
//! | acquire of a parked chunk; its place looked at again | `a_thread_killed…` |
//! | `RESERVED` closed in `begin` | `a_late_reservation…`, `late_and_early…` |
//!
//! The order of the exchange in `take` itself can go: the fence behind it does its work. A thread that has
//! yielded sees nothing again that it saw before, so models whose main thread reads after a yield find no
//! stale word: such a reader is a thread of its own.
#![cfg(loom)]

#[path = "loom/memory.rs"]
mod memory;
#[path = "loom/owned.rs"]
mod owned;
#[path = "loom/shared.rs"]
mod shared;
