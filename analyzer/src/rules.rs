//! `.resshim.toml`: what a project expects of its own program, and which findings it has looked into.
//!
//! ```toml
//! [rules]
//! confidence = 0.5            # findings that are less sure are left out
//! least_count = 2             # and those of fewer resources
//!
//! [[rules.limit]]             # more than `max` live at one time, or more a hour than `growth_per_hour`, is a `threshold`
//! kind = "tcp"
//! site = "Pool::dial"         # optional: the program's own function that acquires
//! max = 200
//!
//! [[rules.expect]]            # held for longer is `overdue`
//! kind = "database"
//! seconds = 30
//!
//! [[rules.suppress]]          # looked into, and right
//! rule = "leak"               # rule, kind and site are optional, but not all three
//! kind = "file"
//! site = "open_segment"
//! reason = "segments stay open as long as the store does"
//! ```
//!
//! The file is the reader's, never the traced program's.

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::report::{Finding, Site};

/// Its name.
pub const FILE: &str = ".resshim.toml";
/// A longer one is no such file.
const LONGEST: u64 = 1 << 20;

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Findings that are less sure are left out, 0 to 1.
    pub confidence: f64,
    /// Findings of fewer resources are left out.
    pub least_count: u64,
    /// Limits.
    pub limit: Vec<Limit>,
    /// Hold times.
    pub expect: Vec<Expect>,
    /// Findings that are right as they are.
    pub suppress: Vec<Suppress>,
}

/// Most that may be live, or come.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Word of the kind.
    pub kind: String,
    /// The program's own function that acquires; all if there is none.
    pub site: Option<String>,
    /// Most that may be live at one time.
    pub max: Option<u64>,
    /// Most by which the live count may grow, resources an hour.
    pub growth_per_hour: Option<f64>,
}

/// How long a resource is expected to be held.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Word of the kind.
    pub kind: String,
    /// The program's own function that acquires; all if there is none.
    pub site: Option<String>,
    /// At most so long.
    pub seconds: f64,
}

/// Findings that were looked into.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suppress {
    /// Of this rule.
    pub rule: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// In this function of the program.
    pub site: Option<String>,
    /// Why they are right.
    pub reason: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    rules: Rules,
}

impl Rules {
    /// Reads `file`; without one `.resshim.toml` of the working directory, which need not be there.
    ///
    /// # Errors
    /// Where it cannot be read, or says what makes no sense.
    pub fn of(file: Option<&Path>) -> Result<Rules> {
        let path = file.unwrap_or(Path::new(FILE));
        let text = match std::fs::metadata(path) {
            Ok(about) if about.len() > LONGEST || !about.is_file() => {
                return Err(refused(path, "no regular file of at most 1 MiB".to_owned()));
            }
            Ok(_) => std::fs::read_to_string(path),
            Err(error) => Err(error),
        };
        match text {
            Ok(text) => Rules::parse(&text).map_err(|why| refused(path, why)),
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Rules::default())
            }
            Err(error) => Err(refused(path, error.to_string())),
        }
    }

    /// Reads what a file says.
    ///
    /// # Errors
    /// One line: where, and what makes no sense.
    pub fn parse(text: &str) -> std::result::Result<Rules, String> {
        let file: File = toml::from_str(text).map_err(|error| one_line(text, &error))?;
        file.rules.check()?;
        Ok(file.rules)
    }

    fn check(&self) -> std::result::Result<(), String> {
        if !(0.0..=1.0).contains(&self.confidence) {
            return Err("confidence is between 0 and 1".to_owned());
        }
        for limit in &self.limit {
            if limit.max.is_none() && limit.growth_per_hour.is_none() {
                return Err(format!(
                    "the limit of {} has neither max nor growth_per_hour",
                    limit.kind
                ));
            }
        }
        if let Some(expect) =
            self.expect.iter().find(|e| !(e.seconds > 0.0 && e.seconds.is_finite()))
        {
            return Err(format!(
                "{} is expected to be held for {} seconds",
                expect.kind, expect.seconds
            ));
        }
        for suppress in &self.suppress {
            if suppress.reason.trim().is_empty() {
                return Err("a suppression has no reason".to_owned());
            }
            if suppress.rule.is_none() && suppress.kind.is_none() && suppress.site.is_none() {
                return Err("a suppression names no rule, no kind and no site: it would hide all"
                    .to_owned());
            }
        }
        Ok(())
    }

    /// The reason for which a finding is suppressed, if it is.
    pub fn suppressed(&self, finding: &Finding) -> Option<&str> {
        let fits = |of: &Suppress| {
            of.rule.as_ref().is_none_or(|rule| *rule == finding.rule)
                && of.kind.as_ref().is_none_or(|kind| *kind == finding.kind)
                && is_at(of.site.as_deref(), &finding.site)
        };
        self.suppress.iter().find(|of| fits(of)).map(|of| of.reason.as_str())
    }

    /// Whether a finding is too weak or too small to be listed.
    pub fn is_below(&self, finding: &Finding) -> bool {
        finding.confidence < self.confidence || finding.count < self.least_count
    }
}

