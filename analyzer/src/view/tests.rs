//! Views of reports made by hand, against `tests/expect/view-*.txt`; `UPDATE=1` rewrites those.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::json;

use super::{Look, render, screen, table};
use crate::cli::Format;
use crate::escape::width;
use crate::report::*;
use crate::symbols::source_line::SourceLines;

fn frame(function: &str, file: &str, line: u32) -> Frame {
    Frame {
        function: function.into(),
        file: file.into(),
        line,
        module: "/srv/bin/server".into(),
        offset: 0x1234,
        inlined: false,
    }
}

fn site(frames: Vec<Frame>, user: usize) -> Site {
    Site { user, own: true, frames }
}

fn finding(rule: &str, kind: &str, verdict: Verdict, severity: Severity, count: u64) -> Finding {
    Finding {
        id: format!("{rule}-{kind}-5f3a"),
        id_stable: true,
        site_id: "77aa".into(),
        rule: rule.into(),
        kind: kind.into(),
        verdict,
        severity,
        confidence: 0.97,
        title: format!("{count} {kind} at accept_loop"),
        count,
        bytes: None,
        pids: vec![4242],
        site: site(
            vec![frame("accept_loop", "src/server.c", 3), frame("main", "src/server.c", 9)],
            0,
        ),
        evidence: Default::default(),
        advice: "close it on the path that returns early".into(),
        saving: None,
        resources: vec![ResourceRef {
            pid: 4242,
            handle: "fd:7".into(),
            label: "10.0.0.7:51344".into(),
        }],
    }
}

/// A service that leaks, after three hours.
fn leaking() -> Report {
    let mut socket = finding("leak", "tcp", Verdict::Probable, Severity::Error, 312);
    socket.evidence = [
        ("since_s".to_string(), json!(840.0)),
        ("growth_per_hour".to_string(), json!(98.0)),
        ("released_at".to_string(), json!(site(vec![frame("drop_client", "src/server.c", 6)], 0))),
    ]
    .into();
    let mut heap = finding("leak", "heap", Verdict::Possible, Severity::Warning, 4102);
    heap.bytes = Some(12_900_000);
    heap.site = site(vec![frame("xmalloc", "lib/x.c", 4), frame("parse_request", "", 0)], 1);
    let mut closed = finding("double-close", "file", Verdict::Definite, Severity::Error, 2);
    closed.site = site(vec![frame("", "", 0)], 0);
    closed.id_stable = false;
    let open = finding("leak", "file", Verdict::StillOpen, Severity::Info, 3);
    Report {
        schema: SCHEMA.into(),
        trace: TraceInfo {
            path: "/home/u/.local/state/resshim/server.4242".into(),
            host: "web1".into(),
            started: "2026-11-24T19:26:54Z".into(),
            duration_s: 11_520.0,
            profile: "default".into(),
            events: 1_234_567,
            events_lost: 4000,
            complete: true,
            command: vec!["/srv/bin/server".into(), "--port".into(), "8080".into()],
        },
        processes: vec![
            Process {
                pid: 4242,
                parent: 1,
                image: 1,
                service: "server".into(),
                exe: "/srv/bin/server".into(),
                args: vec!["server".into(), "--port".into(), "8080".into()],
                started_s: 0.0,
                ended_s: None,
                end: "running".into(),
                not_visible: vec!["heap: the executable defines malloc".into()],
            },
            Process {
                pid: 4250,
                parent: 4242,
                image: 2,
                service: "server".into(),
                exe: "/usr/bin/gzip".into(),
                args: vec!["gzip".into()],
                started_s: 3.0,
                ended_s: Some(3.25),
                end: "exit:0".into(),
                not_visible: vec![],
            },
        ],
        kinds: vec![
            KindTotals {
                kind: "tcp".into(),
                acquired: 40_312,
                released: 40_000,
                live: 312,
                peak: 320,
                failed: [("EMFILE".to_string(), 2)].into(),
                lifetime_s: Some(Lifetimes { p50: 0.012, p90: 0.02, p99: 0.3, max: 61.0 }),
                bytes: None,
                series: Series::default(),
            },
            KindTotals {
                kind: "heap".into(),
                acquired: 9_000_000,
                released: 8_995_898,
                live: 4102,
                peak: 4200,
                bytes: Some(Bytes {
                    acquired: 1 << 40,
                    live: 12_900_000,
                    peak: 13_000_000,
                    standard_error: 900_000.0,
                }),
                ..KindTotals::default()
            },
        ],
        findings: vec![heap, open, closed, socket],
        overhead: Overhead {
            cpu_share: 0.004,
            ns_per_event: 180.0,
            bytes: 1_300_000,
            steps: vec![],
        },
        unjudged: [("file".to_string(), 3), ("tcp".to_string(), 1)].into(),
        limits: vec![Limit {
            name: "RLIMIT_NOFILE".into(),
            pid: 4242,
            kind: String::new(),
            used: 972.0,
            limit: 1024.0,
            eta_s: Some(1980.0),
        }],
        ..Report::default()
    }
}

