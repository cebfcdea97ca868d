//! `--format json`: the public keys, and nothing else.

use crate::escape;
use crate::report::Report;

/// The report as JSON; characters that would steer a terminal are `\u` escapes of the same value.
pub fn render(report: &Report) -> anyhow::Result<String> {
    let document = serde_json::to_string_pretty(report)?;
    Ok(escape::json(&document).into_owned() + "\n")
}
