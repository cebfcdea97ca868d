//! The resshim command, as a library.
pub mod report;