fn clean() -> Report {
    let mut report = leaking();
    report.findings.clear();
    report.unjudged.clear();
    report.trace.events_lost = 0;
    report.processes.iter_mut().for_each(|process| process.not_visible.clear());
    report
}

/// A directory with the source file that the reports name.
fn sources() -> SourceLines {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| {
        let directory = std::env::temp_dir().join("resshim-view-sources");
        fs::create_dir_all(directory.join("src")).expect("directory");
        let text = "\n\n    conn = accept(fd, NULL, NULL);\n\n\n\tclose(client->fd);\n";
        fs::write(directory.join("src/server.c"), text).expect("file");
        directory
    });
    SourceLines::below(directory)
}

fn expect(name: &str, shown: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/expect").join(name);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, shown).expect("expectation written");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == shown, "{}: UPDATE=1 rewrites it; it is now\n{shown}", path.display());
}

fn shown(report: &Report, format: Format, all: bool) -> String {
    render(report, format, &Look::plain(all, sources())).expect("a view")
}

#[test]
fn a_leaking_service_on_the_first_screen() {
    expect("view-screen.txt", &shown(&leaking(), Format::Table, false));
}

#[test]
fn a_leaking_service_in_full() {
    expect("view-all.txt", &shown(&leaking(), Format::Table, true));
}

#[test]
fn a_leaking_service_as_markdown() {
    expect("view-markdown.md", &shown(&leaking(), Format::Markdown, true));
}

#[test]
fn a_clean_service_says_what_was_looked_at() {
    let text = shown(&clean(), Format::Table, false);
    assert!(text.starts_with("nothing found in server ("), "{text}");
    expect("view-clean.txt", &text);
}

#[test]
fn a_clean_verdict_is_not_given_for_what_was_not_seen() {
    let mut report = clean();
    report.trace.events_lost = 1;
    let text = shown(&report, Format::Table, false);
    assert!(text.starts_with("nothing found in what was seen of server"), "{text}");
    report.processes.clear();
    assert!(shown(&report, Format::Table, false).starts_with("no process was traced"));
}

#[test]
fn more_live_ones_than_there_ever_were_at_one_time_are_explained() {
    let mut report = clean();
    let note = table::live_note(&leaking());
    assert_eq!(note, None, "{:?}", leaking().kinds);
    report.kinds[0].live = report.kinds[0].peak + 1;
    for format in [Format::Table, Format::Markdown] {
        let text = shown(&report, format, true);
        assert!(text.contains("not released when they ended"), "{text}");
    }
}

