//! The trail of resources on a terminal, and as lines of JSON. Made in portions: a trail can be long.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::audit::{Line, Part, Summary, Trail};
use crate::escape::{self, truncate, truncate_left, visible, width};
use crate::report::Site;
use crate::view::quantity::{count, plural};
use crate::view::{Look, text};

/// Failing calls that are told apart.
const MOST_FAILURES: usize = 1000;
/// Where the call stack of a step begins.
const INDENT: usize = 14;

/// One line of JSON a step. A resource as a whole is as many lines.
///
/// # Errors
/// Never for what the analyzer makes.
pub fn json(part: &Part) -> anyhow::Result<String> {
    let lines = match part {
        Part::Line(line) => std::slice::from_ref(line),
        Part::Trail(trail) => &trail.lines,
    };
    let mut out = String::new();
    for line in lines {
        out.push_str(&escape::json(&serde_json::to_string(line)?));
        out.push('\n');
    }
    Ok(out)
}

/// The table.
#[derive(Debug)]
pub struct Table {
    columns: usize,
    /// Every frame of a stack, on a line of its own.
    stacks: bool,
    failures: BTreeMap<(u32, String, String, String), Line>,
    failures_left_out: u64,
    resources: u64,
}

impl Table {
    /// As wide as `look` says.
    pub fn new(look: &Look) -> Table {
        Table {
            columns: look.columns,
            stacks: look.all,
            failures: BTreeMap::new(),
            failures_left_out: 0,
            resources: 0,
        }
    }

    /// What is to be shown of this part now.
    pub fn part(&mut self, part: Part) -> String {
        let text = match part {
            Part::Trail(trail) => self.trail(&trail),
            Part::Line(line) => {
                self.failed(line);
                return String::new();
            }
        };
        escape::guard_lines(&text).into_owned()
    }

    fn failed(&mut self, line: Line) {
        let errno = line.arguments.get("errno").cloned().unwrap_or_default();
        let place = text::own_frame(&line.site).map_or(String::new(), |f| text::place(f, 200));
        let key = (line.pid, line.event.clone(), errno, place);
        if self.failures.len() >= MOST_FAILURES && !self.failures.contains_key(&key) {
            self.failures_left_out += 1;
            return;
        }
        self.failures.insert(key, line);
    }

    fn trail(&mut self, trail: &Trail) -> String {
        let mut out = String::new();
        if self.resources > 0 {
            out.push('\n');
        }
        self.resources += 1;
        let head =
            format!("#{}  {} {}", trail.number, visible(&trail.kind), visible(&trail.handle));
        let head = truncate(&head, self.columns);
        let left = self.columns.saturating_sub(width(&head) + 2);
        let label = visible(&trail.label);
        let label = if left >= 8 { truncate_left(&label, left) } else { "".into() };
        let _ = writeln!(out, "{}", format!("{head}  {label}").trim_end());
        let (program, pid) = (visible(&trail.program.0), trail.program.1);
        let about = format!("    {program}, pid {pid}: {}", visible(&trail.end));
        let _ = writeln!(out, "{}", truncate(&about, self.columns));
        let first = trail.lines.first().map_or(0, |line| line.pid);
        let is_shared = trail.lines.iter().any(|line| line.pid != first || line.to_pid.is_some());
        for (at, line) in trail.lines.iter().enumerate() {
            let (behind, left_out) = trail.left_out;
            if at == behind && left_out > 0 {
                let what = plural(left_out, "step", "steps");
                let _ = writeln!(out, "{:INDENT$}… {what} left out (--format json has all)", "");
            }
            self.step(&mut out, line, is_shared, &trail.label);
        }
        out
    }

    fn step(&self, out: &mut String, line: &Line, is_shared: bool, known_label: &str) {
        let mut words = vec![visible(&line.event).into_owned()];
        if line.effect == "failed" {
            words[0].push_str(" failed");
        }
        words.extend((!line.handle.is_empty()).then(|| visible(&line.handle).into_owned()));
        if let Some(of) = &line.alias_of {
            words.push(format!("of {}", visible(of)));
        }
        if let Some(pid) = line.to_pid.filter(|_| line.event == "fork") {
            words.push(format!("to pid {pid}"));
        }
        for (name, value) in &line.arguments {
            words.push(match name.as_str() {
                "flags" | "is" | "errno" | "how" => visible(value).into_owned(),
                name => format!("{name} {}", visible(value)),
            });
        }
        if !line.label.is_empty() && line.label != known_label {
            words.push(visible(&line.label).into_owned());
        }
        let mut who = Vec::new();
        if is_shared {
            who.push(format!("pid {}", line.pid));
        }
        if line.tid != 0 && line.tid != line.pid {
            who.push(format!("thread {}", line.tid));
        }
        if !who.is_empty() {
            words[0] = format!("{}: {}", who.join(", "), words[0]);
        }
        let text = format!("{:>10.6} s  {}", line.at_s, words.join("  "));
        let _ = writeln!(out, "{}", truncate(&text, self.columns));
        for row in self.stack(&line.site) {
            let _ = writeln!(out, "{:INDENT$}{row}", "");
        }
    }

    /// The first frame of the program's own code and who called it, as many as fit; or all of them.
    fn stack(&self, site: &Site) -> Vec<String> {
        let room = self.columns.saturating_sub(INDENT);
        if self.stacks {
            let one = |(at, frame): (usize, &crate::report::Frame)| {
                let mark = if at == site.user { '>' } else { ' ' };
                format!("{mark} {}", text::place(frame, room.saturating_sub(2)))
            };
            return site.frames.iter().enumerate().map(one).collect();
        }
        let from = if site.user < site.frames.len() { site.user } else { 0 };
        let mut row = String::new();
        for frame in site.frames.iter().skip(from) {
            // The file's name alone: who called is more than where that lies.
            let file = frame.file.rsplit('/').next().unwrap_or_default().to_owned();
            let place = text::place(&crate::report::Frame { file, ..frame.clone() }, room.min(56));
            let next = if row.is_empty() { place } else { format!("{row} < {place}") };
            if width(&next) > room {
                break;
            }
            row = next;
        }
        if row.is_empty() { Vec::new() } else { vec![row] }
    }

    /// What failed and was about no resource, and what was not seen.
    pub fn end(&self, summary: &Summary) -> String {
        let mut out = String::new();
        if self.resources == 0 && self.failures.is_empty() {
            out.push_str("no resource that was asked for\n");
        }
        if !self.failures.is_empty() {
            out.push_str(if self.resources > 0 { "\nfailed calls\n" } else { "failed calls\n" });
        }
        let mut failures: Vec<&Line> = self.failures.values().collect();
        failures.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
        for line in failures {
            self.step(&mut out, line, true, "");
        }
        if self.failures_left_out > 0 {
            let _ = writeln!(out, "{:INDENT$}… {} more", "", count(self.failures_left_out));
        }
        for remark in remarks(summary) {
            let _ = writeln!(out, "{}", truncate(&format!("unseen  {remark}"), 200));
        }
        escape::guard_lines(&out).into_owned()
    }
}

/// What the trail could not have: one phrase each, escaped.
pub fn remarks(summary: &Summary) -> Vec<String> {
    let lost = (summary.events_lost > 0).then(|| {
        format!("{} lost: they are in no trail", plural(summary.events_lost, "event", "events"))
    });
    let others = summary.remarks.iter().map(|remark| visible(remark).into_owned());
    lost.into_iter().chain(others).collect()
}
