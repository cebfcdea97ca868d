//! What the shim writes and its readers read: the one definition of both sides.
//!
//! # The files
//!
//! A directory of traces holds an `index` and a `quota` page ([`index`]) and one file a region:
//! what one process image tells. A region ([`header`]) is made of
//!
//! * a **header**: who, since when, geometry, clock, counters of what was lost;
//! * a **control page**, which others may write while the process runs;
//! * a **directory** of **tables** ([`table`]): what is true now. Live descriptors, threads, children,
//!   sampled blocks, mappings, annotated resources; totals and time buckets of every site; modules;
//!   stacks. Tables are updated even where an event is lost: state is exact, history may be lossy;
//! * **chunks** of records ([`ring`], [`record`]): what happened, as far as it was kept.
//!
//! The operations that records speak of are one table ([`op`]).
//!
//! # Trust
//!
//! The traced process may scribble over its region, and a fork child with fewer rights can scribble
//! over its parent's. Readers check every length, index and offset and count what does not fit. The
//! shim takes no pointer, size or loop bound from the region.
//!
//! # Versions
//!
//! [`header::VERSION`] changes when a reader of the version before would misread a region. New
//! operations, kinds, table types and header strings need no new version: numbers are never reused,
//! readers pass over what they do not know and say how much it was. Row sizes stand in the directory:
//! fields are only ever added at the end of a row.
#![no_std]

#[cfg(any(test, loom))]
extern crate std;

pub mod arguments;
pub mod header;
pub mod index;
pub mod op;
pub mod record;
pub mod ring;
pub mod sync;
pub mod table;
