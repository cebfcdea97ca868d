//! The phrases that the views share: what a report says, in words, without layout.
//!
//! Strings that come out of here are escaped for a terminal ([`escape::visible`]); markdown escapes
//! them once more in its own way.

use std::collections::BTreeMap;

use crate::escape::{truncate, truncate_left, visible};
use crate::model::kind::noun;
use crate::report::{Finding, Frame, Report, Severity, Site, Verdict};
use crate::symbols::managed::short_function;
use crate::view::quantity::{bytes, count, growth, moment, plural, seconds, share};

/// Findings in the order of the screen: severity, then growth; then the worst of each kind before
/// the second of any (a hundred heap sites must not hide the one leaked socket), the heap last; then
/// as the analysis has them. What is merely still open is not among them: it was not judged.
pub fn ordered(report: &Report) -> Vec<&Finding> {
    let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let judged = report.findings.iter().filter(|finding| is_judged(finding));
    let mut findings: Vec<(&Finding, usize)> = judged
        .map(|finding| {
            let before = seen.entry((&finding.rule, &finding.kind)).or_default();
            *before += 1;
            (finding, *before)
        })
        .collect();
    findings.sort_by(|(a, a_before), (b, b_before)| {
        let growth = |f: &Finding| number(f, "growth_per_hour").unwrap_or(0.0);
        b.severity
            .cmp(&a.severity)
            .then(growth(b).total_cmp(&growth(a)))
            .then(a_before.cmp(b_before))
            .then((a.kind == "heap").cmp(&(b.kind == "heap")))
    });
    findings.into_iter().map(|(finding, _)| finding).collect()
}

fn is_judged(finding: &Finding) -> bool {
    finding.verdict != Verdict::StillOpen || finding.severity != Severity::Info
}

/// The command without its options, or the service of the first process.
pub fn program(report: &Report) -> String {
    let command = &report.trace.command;
    let name = match (command.first(), report.processes.first()) {
        (Some(first), _) => {
            // An interpreter says little; what it was given says it.
            let script = command.get(1).filter(|word| !word.starts_with('-'));
            let script = script.map(|script| format!(" {}", base(script)));
            format!("{}{}", base(first), script.unwrap_or_default())
        }
        (None, Some(process)) if !process.service.is_empty() => process.service.clone(),
        (None, Some(process)) => base(&process.exe).to_string(),
        (None, None) => String::new(),
    };
    truncate(&visible(&name), 36).into_owned()
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(path)
}

