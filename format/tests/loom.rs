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
//! What was taken out, one at a time, and a model that failed then (the names are cut):
//!
//! | `writer.rs` without | failed |
//! |---|---|
//! | release of `COMMITTED` in `commit` | `a_drainer_killed…` |
//! | release of `FILL` in `begin` | `a_chunk_that_is_begun_anew…` |
//! | the fence in `take` | `a_chunk_that_is_begun_anew…`, `the_flight_recorder…` |
//! | `FILL` stored last | `the_flight_recorder…` |
//! | the chunk sealed before the next is taken | `a_chunk_that_is_begun_anew…`, `the_flight_recorder…`, `two_threads_overwrite…` |
//! | an overwritten chunk counted | `the_flight_recorder…`, `two_threads_overwrite…` |
//! | compare and exchange in `take` (a store instead) | `one_of_two_threads…`, both of the flight recorder, four of shared chunks |
//! | release in `seal` | `a_thread_killed…`, `a_writer_killed…`, `the_flight_recorder…` |
//! | acquire of a parked chunk; its place looked at again | `a_thread_killed…` |
//! | `RESERVED` closed in `begin` | `a_late_reservation…`, `late_and_early…` |
//!
//! | `shared.rs` without | failed |
//! |---|---|
//! | acquire in `reserve`; release where `RESERVED` is opened; it opened last | `late_and_early…` |
//! | release in `complete` | `a_shared_chunk_is_freed…` |
//! | acquire in `complete` | `a_shared_chunk_is_overwritten…` |
//! | release of the seal in `complete` | `an_event_of_two_slots…` |
//! | the seal itself | `a_shared_chunk_that_is_begun_anew…` |
//! | `complete` behind the slots | `an_event_of_two_slots…` |
//! | release of a slot's first word; it stored last; slots emptied; they emptied before `FILL` | `a_shared_chunk_that_is_begun_anew…` |
//! | the first slot of an event written last | `a_shared_writer_killed…` |
//! | release in `give_back` | `a_chunk_that_is_given_back…` |
//!
//! The order of the exchange in `take` itself can go: the fence behind it does its work. The order of
//! `place` stays although no model fails without: loom executes exchanges in one order, in truth one of a
//! chunk never begun may come before `begin` closes it. That `complete` and `give_back` look at states and
//! sums before they believe them is for memory that somebody scribbled on.
//!
//! A plain store that races with another write fails every model (`sync.rs`): that is how the acquire
//! sides are found out. A thread that has
//! yielded sees nothing again that it saw before, so models whose main thread reads after a yield find no
//! stale word: such a reader is a thread of its own. Loom's acquire fence takes more than it may: also what
//! others have seen, whom the thread acquired from.
#![cfg(loom)]

#[path = "loom/memory.rs"]
mod memory;
#[path = "loom/owned.rs"]
mod owned;
#[path = "loom/shared.rs"]
mod shared;
