//! A [`Snapshot`] on a terminal and as markdown.

use std::fmt::Write;

use crate::escape::{self, markdown, markdown_code, truncate, truncate_left, visible, width};
use crate::model::kind::noun;
use crate::snapshot::{Growth, SiteHeld, Snapshot};
use crate::view::quantity::{bytes, count, growth, plural, seconds, share};
use crate::view::{Look, text};

/// Rows of a section without `--all`.
const ROWS: usize = 8;

/// For a terminal.
pub fn table(snapshot: &Snapshot, look: &Look) -> String {
    let mut out = String::new();
    for line in sections(snapshot, look.columns, if look.all { usize::MAX } else { ROWS }) {
        match line {
            Row::Title(title) => {
                let _ = writeln!(out, "\n{title}");
            }
            Row::Text(text) => {
                let _ = writeln!(out, "{}", truncate(&text, look.columns));
            }
            Row::Pair(left, right) => {
                let room = look.columns.saturating_sub(4 + width(&left));
                // Of a path the end tells most, of what waits where the begin.
                let right = match right.starts_with('/') {
                    true => truncate_left(&right, room.max(12)),
                    false => truncate(&right, room.max(12)),
                };
                let _ = writeln!(out, "{}", format!("  {left}  {right}").trim_end());
            }
        }
    }
    escape::guard_lines(&out).into_owned()
}

/// For an issue.
pub fn as_markdown(snapshot: &Snapshot, look: &Look) -> String {
    let mut out = String::new();
    let mut is_first = true;
    for line in sections(snapshot, 200, if look.all { usize::MAX } else { ROWS }) {
        match line {
            Row::Title(title) => {
                let _ = writeln!(out, "\n### {}\n", markdown(&title));
            }
            Row::Text(text) if std::mem::take(&mut is_first) => {
                let _ = writeln!(out, "## {}\n", markdown(&text));
            }
            Row::Text(text) => {
                let _ = writeln!(out, "- {}", markdown(text.trim()));
            }
            Row::Pair(left, right) => {
                let line = format!("- {} {}", markdown(left.trim()), markdown_code(&right));
                let _ = writeln!(out, "{}", line.trim_end());
            }
        }
    }
    out
}

/// One row, escaped; its layout is the view's.
enum Row {
    Title(String),
    Text(String),
    /// What may be cut at the left is the second.
    Pair(String, String),
}

fn sections(snapshot: &Snapshot, columns: usize, most: usize) -> Vec<Row> {
    let mut rows = vec![Row::Text(verdict(snapshot))];
    let place = columns.saturating_sub(30).max(30);
    for sign in &snapshot.signs {
        rows.push(Row::Text(format!("! {}", visible(&sign.text))));
        rows.push(Row::Text(format!("  {}", visible(&sign.advice))));
    }
    if snapshot.looks > 1 {
        rows.push(Row::Title(format!(
            "growth ({} looks in {})",
            snapshot.looks,
            seconds(snapshot.watched_s)
        )));
        if snapshot.growth.is_empty() {
            rows.push(Row::Text("  nothing".to_owned()));
        }
        let shown = most.saturating_mul(2);
        rows.extend(snapshot.growth.iter().take(shown).map(|grown| growth_row(grown, place)));
        more(&mut rows, snapshot.growth.len(), shown);
    }
    if let Some(scan) = &snapshot.scan {
        let how = match scan.stopped_s {
            Some(stopped) if stopped > 0.0 => {
                format!("four looks, for the last it was stopped for {}", seconds(stopped))
            }
            Some(_) => "three looks".to_owned(),
            None => "three looks while it ran: probable, not certain".to_owned(),
        };
        rows.push(Row::Title(format!("out of reach ({how})")));
        if scan.unreachable.is_empty() {
            rows.push(Row::Text("  nothing".to_owned()));
        }
        sites(&mut rows, &scan.unreachable, place, most);
        more(&mut rows, scan.unreachable.len(), most);
        let sample = if scan.every_block { "" } else { ", a sample of all" };
        let (number, read) = (count(scan.looked_for), bytes(scan.bytes));
        rows.push(Row::Text(format!("  looked for {number}{sample}, in {read} of memory")));
    }
    rows.push(Row::Title("descriptors".to_owned()));
    for group in snapshot.groups.iter().take(most) {
        let kind = visible(noun(&group.kind, group.count));
        let numbers: Vec<String> = group.numbers.iter().take(3).map(u32::to_string).collect();
        let dots = if group.count > 3 { ", …" } else { "" };
        let left = format!("{:>7} {kind} (fd {}{dots})", count(group.count), numbers.join(", "));
        rows.push(Row::Pair(left, visible(&group.place).into_owned()));
    }
    more(&mut rows, snapshot.groups.len(), most);
    if !snapshot.sites.is_empty() {
        rows.push(Row::Title("held by call site".to_owned()));
        sites(&mut rows, &snapshot.sites, place, most);
        more(&mut rows, snapshot.sites.len(), most);
    }
    rows.push(Row::Title("threads".to_owned()));
    for wait in snapshot.waits.iter().take(most) {
        let names: Vec<_> = wait.names.iter().map(|name| visible(name)).collect();
        let what = format!("{:>7} {}", count(wait.count), visible(&wait.waits_in));
        let on = if wait.on.is_empty() { String::new() } else { format!("{} ", visible(&wait.on)) };
        rows.push(Row::Pair(what, format!("{on}[{}]", names.join(", "))));
    }
    more(&mut rows, snapshot.waits.len(), most);
    rows.push(Row::Title("limits".to_owned()));
    for limit in snapshot.limits.iter().take(4) {
        let is_bytes = limit.name.starts_with("memory");
        let amount = |number: f64| match is_bytes {
            true => bytes(number as u64),
            false => count(number as u64),
        };
        let eta = limit.eta_s.map_or(String::new(), |eta| format!(", full in {}", seconds(eta)));
        let of = share(limit.used / limit.limit);
        let (used, most) = (amount(limit.used), amount(limit.limit));
        rows.push(Row::Text(format!("  {}: {used} of {most} ({of}){eta}", visible(&limit.name))));
    }
    let memory = &snapshot.memory;
    let swap = if memory.swap > 0 {
        format!(", {} swapped out", bytes(memory.swap))
    } else {
        String::new()
    };
    rows.push(Row::Title("memory".to_owned()));
    rows.push(Row::Text(format!(
        "  {} resident ({} anonymous){swap}, {} in {}",
        bytes(memory.resident),
        bytes(memory.anonymous),
        bytes(memory.space),
        plural(memory.mappings, "mapping", "mappings")
    )));
    if snapshot.children > 0 || !snapshot.zombies.is_empty() {
        let zombies = plural(snapshot.zombies.len() as u64, "zombie", "zombies");
        let children = plural(snapshot.children, "child process", "child processes");
        rows.push(Row::Text(format!("  {children}, {zombies}")));
    }
    if !snapshot.unseen.is_empty() {
        rows.push(Row::Title("not seen".to_owned()));
        rows.extend(snapshot.unseen.iter().map(|text| Row::Text(format!("  {}", visible(text)))));
    }
    rows
}