/// The one line that says how it stands, within so many columns where that can be.
pub fn verdict(report: &Report, columns: usize) -> String {
    let mut pids: Vec<u32> = report.processes.iter().map(|process| process.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    let program = match program(report) {
        name if name.is_empty() => "this trace".to_string(),
        name => name,
    };
    if pids.is_empty() {
        return format!("no process was traced in {program}");
    }
    let what = match summary(report) {
        Some(summary) => format!("{summary} in {program}"),
        None if is_partial(report) => format!("nothing found in what was seen of {program}"),
        None => format!("nothing found in {program}"),
    };
    let processes = plural(pids.len() as u64, "process", "processes");
    let time = seconds(report.trace.duration_s);
    [format!("{what} ({processes}, {time})"), format!("{what} ({time})")]
        .into_iter()
        .find(|line| crate::escape::width(line) <= columns)
        .unwrap_or(what)
}

/// `1 definite leak, 2 probable leaks, 1 double-close`; `None` if nothing was found.
pub fn summary(report: &Report) -> Option<String> {
    let mut groups: Vec<((String, String), u64)> = Vec::new();
    let mut notes = 0;
    for finding in ordered(report) {
        let group = match (finding.rule.as_str(), finding.verdict) {
            ("leak", Verdict::StillOpen) => ("leak at exit".into(), "leaks at exit".into()),
            ("leak", verdict) => {
                (format!("{} leak", word(verdict)), format!("{} leaks", word(verdict)))
            }
            _ if finding.severity == Severity::Info => {
                notes += 1;
                continue;
            }
            (rule, _) => (visible(rule).into_owned(), visible(rule).into_owned()),
        };
        match groups.iter_mut().find(|(known, _)| *known == group) {
            Some((_, number)) => *number += 1,
            None => groups.push((group, 1)),
        }
    }
    let mut parts: Vec<String> =
        groups.iter().map(|((one, many), number)| plural(*number, one, many)).collect();
    if !report.cycles.is_empty() {
        parts.push(plural(report.cycles.len() as u64, "cycle", "cycles"));
    }
    if notes > 0 {
        parts.push(plural(notes, "note", "notes"));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn is_partial(report: &Report) -> bool {
    !unseen(report).is_empty()
}

/// Processes whose end is not in the trace.
fn open_ended(report: &Report) -> u64 {
    if report.trace.complete {
        return 0;
    }
    let is_open = |end: &str| matches!(end, "running" | "unknown" | "");
    report.processes.iter().filter(|process| is_open(&process.end)).count() as u64
}

/// The word of the contract.
pub fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::StillOpen => "still-open",
        Verdict::Possible => "possible",
        Verdict::Probable => "probable",
        Verdict::Definite => "definite",
    }
}

/// The word of the contract.
pub fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

/// `312 tcp sockets`.
pub fn amount(number: u64, kind: &str) -> String {
    format!("{} {}", count(number), visible(noun(kind, number)))
}

/// What was found, how much, how fast, since when: parts of a line, the most telling first.
pub fn headline(finding: &Finding, report: &Report) -> Vec<String> {
    let amount = amount(finding.count, &finding.kind);
    let amount = match finding.bytes {
        Some(size) => format!("{} in {amount}", bytes(size)),
        None => amount,
    };
    let what = match (finding.rule.as_str(), finding.verdict) {
        ("leak", Verdict::StillOpen) => format!("still open at exit: {amount}"),
        ("leak", verdict) => format!("{} leak of {amount}", word(verdict)),
        (rule, verdict) => format!("{} of {amount}, {}", visible(rule), word(verdict)),
    };
    let mut parts = vec![what];
    if let Some(rate) = number(finding, "growth_per_hour").filter(|rate| *rate != 0.0) {
        let is_bytes = finding.bytes.is_some() && finding.evidence.contains_key("growth_is_bytes");
        parts.push(growth(rate, is_bytes));
    }
    if let Some(since) = number(finding, "since_s") {
        let days = report.trace.duration_s >= 86_400.0;
        match moment(&report.trace.started, since, days) {
            Some(moment) => parts.push(format!("since {moment} ({} in)", seconds(since))),
            None => parts.push(format!("since {}", seconds(since))),
        }
    }
    parts
}

fn number(finding: &Finding, key: &str) -> Option<f64> {
    finding.evidence.get(key)?.as_f64()
}

/// Where others of the finding's site are released.
pub fn siblings(finding: &Finding) -> Option<Site> {
    let value = finding.evidence.get("released_at")?;
    let value = value.as_array().map_or(Some(value), |sites| sites.first())?;
    serde_json::from_value(value.clone()).ok().filter(|site: &Site| !site.frames.is_empty())
}

/// The frame that a reader can act on: the first of the program's own code.
pub fn own_frame(site: &Site) -> Option<&Frame> {
    site.frames.get(site.user).or_else(|| site.frames.first())
}

/// What is said of a site whose place is somebody else's code, since there is no other.
pub const NO_OWN_CODE: &str = "no code of the program on its stack";

/// `accept_loop (src/server.c:42)`, within so many columns where that can be.
pub fn place(frame: &Frame, columns: usize) -> String {
    let module = if frame.module.is_empty() { "?" } else { base(&frame.module) };
    let name = match short_function(frame) {
        "" => format!("{module}+0x{:x}", frame.offset),
        function => function.to_string(),
    };
    let name = visible(&name);
    if frame.file.is_empty() {
        let aside = if frame.function.is_empty() { "no symbols" } else { module };
        return format!("{} ({})", truncate(&name, columns * 2 / 3), visible(aside));
    }
    let line = if frame.line > 0 { format!(":{}", frame.line) } else { String::new() };
    let name = truncate(&name, columns / 2);
    let left = columns.saturating_sub(crate::escape::width(&name) + line.len() + 3).max(12);
    format!("{name} ({}{line})", truncate_left(&visible(&frame.file), left))
}

/// The limit that is nearest, in words.
pub fn nearest_limit(report: &Report) -> String {
    let alert = report.alerts.iter().filter(|alert| alert.limit > 0.0).max_by(|a, b| {
        let nearness = |alert: &crate::report::Alert| alert.value / alert.limit;
        nearness(a).total_cmp(&nearness(b))
    });
    let limits = report.limits.iter().filter(|limit| limit.limit > 0.0);
    let limit = limits.min_by(|a, b| {
        let eta = |limit: &crate::report::Limit| limit.eta_s.unwrap_or(f64::INFINITY);
        eta(a).total_cmp(&eta(b)).then((b.used / b.limit).total_cmp(&(a.used / a.limit)))
    });
    let words = |name: &str, used: f64, limit: f64, place: String, eta: Option<f64>| {
        let size = |value: f64| match name.contains("mem") || name.contains("bytes") {
            true => bytes(value as u64),
            false => count(value as u64),
        };
        let eta = match eta {
            Some(eta) => format!(", full in {}", seconds(eta)),
            None => String::new(),
        };
        let name = visible(name);
        format!("{name}: {} of {} ({}){place}{eta}", size(used), size(limit), share(used / limit))
    };
    match (limit, alert) {
        (Some(limit), _) => {
            let place = format!(" in pid {}", limit.pid);
            words(&limit.name, limit.used, limit.limit, place, limit.eta_s)
        }
        (None, Some(alert)) => {
            words(&alert.kind, alert.value, alert.limit, String::new(), alert.eta_s)
        }
        (None, None) => "none is known".into(),
    }
}

/// What is open but was not judged.
pub fn open(report: &Report) -> String {
    let mut open = report.unjudged.clone();
    if open.is_empty() {
        for finding in report.findings.iter().filter(|finding| !is_judged(finding)) {
            *open.entry(finding.kind.clone()).or_default() += finding.count;
        }
    }
    let mut kinds: Vec<(&String, &u64)> = open.iter().filter(|(_, number)| **number > 0).collect();
    kinds.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
    if kinds.is_empty() {
        return "nothing that was not judged".into();
    }
    let shown: Vec<String> = kinds.iter().take(3).map(|(kind, n)| amount(**n, kind)).collect();
    let more = if kinds.len() > 3 { ", …" } else { "" };
    format!("{}{more}; not judged (--at-exit counts them)", shown.join(", "))
}

/// What was not seen: one phrase each.
pub fn unseen(report: &Report) -> Vec<String> {
    let mut phrases = Vec::new();
    let (lost, events) = (report.trace.events_lost, report.trace.events);
    if lost > 0 {
        let of = share(lost as f64 / (lost.saturating_add(events)) as f64);
        phrases.push(format!("{} lost ({of})", plural(lost, "event", "events")));
    }
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for process in &report.processes {
        for reason in &process.not_visible {
            *reasons.entry(reason).or_default() += 1;
        }
    }
    let mut reasons: Vec<(&str, u64)> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    for (reason, number) in reasons {
        let times = if number > 1 { format!(" (in {number} images)") } else { String::new() };
        phrases.push(format!("{}{times}", visible(reason)));
    }
    let open_ended = open_ended(report);
    if open_ended > 0 {
        phrases.push(format!("the end of {}", plural(open_ended, "process", "processes")));
    }
    for diagnostic in report.diagnostics.iter().filter(|diagnostic| diagnostic.level != "info") {
        phrases.push(visible(&diagnostic.text).into_owned());
    }
    phrases
}

/// What it cost.
pub fn cost(report: &Report) -> String {
    let overhead = &report.overhead;
    let mut parts = Vec::new();
    if overhead.cpu_share > 0.0 {
        parts.push(format!("{} of the CPU", share(overhead.cpu_share)));
    }
    if overhead.ns_per_event > 0.0 {
        parts.push(format!("{} an event", seconds(overhead.ns_per_event / 1e9)));
    }
    if parts.is_empty() {
        parts.push("too few events to time".to_owned());
    }
    parts.push(plural(report.trace.events, "event", "events"));
    parts.push(bytes(overhead.bytes));
    if !overhead.steps.is_empty() {
        parts.push(plural(overhead.steps.len() as u64, "step down", "steps down"));
    }
    parts.join(", ")
}

/// A word for a shell, which gives back the same bytes and has no control character in it.
pub fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+,:@%=".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_string();
    }
    if visible(word) == word {
        return format!("'{}'", word.replace('\'', "'\\''"));
    }
    let mut quoted = String::from("$'");
    for c in word.chars() {
        match c {
            '\\' | '\'' => quoted.extend(['\\', c]),
            c if crate::escape::is_hidden(c) => {
                let mut buffer = [0; 4];
                for byte in c.encode_utf8(&mut buffer).bytes() {
                    quoted.push_str(&format!("\\x{byte:02x}"));
                }
            }
            c => quoted.push(c),
        }
    }
    quoted + "'"
}

/// The command to use next.
pub fn next(report: &Report) -> String {
    let trace = match report.trace.path.as_str() {
        "" => String::new(),
        path if path.starts_with('-') => format!(" ./{}", shell_word(path)),
        path => format!(" {}", shell_word(path)),
    };
    let found = !ordered(report).is_empty();
    let flag = if !found && !report.unjudged.is_empty() { "--at-exit" } else { "--all" };
    format!("resshim report {flag}{trace}")
}