#[test]
fn json_has_the_report_and_every_key_of_it() {
    let text = shown(&leaking(), Format::Json, false);
    assert_eq!(serde_json::from_str::<Report>(&text).expect("a report"), leaking());
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for key in [
        "schema",
        "trace",
        "processes",
        "kinds",
        "findings",
        "cycles",
        "alerts",
        "overhead",
        "diagnostics",
    ] {
        assert!(value.get(key).is_some(), "{key}");
    }
    let finding = &value["findings"][0];
    for key in ["id", "id_stable", "site_id", "bytes", "saving", "evidence", "resources", "site"] {
        assert!(finding.get(key).is_some(), "{key}");
    }
    assert_eq!(value["findings"][1]["verdict"], "still-open");
    assert_eq!(value["processes"][0]["ended_s"], serde_json::Value::Null);
}

#[test]
fn severities_are_coloured_and_nothing_else_is_changed() {
    let look = Look { columns: 80, colour: true, all: false, sources: sources() };
    let coloured = render(&leaking(), Format::Table, &look).expect("a view");
    assert!(coloured.contains("\x1b[1;31merror"));
    let mut plain = coloured;
    for code in ["\x1b[1;31m", "\x1b[33m", "\x1b[0m"] {
        plain = plain.replace(code, "");
    }
    assert_eq!(plain, shown(&leaking(), Format::Table, false));
}

/// Strings that harm a terminal, a log, a page.
const HOSTILE: &[&str] = &[
    "\x1b[2J\x1b]0;owned\x07",
    "\n::error file=x::owned\n",
    "::set-output name=x::y",
    "##[error]x",
    "</script><script>alert(1)</script>",
    "\u{202e}gpj.exe\u{2066}",
    "\u{200b}\u{feff}\u{2028}x",
    "💥日本語👩‍👩‍👧",
    "| a | b |\n|---|---|",
    "[x](javascript:alert(1)) ![y](http://z) @all #1 `code` <!--",
    "",
    "$(rm -rf /) `id` '; --",
];

/// The leaking report with this string wherever a trace can put one.
fn hostile(text: &str) -> Report {
    let mut report = leaking();
    let text = || text.to_string();
    report.trace.path = text();
    report.trace.host = text();
    report.trace.started = text();
    report.trace.profile = text();
    report.trace.command = vec![text(), text()];
    for process in &mut report.processes {
        process.exe = text();
        process.service = text();
        process.args = vec![text(), text()];
        process.end = text();
        process.not_visible = vec![text()];
    }
    for kind in &mut report.kinds {
        kind.kind = text();
        kind.failed = [(text(), 1)].into();
    }
    for finding in &mut report.findings {
        finding.id = text();
        finding.rule = text();
        finding.kind = text();
        finding.title = text();
        finding.advice = text();
        finding.evidence.insert(text(), json!(text()));
        finding.saving = Some(Saving { value: 1.0, unit: text(), low: 0.0, high: 2.0 });
        for frame in &mut finding.site.frames {
            frame.function = text();
            frame.file = text();
            frame.module = text();
        }
        finding.resources = vec![ResourceRef { pid: 1, handle: text(), label: text() }];
    }
    report.cycles = vec![Cycle {
        class: text(),
        nodes: vec![CycleNode { id: text(), kind: text(), label: text() }],
        edges: vec![CycleEdge {
            from: text(),
            to: text(),
            relation: text(),
            site: site(vec![frame(&text(), &text(), 1)], 0),
        }],
        advice: text(),
    }];
    report.limits[0].name = text();
    report.diagnostics = vec![Diagnostic { level: text(), text: text() }];
    report.unjudged = [(text(), 4)].into();
    report.overhead.steps = vec![Step { at_s: 1.0, kind: text(), to: text(), why: text() }];
    report
}