/// Whether the program's own frame of a site is this function: `dial` and `Pool::dial` are both the name of
/// `net::Pool::dial`.
pub fn is_at(function: Option<&str>, site: &Site) -> bool {
    let Some(function) = function else { return true };
    let own = site.frames.get(site.user).or_else(|| site.frames.first());
    let parts = |name: &str| -> Vec<String> {
        let name = without_arguments(name);
        name.split([':', '.']).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    own.is_some_and(|own| parts(&own.function).ends_with(&parts(function)))
}

/// The name of a function without its arguments and those of its templates.
fn without_arguments(name: &str) -> String {
    let (mut depth, mut bare) = (0_u32, String::new());
    for letter in name.chars() {
        match letter {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            '(' if depth == 0 => break,
            _ if depth == 0 => bare.push(letter),
            _ => {}
        }
    }
    bare
}

fn refused(path: &Path, why: String) -> Error {
    Error::input(path, why, "docs/guide.md has an example of this file")
}

/// Errors of toml have several lines and draw the place.
fn one_line(text: &str, error: &toml::de::Error) -> String {
    let line = error
        .span()
        .map(|span| text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1);
    let message = error.message().replace('\n', "; ");
    line.map_or(message.clone(), |line| format!("line {line}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Frame;

    #[test]
    fn what_makes_no_sense_is_refused_in_one_line() {
        let refuses = |text: &str, with: &str| {
            let why = Rules::parse(text).unwrap_err();
            assert!(why.contains(with) && !why.contains('\n'), "{text}: {why}");
        };
        refuses("[rules]\nconfidence = 7", "between 0 and 1");
        refuses("[rules]\nconfidense = 0.5", "line 2: unknown field");
        refuses("[[rules.limit]]\nkind = \"tcp\"", "neither max");
        refuses("[[rules.expect]]\nkind = \"tcp\"\nseconds = -1.0", "-1 seconds");
        refuses("[[rules.suppress]]\nrule = \"leak\"\nreason = \" \"", "no reason");
        refuses("[[rules.suppress]]\nreason = \"x\"", "hide all");
        refuses("[[rules.suppress]]\nrule = \"leak\"", "reason");
        refuses("rules = [", "line 1");
        refuses("\u{1b}[31m = 1", "line 1");
        assert_eq!(Rules::parse("").unwrap(), Rules::default());
    }

    #[test]
    fn any_bytes_are_survived() {
        let whole = "[rules]\nconfidence = 0.5\n[[rules.limit]]\nkind = \"tcp\"\nmax = 200\n";
        for end in 0..whole.len() {
            let _ = Rules::parse(&whole[..end]);
            for byte in ["\0", "\"", "]", "é", "9"] {
                let _ = Rules::parse(&format!("{}{byte}{}", &whole[..end], &whole[end..]));
            }
        }
    }

    #[test]
    fn a_function_is_named_by_its_last_parts() {
        let site = |function: &str| Site {
            user: 1,
            own: true,
            frames: vec![
                Frame { function: "open".into(), ..Frame::default() },
                Frame { function: function.into(), ..Frame::default() },
            ],
        };
        let own = site("net::Pool<std::pair<int, int>>::dial(char const*)");
        assert!(is_at(None, &own));
        assert!(is_at(Some("dial"), &own) && is_at(Some("Pool::dial"), &own));
        assert!(is_at(Some("Pool.dial"), &own));
        assert!(!is_at(Some("redial"), &own) && !is_at(Some("open"), &own));
        assert!(is_at(Some("Desk.fetch"), &site("app.Desk.fetch")));
    }
}
