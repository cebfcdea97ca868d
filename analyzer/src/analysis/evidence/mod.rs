//! What speaks for a leak: one file for each kind of evidence. None decides alone: [`super::leak`] combines them.

pub mod growth;
pub mod last_use;
pub mod late;
pub mod siblings;
pub mod survival;