#[test]
fn hostile_strings_harm_no_view() {
    let long = "x".repeat(100_000);
    for text in HOSTILE.iter().copied().chain([long.as_str()]) {
        let report = hostile(text);
        for (format, all) in [
            (Format::Table, false),
            (Format::Table, true),
            (Format::Markdown, true),
            (Format::Json, true),
        ] {
            let view = shown(&report, format, all);
            for line in view.lines() {
                let start = line.trim_start();
                assert!(!start.starts_with("::") && !start.starts_with("##["), "{line}");
                let hidden = line.chars().find(|c| crate::escape::is_hidden(*c));
                assert_eq!(hidden, None, "{text:?} in {line:?}");
            }
            if format == Format::Markdown {
                let markup = ["<script", "](javascript", "](http", "@all", "<!--"];
                assert!(
                    !outside_code(&view)
                        .iter()
                        .any(|part| { markup.iter().any(|m| part.contains(m)) }),
                    "{text:?}: {view}"
                );
            }
        }
    }
}

/// The lines of markdown without their code spans: a run of backticks up to the next run as long.
fn outside_code(markdown: &str) -> Vec<String> {
    let run = |text: &str| text.len() - text.trim_start_matches('`').len();
    markdown
        .lines()
        .map(|line| {
            let (mut rest, mut kept) = (line, String::new());
            while let Some(c) = rest.chars().next() {
                let length = run(rest);
                if c == '\\' {
                    let end = rest.char_indices().nth(2).map_or(rest.len(), |(at, _)| at);
                    kept.push_str(&rest[..end]);
                    rest = &rest[end..];
                } else if length == 0 {
                    kept.push(c);
                    rest = &rest[c.len_utf8()..];
                } else {
                    let mut inside = &rest[length..];
                    while !inside.is_empty() && run(inside) != length {
                        inside = inside.trim_start_matches('`');
                        inside = &inside[inside.find('`').unwrap_or(inside.len())..];
                    }
                    assert!(!inside.is_empty(), "a code span without an end: {line}");
                    rest = &inside[length..];
                }
            }
            kept
        })
        .collect()
}

#[test]
fn the_first_screen_is_24_rows_of_80_columns_whatever_is_in_it() {
    let mut many = leaking();
    for number in 0..20 {
        many.findings.push(finding("leak", "file", Verdict::Possible, Severity::Warning, number));
    }
    let long = "long ".repeat(2000);
    let mut reports = vec![leaking(), clean(), many, Report::default()];
    reports.extend(HOSTILE.iter().map(|text| hostile(text)));
    let mut unending = hostile(&long);
    unending.trace.path = format!("/{}", "d".repeat(300));
    reports.push(unending);
    for report in reports {
        for columns in [80, 120] {
            let look = Look { columns, ..Look::plain(false, sources()) };
            let view = render(&report, Format::Table, &look).expect("a view");
            let rows: usize = view.lines().map(|line| width(line).div_ceil(columns).max(1)).sum();
            assert!(rows <= screen::ROWS, "{rows} rows:\n{view}");
            for line in view.lines().filter(|l| !l.starts_with("trace") && !l.starts_with("next")) {
                assert!(width(line) <= columns, "{line}");
            }
        }
    }
}

#[test]
fn many_findings_of_one_kind_do_not_hide_the_only_one_of_another() {
    let mut report = clean();
    for _ in 0..50 {
        report.findings.push(finding("leak", "heap", Verdict::Probable, Severity::Error, 900));
    }
    report.findings.push(finding("leak", "tcp", Verdict::Probable, Severity::Error, 1));
    let text = shown(&report, Format::Table, false);
    assert!(text.contains("1 error   probable leak of 1 tcp socket"), "{text}");
    assert!(text.contains("2 error   probable leak of 900 heap blocks"), "{text}");
    assert!(text.contains("# 46 more findings"), "{text}");
}

#[test]
fn the_next_command_survives_a_shell() {
    assert_eq!(super::text::shell_word("/a/b-c_d.e"), "/a/b-c_d.e");
    assert_eq!(super::text::shell_word("it's $(x)"), "'it'\\''s $(x)'");
    assert_eq!(super::text::shell_word("a\n\x1b'"), "$'a\\x0a\\x1b\\''");
    assert_eq!(super::text::shell_word(""), "''");
}
