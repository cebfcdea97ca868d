//! The resshim command, as a library.
pub mod escape;
pub mod report;
