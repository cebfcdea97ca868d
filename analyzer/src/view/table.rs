//! `--all`: every finding with its stack, then kinds, processes, limits, cycles and remarks.

use std::collections::{BTreeMap, HashSet};

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};

use crate::escape::{truncate, visible};
use crate::report::{Finding, Process, Report};
use crate::view::quantity::{bytes, count, seconds, share};
use crate::view::{Look, screen, text};

/// Resources of a finding that are listed.
const RESOURCES: usize = 8;

/// The whole report.
pub fn render(report: &Report, look: &Look) -> String {
    let mut out = screen::verdict(report, look);
    let mut findings = text::ordered(report);
    let unjudged =
        report.findings.iter().filter(|f| !findings.iter().any(|g| std::ptr::eq(*f, *g)));
    findings.extend(unjudged.collect::<Vec<_>>());
    for (at, finding) in findings.iter().enumerate() {
        out.push('\n');
        out.extend(screen::finding_lines(report, look, finding, at + 1));
        out.push_str(&details(finding, look));
    }
    section(&mut out, "kinds", kinds(report), look);
    out.extend(live_note(report).map(|note| format!("  {note}\n")));
    out.extend(failures(report).iter().map(|line| format!("  {line}\n")));
    section(&mut out, "processes", processes(report), look);
    section(&mut out, "limits", limits(report), look);
    out.push_str(&cycles(report));
    if !report.diagnostics.is_empty() {
        out.push_str("\nremarks\n");
        for diagnostic in &report.diagnostics {
            let level = visible(&diagnostic.level);
            out.push_str(&format!("  {level}: {}\n", visible(&diagnostic.text)));
        }
    }
    for step in &report.overhead.steps {
        out.push_str(&format!(
            "  after {} {} was tracked at {}: {}\n",
            seconds(step.at_s),
            visible(&step.kind),
            visible(&step.to),
            visible(&step.why)
        ));
    }
    out.push('\n');
    for line in screen::foot(report, look, 0) {
        // The next command was this one; and what was not seen gets a line for each thing.
        match line.split(' ').next() {
            Some("next") => {}
            Some("unseen") if !text::unseen(report).is_empty() => {
                out.extend(text::unseen(report).iter().map(|what| format!("unseen  {what}\n")));
            }
            _ => out.push_str(&line),
        }
    }
    out
}

fn details(finding: &Finding, look: &Look) -> String {
    let mut out = String::new();
    let id = visible(&finding.id);
    let stable = if finding.id_stable { "" } else { ", not stable: no symbols" };
    let confidence = share(finding.confidence);
    out.push_str(&format!("  id {id}{stable}, confidence {confidence}\n"));
    if !finding.title.is_empty() {
        out.push_str(&format!("  what: {}\n", visible(&finding.title)));
    }
    // The screen's lines have the advice where there are no siblings.
    if !finding.advice.is_empty() && text::siblings(finding).is_some() {
        out.push_str(&format!("  advice: {}\n", visible(&finding.advice)));
    }
    if let Some(saving) = &finding.saving {
        let unit = visible(&saving.unit);
        let (value, low, high) = (saving.value, saving.low, saving.high);
        out.push_str(&format!("  saves {value:.3} {unit} ({low:.3} to {high:.3})\n"));
    }
    for (key, value) in &finding.evidence {
        let value = value.to_string();
        if key != "released_at" && value.len() <= 200 {
            out.push_str(&format!("  evidence {} = {}\n", visible(key), visible(&value)));
        }
    }
    let pids: Vec<String> = finding.pids.iter().take(RESOURCES).map(u32::to_string).collect();
    if !pids.is_empty() {
        let more = if finding.pids.len() > pids.len() { ", …" } else { "" };
        out.push_str(&format!("  in pid {}{more}\n", pids.join(", ")));
    }
    for resource in finding.resources.iter().take(RESOURCES) {
        let handle = visible(&resource.handle);
        out.push_str(&format!("  - pid {} {handle} {}\n", resource.pid, visible(&resource.label)));
    }
    if finding.resources.len() > RESOURCES {
        out.push_str(&format!("  - and {} more\n", finding.resources.len() - RESOURCES));
    }
    for (at, frame) in finding.site.frames.iter().enumerate() {
        let mark = if at == finding.site.user { '>' } else { ' ' };
        let inlined = if frame.inlined { " (inlined)" } else { "" };
        let place = text::place(frame, look.columns.saturating_sub(18).max(40));
        out.push_str(&format!("  {mark} #{at:<2} {place}{inlined}\n"));
    }
    out
}

fn section(out: &mut String, title: &str, table: Option<Table>, look: &Look) {
    let Some(mut table) = table else { return };
    table
        .load_style(presets::NOTHING)
        .force_no_tty()
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(look.columns as u16);
    out.push_str(&format!("\n{title}\n"));
    for line in table.trim_fmt().lines() {
        out.push_str(&format!(" {line}\n"));
    }
}

/// A string of the trace in a cell. Arranging a table takes time in proportion to the square of what
/// is in its cells, so there is a bound to each.
fn cell(text: &str, columns: usize) -> String {
    let start: String = text.chars().take(columns + 1).collect();
    truncate(&visible(&start), columns).into_owned()
}

