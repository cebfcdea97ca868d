//! `resshim schema`: the JSON Schema of the report, and the table of operations.

use comfy_table::{Table, TableStyle, presets};
use resshim_format::op::{Kind, Op};
use serde_json::json;

use crate::cli::{Format, Schema};
use crate::cmd::output;
use crate::report::Report;

/// Prints what the options ask for.
pub fn run(options: &Schema) -> anyhow::Result<u8> {
    let text = match (options.ops, options.format) {
        (false, _) => serde_json::to_string_pretty(&schemars::schema_for!(Report))? + "\n",
        (true, Format::Json) => operations_json()?,
        (true, Format::Table) => operations_table(presets::NOTHING),
        (true, Format::Markdown) => operations_table(presets::ASCII_MARKDOWN),
    };
    output::write(&text, options.output.as_deref())?;
    Ok(0)
}

fn operations_json() -> anyhow::Result<String> {
    let operations: Vec<_> = Op::ALL
        .iter()
        .map(|op| {
            json!({
                "number": op.number(),
                "name": op.name(),
                "class": word(op.class()),
                "effect": word(op.effect()),
            })
        })
        .collect();
    let kinds: Vec<_> = Kind::ALL
        .iter()
        .map(
            |kind| json!({"number": *kind as u8, "name": kind.name(), "class": word(kind.class())}),
        )
        .collect();
    Ok(serde_json::to_string_pretty(&json!({"operations": operations, "kinds": kinds}))? + "\n")
}

fn operations_table(style: TableStyle) -> String {
    let mut table = Table::new();
    table.load_style(style).set_header(["number", "operation", "class", "effect"]);
    for op in Op::ALL {
        table.add_row([
            op.number().to_string(),
            op.name().to_string(),
            word(op.class()),
            word(op.effect()),
        ]);
    }
    let lines: Vec<String> =
        table.to_string().lines().map(|line| line.trim_end().to_string()).collect();
    lines.join("\n") + "\n"
}

/// The variant's name in the spelling of the output.
fn word(variant: impl std::fmt::Debug) -> String {
    format!("{variant:?}").to_ascii_lowercase()
}
