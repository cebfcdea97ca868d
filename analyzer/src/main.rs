//! The `resshim` command.
fn main() {}