/// Totals by kind; the markdown view shows the same.
pub fn kinds(report: &Report) -> Option<Table> {
    if report.kinds.is_empty() {
        return None;
    }
    let mut table = Table::new();
    table
        .set_header(["kind", "acquired", "released", "live", "peak", "bytes", "p50", "p99", "max"]);
    for kind in &report.kinds {
        let life = |pick: fn(&crate::report::Lifetimes) -> f64| {
            kind.lifetime_s.as_ref().map_or(String::new(), |lifetimes| seconds(pick(lifetimes)))
        };
        let size = kind.bytes.as_ref().map_or(String::new(), |size| {
            let error = size.standard_error;
            match error > 0.0 {
                true => format!("{} ± {}", bytes(size.live), bytes(error as u64)),
                false => bytes(size.live),
            }
        });
        table.add_row([
            cell(&kind.kind, 24),
            count(kind.acquired),
            count(kind.released),
            count(kind.live),
            count(kind.peak),
            size,
            life(|lifetimes| lifetimes.p50),
            life(|lifetimes| lifetimes.p99),
            life(|lifetimes| lifetimes.max),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    Some(table)
}

/// Why more are live in the table than ever were at one time.
pub fn live_note(report: &Report) -> Option<&'static str> {
    let is_left = report.kinds.iter().any(|kind| kind.live > kind.peak);
    is_left.then_some("live counts what processes had not released when they ended")
}

/// Acquisitions that failed, a phrase for each kind.
pub fn failures(report: &Report) -> Vec<String> {
    let kinds = report.kinds.iter().filter(|kind| !kind.failed.is_empty());
    kinds
        .map(|kind| {
            let failed: Vec<String> = (kind.failed.iter().take(8))
                .map(|(errno, number)| format!("{} {}", count(*number), cell(errno, 24)))
                .collect();
            format!("{} failed: {}", cell(&kind.kind, 24), failed.join(", "))
        })
        .collect()
}

/// The tree of processes, an image a row; the markdown view shows the same.
pub fn processes(report: &Report) -> Option<Table> {
    if report.processes.is_empty() {
        return None;
    }
    let mut table = Table::new();
    table.set_header(["process", "program", "started", "ran", "end", "unseen"]);
    for (process, depth) in tree(&report.processes) {
        let image = if process.image > 1 { format!(".{}", process.image) } else { String::new() };
        let mut program = process.exe.clone();
        if process.args.len() > 1 {
            program = format!("{program} {}", process.args[1..].join(" "));
        }
        table.add_row([
            format!("{}{}{image}", "· ".repeat(depth.min(8)), process.pid),
            cell(&program, 100),
            seconds(process.started_s),
            process.ended_s.map_or(String::new(), |ended| seconds(ended - process.started_s)),
            cell(&process.end, 16),
            cell(&process.not_visible.join("; "), 300),
        ]);
    }
    for column in [0, 2, 3, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    Some(table)
}

/// Processes with their depth, children behind their parents, each once, whatever the parents say.
fn tree(processes: &[Process]) -> Vec<(&Process, usize)> {
    let known: HashSet<u32> = processes.iter().map(|process| process.pid).collect();
    let mut children: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    let mut left: Vec<usize> = Vec::new();
    for (at, process) in processes.iter().enumerate() {
        if known.contains(&process.parent) && process.parent != process.pid {
            children.entry(process.parent).or_default().push(at);
        } else {
            left.push(at);
        }
    }
    // What a circle of parents hides comes at the end.
    left.extend(0..processes.len());
    let mut shown = vec![false; processes.len()];
    let mut rows = Vec::new();
    let mut stack: Vec<(usize, usize)> = left.into_iter().rev().map(|at| (at, 0)).collect();
    while let Some((at, depth)) = stack.pop() {
        if std::mem::replace(&mut shown[at], true) {
            continue;
        }
        let process = &processes[at];
        rows.push((process, depth));
        // Several images of a process are one behind the other; the last one's row has the children behind it.
        let is_last = !processes[at + 1..].iter().any(|later| later.pid == process.pid);
        if is_last && let Some(children) = children.get(&process.pid) {
            stack.extend(children.iter().rev().map(|child| (*child, depth + 1)));
        }
    }
    rows
}

/// Limits and how near they are.
pub fn limits(report: &Report) -> Option<Table> {
    if report.limits.is_empty() {
        return None;
    }
    let mut table = Table::new();
    table.set_header(["limit", "pid", "used", "of", "share", "reached in"]);
    for limit in &report.limits {
        let whole = |value: f64| count(value.max(0.0) as u64);
        let used = if limit.limit > 0.0 { share(limit.used / limit.limit) } else { String::new() };
        table.add_row([
            cell(&limit.name, 40),
            limit.pid.to_string(),
            whole(limit.used),
            whole(limit.limit),
            used,
            limit.eta_s.map_or(String::new(), seconds),
        ]);
    }
    Some(table)
}

fn cycles(report: &Report) -> String {
    let mut out = String::new();
    for cycle in &report.cycles {
        out.push_str(&format!("\ncycle: {}\n", visible(&cycle.class)));
        for edge in &cycle.edges {
            let relation = visible(&edge.relation);
            out.push_str(&format!("  {} {relation} {}", visible(&edge.from), visible(&edge.to)));
            if let Some(frame) = text::own_frame(&edge.site) {
                out.push_str(&format!(" since {}", text::place(frame, 60)));
            }
            out.push('\n');
        }
        out.push_str(&format!("  advice: {}\n", visible(&cycle.advice)));
    }
    out
}
