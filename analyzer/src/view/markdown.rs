//! `--format markdown`: for an issue or a merge request. Strings of the trace are no markup in it.

use comfy_table::Table;

use crate::escape::{markdown, markdown_code};
use crate::report::{Finding, Report};
use crate::view::quantity::share;
use crate::view::{Look, table, text};

/// Frames of a stack that are shown.
const FRAMES: usize = 24;

/// The report.
pub fn render(report: &Report, look: &Look) -> String {
    let mut out = format!("## {}\n", markdown(&text::verdict(report, 200)));
    let mut findings = text::ordered(report);
    let hidden = if look.all { 0 } else { findings.len().saturating_sub(10) };
    findings.truncate(findings.len() - hidden);
    for (at, finding) in findings.iter().enumerate() {
        out.push_str(&one(report, look, finding, at + 1));
    }
    if hidden > 0 {
        out.push_str(&format!("\n{hidden} more: `--all` shows them.\n"));
    }
    if look.all || findings.is_empty() {
        grid(&mut out, "Kinds", table::kinds(report));
        out.extend(table::live_note(report).map(|note| format!("\n{note}\n")));
        let failures = table::failures(report);
        let failures = failures.iter().map(|line| format!("- {}\n", markdown(line)));
        out.extend(
            (!report.kinds.is_empty()).then(|| "\n".to_string()).into_iter().chain(failures),
        );
    }
    if look.all {
        grid(&mut out, "Processes", table::processes(report));
        grid(&mut out, "Limits", table::limits(report));
    }
    let unseen = text::unseen(report);
    out.push_str(&format!("\n- **Nearest limit**: {}\n", markdown(&text::nearest_limit(report))));
    out.push_str(&format!("- **Open**: {}\n", markdown(&text::open(report))));
    let unseen = if unseen.is_empty() { "nothing known".into() } else { unseen.join("; ") };
    out.push_str(&format!("- **Not seen**: {}\n", markdown(&unseen)));
    out.push_str(&format!("- **Cost**: {}\n", markdown(&text::cost(report))));
    out.push_str(&format!("- **Trace**: {}\n", markdown_code(&report.trace.path)));
    out.push_str(&format!("- **Next**: {}\n", markdown_code(&text::next(report))));
    out
}

fn one(report: &Report, look: &Look, finding: &Finding, at: usize) -> String {
    let severity = text::severity(finding.severity);
    let headline = text::headline(finding, report).join(", ");
    let mut out = format!("\n### {at}. {severity}: {}\n\n", markdown(&headline));
    if let Some(frame) = text::own_frame(&finding.site) {
        let shown = crate::report::Frame { file: look.sources.short(&frame.file), ..frame.clone() };
        out.push_str(&format!("- at {}", markdown_code(&text::place(&shown, 200))));
        if !finding.site.own {
            out.push_str(&format!(": {}", text::NO_OWN_CODE));
        } else if let Some(code) = look.sources.line(frame) {
            out.push_str(&format!(": {}", markdown_code(&code)));
        }
        out.push('\n');
    }
    let siblings = text::siblings(finding);
    if let Some(frame) = siblings.as_ref().and_then(text::own_frame) {
        let place = text::place(frame, 200);
        out.push_str(&format!("- others are released in {}\n", markdown_code(&place)));
    }
    if !finding.advice.is_empty() {
        out.push_str(&format!("- {}\n", markdown(&finding.advice)));
    }
    let confidence = share(finding.confidence);
    out.push_str(&format!("- id {}, confidence {confidence}\n", markdown_code(&finding.id)));
    for resource in finding.resources.iter().take(5) {
        let words = format!("pid {} {} {}", resource.pid, resource.handle, resource.label);
        out.push_str(&format!("- {}\n", markdown_code(&words)));
    }
    if !finding.site.frames.is_empty() {
        out.push_str("\n<details><summary>stack</summary>\n\n");
        for frame in finding.site.frames.iter().take(FRAMES) {
            out.push_str(&format!("1. {}\n", markdown_code(&text::place(frame, 200))));
        }
        if finding.site.frames.len() > FRAMES {
            let more = finding.site.frames.len() - FRAMES;
            out.push_str(&format!("\n{more} more frames\n"));
        }
        out.push_str("\n</details>\n");
    }
    out
}

/// A table of the terminal's view as one of markdown.
fn grid(out: &mut String, title: &str, table: Option<Table>) {
    let Some(table) = table else { return };
    out.push_str(&format!("\n### {title}\n\n"));
    let header: Vec<String> = table
        .header()
        .into_iter()
        .flat_map(|row| row.cell_iter())
        .map(|cell| cell.content())
        .collect();
    out.push_str(&format!("| {} |\n", header.join(" | ")));
    out.push_str(&format!("|{}\n", " --- |".repeat(header.len())));
    for row in table.row_iter() {
        let cells: Vec<String> = row.cell_iter().map(|cell| markdown(&cell.content())).collect();
        out.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
}