fn sites(rows: &mut Vec<Row>, sites: &[SiteHeld], place: usize, most: usize) {
    for held in sites.iter().take(most) {
        let size = if held.bytes > 0 { format!(", {}", bytes(held.bytes)) } else { String::new() };
        let kind = visible(noun(&held.kind, held.count)).into_owned();
        let oldest = seconds(held.oldest_s);
        rows.push(Row::Text(format!("  {:>7} {kind}{size}, oldest {oldest}", count(held.count))));
        let site = text::own_frame(&held.site).map(|frame| text::place(frame, place));
        let site = site.unwrap_or_else(|| "no call site".to_owned());
        rows.push(Row::Text(format!("          at {site}")));
    }
}

fn more(rows: &mut Vec<Row>, all: usize, shown: usize) {
    if all > shown {
        rows.push(Row::Text(format!("          and {} more (--all)", count((all - shown) as u64))));
    }
}

fn growth_row(grown: &Growth, place: usize) -> Row {
    let is_bytes = grown.what == "memory";
    let amount = |number: u64| if is_bytes { bytes(number) } else { count(number) };
    let ends = [grown.counts.first(), grown.counts.last()];
    let [first, last] = ends.map(|number| amount(number.copied().unwrap_or(0)));
    let steady = if grown.is_steady { ", at each look" } else { "" };
    let rate = growth(grown.per_hour, is_bytes);
    let name = if is_bytes { "anonymous memory" } else { noun(&grown.kind, 2) };
    let left = format!("{} {first} to {last} ({rate}{steady})", visible(name));
    let right = match (&grown.site, grown.place.as_str()) {
        (Some(site), _) => match text::own_frame(site) {
            Some(frame) => format!("at {}", text::place(frame, place)),
            None => "no call site".to_owned(),
        },
        (None, place) => visible(place).into_owned(),
    };
    Row::Pair(left, right)
}

fn verdict(snapshot: &Snapshot) -> String {
    let open: u64 = snapshot.kinds.values().sum();
    let traced = if snapshot.traced { "traced" } else { "not traced" };
    let (descriptors, threads) = (
        plural(open, "descriptor", "descriptors"),
        plural(snapshot.threads.len() as u64, "thread", "threads"),
    );
    let pid = snapshot.pid;
    format!("{} (pid {pid}, {traced}): {descriptors}, {threads}", visible(&snapshot.name))
}
