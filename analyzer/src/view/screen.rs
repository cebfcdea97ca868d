//! The first screen: what somebody needs who was woken up for it. 24 lines of 80 columns.
//!
//! One verdict, up to five findings with the line to look at, the nearest limit, what is open but
//! was not judged, what was not seen, the cost, the trace, the next command. Only the trace's path
//! may be longer than a line: it is there to be copied. Where that takes rows, the rest gives way.

use comfy_table::{CellAlignment, Table, presets};

use crate::escape::{truncate, width};
use crate::report::{Finding, Report, Severity};
use crate::view::quantity::{count, seconds};
use crate::view::{Look, text};

/// Rows of a screen.
pub const ROWS: usize = 24;
/// Findings on the first screen.
const FINDINGS: usize = 5;

/// The screen.
pub fn render(report: &Report, look: &Look) -> String {
    let findings = text::ordered(report);
    let shown = findings.len().min(FINDINGS);
    // From the roomiest form to the tightest; the last one is taken as it is.
    let forms = [(3, 2), (3, 1), (3, 0), (2, 0), (1, 0)].into_iter();
    let mut forms = forms.flat_map(|(lines, gaps)| {
        let fewest = if lines == 1 { 0 } else { shown };
        (fewest..=shown).rev().map(move |number| (number, lines, gaps))
    });
    let screen = loop {
        let (number, lines, gaps) = forms.next().unwrap_or((0, 1, 0));
        let screen = compose(report, look, &findings, number, lines, gaps);
        if number == 0 && lines == 1 || rows(&screen, look.columns) <= ROWS {
            break screen;
        }
    };
    screen.concat()
}

fn compose(
    report: &Report,
    look: &Look,
    findings: &[&Finding],
    number: usize,
    lines: usize,
    gaps: usize,
) -> Vec<String> {
    let mut screen = vec![verdict(report, look)];
    let gap = |there: bool| there.then(|| "\n".to_string());
    screen.extend(gap(gaps > 1));
    if findings.is_empty() {
        screen.extend(looked_at(report, look.columns));
    }
    for (at, finding) in findings.iter().take(number).enumerate() {
        screen.extend(finding_lines(report, look, finding, at + 1).into_iter().take(lines));
    }
    screen.extend(gap(gaps > 0));
    screen.extend(foot(report, look, findings.len() - number.min(findings.len())));
    screen
}

/// Rows that the lines take on a terminal of so many columns.
fn rows(screen: &[String], columns: usize) -> usize {
    let text = screen.concat();
    // Colour takes no column; it stands only in lines that were cut to the width before.
    text.lines()
        .map(|line| if line.contains('\x1b') { 1 } else { width(line).div_ceil(columns).max(1) })
        .sum()
}

/// The verdict line.
pub fn verdict(report: &Report, look: &Look) -> String {
    let line = text::verdict(report, look.columns);
    let line = truncate(&line, look.columns);
    let summary = text::summary(report).unwrap_or_default();
    let worst = text::ordered(report).first().map(|finding| finding.severity);
    match worst {
        Some(severity) if line.starts_with(&summary) => {
            format!("{}{}\n", paint(&summary, severity, look), &line[summary.len()..])
        }
        _ => format!("{line}\n"),
    }
}

fn paint(text: &str, severity: Severity, look: &Look) -> String {
    let code = match severity {
        Severity::Error => "1;31",
        Severity::Warning => "33",
        Severity::Info => return text.to_string(),
    };
    if look.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
}

/// A finding's lines: what, where, and where its siblings are released or what to change.
pub fn finding_lines(report: &Report, look: &Look, finding: &Finding, at: usize) -> Vec<String> {
    let severity = text::severity(finding.severity);
    let lead = format!("{at} {severity:<7} ");
    let mut parts = text::headline(finding, report);
    while parts.len() > 1 && width(&lead) + width(&parts.join(", ")) > look.columns {
        parts.pop();
    }
    let headline = parts.join(", ");
    let headline = truncate(&headline, look.columns.saturating_sub(width(&lead)));
    let painted = paint(&format!("{severity:<7}"), finding.severity, look);
    let mut lines = vec![format!("{at} {painted} {headline}\n")];

    lines.push(match text::own_frame(&finding.site) {
        Some(frame) => line_of_code("  at ", frame, &finding.site, look),
        None => "  at a place that has no stack\n".into(),
    });
    let siblings = text::siblings(finding);
    if let Some((site, frame)) =
        siblings.as_ref().and_then(|site| Some((site, text::own_frame(site)?)))
    {
        lines.push(line_of_code("  others are released in ", frame, site, look));
    } else if !finding.advice.is_empty() {
        let advice = format!("  {}", crate::escape::visible(&finding.advice));
        lines.push(format!("{}\n", truncate(&advice, look.columns)));
    }
    lines
}

