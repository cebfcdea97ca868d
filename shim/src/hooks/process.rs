//! Processes: fork, exec, ends.
#![allow(unsafe_code, reason = "hooks")]
use crate::table::hooks;
hooks! {}
