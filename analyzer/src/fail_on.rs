//! The rules of `--fail-on`: `RULE[:VERDICT][@KIND][>N]`, separated by commas.
//!
//! A verdict means that one or a stronger one; without one, `probable`. `>N` looks at the resources
//! of all findings that match, without it any finding does.

use std::str::FromStr;

use crate::report::{Finding, Report, Verdict};

/// Every rule that a report can name.
const RULES: &[&str] = &[
    "leak",
    "double-close",
    "bad-close",
    "use-after-close",
    "double-free",
    "invalid-free",
    "inherited",
    "deleted-open",
    "overdue",
    "abnormal-transition",
    "lock-order",
    "deadlock",
    "wait-cycle",
    "keepalive-cycle",
    "threshold",
    "exhaustion",
    "churn",
    "pool",
    "batch",
    "reserve",
    "idle",
    "imbalance",
    "oversized",
    "regression",
    "improvement",
];

/// A list of rules, any of which fails the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    text: String,
    rule: String,
    verdict: Verdict,
    kind: Option<String>,
    more_than: u64,
}

impl FromStr for Rules {
    type Err = String;
    fn from_str(text: &str) -> Result<Rules, String> {
        text.split(',').map(Rule::parse).collect::<Result<Vec<_>, _>>().map(Rules)
    }
}

impl Rules {
    /// The first rule that the report matches, as the user wrote it, with the number of resources.
    pub fn first_match(&self, report: &Report, at_exit: bool) -> Option<(&str, u64)> {
        self.0.iter().find_map(|rule| {
            let mut matching = report.findings.iter().filter(|f| rule.fits(f, at_exit)).peekable();
            matching.peek()?;
            let count: u64 = matching.map(|finding| finding.count.max(1)).sum();
            (count > rule.more_than).then_some((rule.text.as_str(), count))
        })
    }
}

impl Rule {
    fn parse(text: &str) -> Result<Rule, String> {
        let text = text.trim();
        let (rest, more_than) = match text.split_once('>') {
            Some((rest, number)) => {
                (rest, number.parse().map_err(|_| format!("'{number}' is no number in '{text}'"))?)
            }
            None => (text, 0),
        };
        let (rest, kind) = match rest.split_once('@') {
            Some((_, "")) => return Err(format!("the kind is missing in '{text}'")),
            Some((_, kind)) if kind.contains(':') => {
                return Err(format!(
                    "the verdict goes before the kind, RULE:VERDICT@KIND, not as in '{text}'"
                ));
            }
            Some((rest, kind)) => (rest, Some(kind.to_string())),
            None => (rest, None),
        };
        let (rule, verdict) = match rest.split_once(':') {
            Some((rule, verdict)) => (rule, parse_verdict(verdict)?),
            None => (rest, Verdict::Probable),
        };
        if !RULES.contains(&rule) {
            return Err(format!("'{rule}' is no rule; the rules are {}", RULES.join(", ")));
        }
        Ok(Rule { text: text.into(), rule: rule.into(), verdict, kind, more_than })
    }

    fn fits(&self, finding: &Finding, at_exit: bool) -> bool {
        let counted = at_exit && finding.verdict == Verdict::StillOpen;
        finding.rule == self.rule
            && (counted || finding.verdict >= self.verdict)
            && self.kind.as_ref().is_none_or(|kind| *kind == finding.kind)
    }
}

fn parse_verdict(word: &str) -> Result<Verdict, String> {
    Ok(match word {
        "still-open" => Verdict::StillOpen,
        "possible" => Verdict::Possible,
        "probable" => Verdict::Probable,
        "definite" => Verdict::Definite,
        _ => {
            return Err(format!(
                "'{word}' is no verdict; they are definite, probable, possible, still-open"
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Severity, Site};

    fn finding(rule: &str, kind: &str, verdict: Verdict, count: u64) -> Finding {
        Finding {
            id: String::new(),
            id_stable: true,
            site_id: String::new(),
            rule: rule.into(),
            kind: kind.into(),
            verdict,
            severity: Severity::Warning,
            confidence: 0.9,
            title: String::new(),
            count,
            bytes: None,
            pids: vec![],
            site: Site::default(),
            evidence: Default::default(),
            advice: String::new(),
            saving: None,
            resources: vec![],
        }
    }

    fn matches(rules: &str, at_exit: bool, findings: Vec<Finding>) -> bool {
        let rules: Rules = rules.parse().expect("rules");
        let report = Report { findings, ..Report::default() };
        rules.first_match(&report, at_exit).is_some()
    }

    #[test]
    fn a_rule_means_its_verdict_or_a_stronger_one() {
        let possible = || vec![finding("leak", "tcp", Verdict::Possible, 3)];
        let definite = || vec![finding("leak", "tcp", Verdict::Definite, 3)];
        assert!(!matches("leak", false, possible()));
        assert!(matches("leak:possible", false, possible()));
        assert!(matches("leak", false, definite()));
        assert!(matches("leak:probable@tcp", false, definite()));
        assert!(!matches("leak:probable@file", false, definite()));
        assert!(matches("churn,leak", false, definite()));
    }

    #[test]
    fn a_number_looks_at_all_matching_findings_together() {
        let two = || {
            vec![
                finding("leak", "tcp", Verdict::Definite, 60),
                finding("leak", "tcp", Verdict::Definite, 60),
            ]
        };
        assert!(matches("leak>100", false, two()));
        assert!(!matches("leak>120", false, two()));
    }

    #[test]
    fn at_exit_what_is_still_open_counts_whatever_the_verdict_asked_for() {
        let open = || vec![finding("leak", "file", Verdict::StillOpen, 1)];
        assert!(!matches("leak", false, open()));
        assert!(matches("leak", true, open()));
        assert!(matches("leak:definite", true, open()));
        assert!(matches("leak:still-open", false, open()));
    }

    #[test]
    fn what_is_no_rule_is_refused_with_the_rules() {
        for wrong in ["", "leek", "leak:sure", "leak@", "leak>many", "leak,,", "leak@tcp:probable"]
        {
            assert!(wrong.parse::<Rules>().is_err(), "{wrong:?}");
        }
    }
}