fn line_of_code(
    lead: &str,
    frame: &crate::report::Frame,
    site: &crate::report::Site,
    look: &Look,
) -> String {
    let shown = crate::report::Frame { file: look.sources.short(&frame.file), ..frame.clone() };
    if !site.own {
        let room = width(lead) + 2 + width(text::NO_OWN_CODE);
        let place = text::place(&shown, look.columns.saturating_sub(room).max(30));
        let line = format!("{lead}{place}  {}", text::NO_OWN_CODE);
        return format!("{}\n", truncate(&line, look.columns));
    }
    let code = look.sources.line(frame);
    // A line such as `}` leaves its room to the place.
    let room = width(lead) + code.as_ref().map_or(24, |code| (width(code) + 2).min(24));
    let place = text::place(&shown, look.columns.saturating_sub(room).max(30));
    let aside = match (code, site.frames.first()) {
        (Some(code), _) => format!("  {code}"),
        (None, Some(inner)) if inner != frame && !inner.function.is_empty() => {
            format!(" through {}", crate::escape::visible(&inner.function))
        }
        (None, _) => String::new(),
    };
    let line = format!("{lead}{place}{aside}");
    format!("{}\n", truncate(&line, look.columns))
}

/// What a clean verdict rests on.
fn looked_at(report: &Report, columns: usize) -> Vec<String> {
    let mut kinds: Vec<_> = report.kinds.iter().filter(|kind| kind.acquired > 0).collect();
    if kinds.is_empty() {
        return vec!["looked at: no acquisition was seen\n".into()];
    }
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.acquired));
    let mut table = Table::new();
    table.load_style(presets::NOTHING).force_no_tty().set_header([
        "looked at",
        "acquired",
        "released",
        "open",
        "peak",
        "median life",
        "longest",
    ]);
    for kind in kinds.iter().take(12) {
        let life = |pick: fn(&crate::report::Lifetimes) -> f64| {
            kind.lifetime_s.as_ref().map_or(String::new(), |lifetimes| seconds(pick(lifetimes)))
        };
        table.add_row([
            truncate(&crate::escape::visible(&kind.kind), 16).into_owned(),
            count(kind.acquired),
            count(kind.released),
            count(kind.live),
            count(kind.peak),
            life(|lifetimes| lifetimes.p50),
            life(|lifetimes| lifetimes.max),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut lines: Vec<String> =
        table.trim_fmt().lines().map(|line| format!("{}\n", truncate(line, columns))).collect();
    if kinds.len() > 12 {
        lines.push(format!(" and {} more kinds\n", kinds.len() - 12));
    }
    lines
}

/// The six lines below everything.
pub fn foot(report: &Report, look: &Look, hidden: usize) -> Vec<String> {
    let unseen = match text::unseen(report) {
        phrases if phrases.is_empty() => "nothing is known to be missing".to_string(),
        phrases => phrases.join("; "),
    };
    let more = match hidden {
        0 => String::new(),
        1 => "   # 1 more finding".into(),
        hidden => format!("   # {hidden} more findings"),
    };
    let cut = |name: &str, text: String| {
        let line = format!("{name:<7} {text}");
        format!("{}\n", truncate(&line, look.columns))
    };
    vec![
        cut("limit", text::nearest_limit(report)),
        cut("open", text::open(report)),
        cut("unseen", unseen),
        cut("cost", text::cost(report)),
        format!("trace   {}\n", text::shell_word(&report.trace.path)),
        format!("next    {}{more}\n", text::next(report)),
    ]
}
