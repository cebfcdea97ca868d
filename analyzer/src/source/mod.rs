//! Where records and states come from: regions in use, regions left behind, stored traces.
//!
//! Owns every byte that is read from a traced process: nothing here believes one of them. Each
//! offset, size, count and index is checked, what does not fit is counted in
//! [`region::Anomalies`] or refused with an [`crate::error::Error`], never a panic, and never
//! more memory than [`region::LARGEST_STATE`] for one region. Files are opened by [`open`] alone:
//! regular, no link, ours or root's, read by `pread` (a file can shrink while it is read).

pub mod chosen;
pub mod clock;
pub mod events;
pub mod frame;
pub mod generated;
pub mod index;
pub mod manifest;
pub mod open;
pub mod region;
pub mod rows;
pub mod trace;
