//! Strings of a trace as data: what a hostile name cannot do to a terminal, a page or a CI log.
//!
//! Every view passes every string that came from a traced process, its files or its binaries
//! through one of these, and through nothing else: names are shown, never obeyed. Characters that
//! steer a terminal or reorder text are shown as escapes (`\n`, `\x1b`, `\u{202e}`). Pure functions
//! on strings; what is already harmless is borrowed.

use std::borrow::Cow;
use std::fmt::Write;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Whether a character must not reach an output as it is: control characters, and those that
/// reorder, hide or break text without a visible form of their own.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The text with every hidden character as an escape; always one line.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        push_visible(&mut out, c);
    }
    Cow::Owned(out)
}

fn push_visible(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if !is_hidden(c) => out.push(c),
        c if (c as u32) < 0x100 => {
            let _ = write!(out, "\\x{:02x}", c as u32);
        }
        c => {
            let _ = write!(out, "\\u{{{:x}}}", c as u32);
        }
    }
}

/// A source line: tabs become spaces, everything else as [`visible`].
pub fn source(line: &str) -> String {
    let mut out = String::with_capacity(line.len() + 16);
    for c in line.trim_end().chars() {
        match c {
            '\t' => out.push_str("    "),
            c => push_visible(&mut out, c),
        }
    }
    out
}

/// Output of several lines in which none begins, after blanks, with what a CI runner takes for a
/// command (`::error …`, `##[…]`, `##vso[…]`, `##teamcity[…]`): its first character becomes an escape.
pub fn guard_lines(output: &str) -> Cow<'_, str> {
    let steers = |line: &str| {
        let start = line.trim_start();
        start.starts_with("::") || start.starts_with("##")
    };
    if !output.split(['\n', '\r']).any(steers) {
        return Cow::Borrowed(output);
    }
    let mut out = String::with_capacity(output.len() + 16);
    for line in output.split_inclusive(['\n', '\r']) {
        if steers(line) {
            let start = line.trim_start();
            out.push_str(&line[..line.len() - start.len()]);
            let _ = write!(out, "\\x{:02x}", start.as_bytes()[0]);
            out.push_str(&start[1..]);
        } else {
            out.push_str(line);
        }
    }
    Cow::Owned(out)
}

/// Markdown text: [`visible`], with every character that markdown gives a meaning escaped.
/// Safe in a table cell too. A line that begins with it is not a block of another kind.
pub fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // Entities, since platforms look for mentions, issue numbers and addresses after backslashes are gone.
            '@' => out.push_str("&#64;"),
            '#' => out.push_str("&#35;"),
            ':' => out.push_str("&#58;"),
            '|' => out.push_str("&#124;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '+' | '-' | '!' | '~'
            | '$' | '=' => {
                out.push('\\');
                out.push(c);
            }
            // "1." would begin a list.
            '.' if out.bytes().all(|b| b.is_ascii_digit()) => out.push_str("\\."),
            c => push_visible(&mut out, c),
        }
    }
    out
}

/// A markdown code span that shows the text literally, in table cells too.
pub fn markdown_code(text: &str) -> String {
    let text = visible(text);
    // A bar ends a table cell even inside a code span, and a backslash before it is shown outside
    // tables: such text is code by element, with entities.
    if text.contains('|') {
        return format!("<code>{}</code>", markdown(&text));
    }
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    match text.trim() {
        "" => String::new(),
        _ if text.starts_with('`') || text.ends_with('`') || text.starts_with(' ') => {
            format!("{fence} {text} {fence}")
        }
        _ => format!("{fence}{text}{fence}"),
    }
}

/// HTML text and attribute values: [`visible`], then entities.
pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Template engines and old parsers give it a meaning.
            '`' => out.push_str("&#96;"),
            c => push_visible(&mut out, c),
        }
    }
    out
}

/// JSON that is written already: hidden characters that JSON allows in strings become `\u` escapes.
/// The value stays the same. Only strings can hold them, so the document needs no parsing.
pub fn json(document: &str) -> Cow<'_, str> {
    let escape = |c: char| is_hidden(c) && !matches!(c, '\n' | '\r' | '\t');
    if !document.contains(escape) {
        return Cow::Borrowed(document);
    }
    let mut out = String::with_capacity(document.len() + 16);
    for c in document.chars() {
        if escape(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Columns that the text takes on a terminal.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text cut at the right to at most `columns`, with `…` where something was cut.
pub fn truncate(text: &str, columns: usize) -> Cow<'_, str> {
    if text.width() <= columns {
        return Cow::Borrowed(text);
    }
    let kept = fitting(text.chars(), columns.saturating_sub(1));
    let end: usize = text.chars().take(kept).map(char::len_utf8).sum();
    match columns {
        0 => Cow::Borrowed(""),
        _ => Cow::Owned(format!("{}…", &text[..end])),
    }
}

/// The text cut at the left to at most `columns`: for paths, whose end tells most.
pub fn truncate_left(text: &str, columns: usize) -> Cow<'_, str> {
    if text.width() <= columns {
        return Cow::Borrowed(text);
    }
    let kept = fitting(text.chars().rev(), columns.saturating_sub(1));
    let cut: usize = text.chars().rev().take(kept).map(char::len_utf8).sum();
    match columns {
        0 => Cow::Borrowed(""),
        _ => Cow::Owned(format!("…{}", &text[text.len() - cut..])),
    }
}

/// How many of the characters fit.
fn fitting(chars: impl Iterator<Item = char>, columns: usize) -> usize {
    let mut used = 0;
    chars
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= columns
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_text_is_borrowed() {
        assert!(matches!(visible("/srv/größe/日本.log"), Cow::Borrowed("/srv/größe/日本.log")));
        assert!(matches!(guard_lines("a :: b\nc"), Cow::Borrowed(_)));
        assert!(matches!(json("{\"a\": \"ä\"}\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn control_characters_and_bidi_marks_are_shown() {
        assert_eq!(visible("a\x1b[31mb\nc\r\t\0"), "a\\x1b[31mb\\nc\\r\\t\\x00");
        assert_eq!(visible("\u{9b}0m\x7f"), "\\x9b0m\\x7f");
        assert_eq!(
            visible("user\u{202e}cod.exe\u{2066}\u{2028}\u{feff}"),
            "user\\u{202e}cod.exe\\u{2066}\\u{2028}\\u{feff}"
        );
        assert_eq!(visible("x\u{e0041}\u{200b}"), "x\\u{e0041}\\u{200b}");
    }

    #[test]
    fn a_source_line_keeps_its_indentation() {
        assert_eq!(
            source("\tint fd = open(p, 0);\x1b]0;x\x07\r\n"),
            "    int fd = open(p, 0);\\x1b]0;x\\x07"
        );
    }

    #[test]
    fn no_line_commands_a_ci_runner() {
        let guarded = guard_lines("ok\n::error::x\n  ::set-env a\r::stop\n##[group]\n: : fine\n");
        assert_eq!(
            guarded,
            "ok\n\\x3a:error::x\n  \\x3a:set-env a\r\\x3a:stop\n\\x23#[group]\n: : fine\n"
        );
        assert!(guarded.split(['\n', '\r']).all(|l| !l.trim_start().starts_with("::")));
    }

    #[test]
    fn markdown_has_no_meaning() {
        assert_eq!(markdown("a|b_c*"), "a&#124;b\\_c\\*");
        assert_eq!(markdown("</script>&"), "&lt;/script&gt;&amp;");
        assert_eq!(markdown("1. x"), "1\\. x");
        assert_eq!(markdown("a.b 2.0"), "a.b 2.0");
        assert_eq!(markdown("[x](http://y) @me #1"), "\\[x\\]\\(http&#58;//y\\) &#64;me &#35;1");
        assert_eq!(markdown("a\n::error"), "a\\n&#58;&#58;error");
    }

    #[test]
    fn code_spans_cannot_be_left() {
        assert_eq!(markdown_code("f<int>()"), "`f<int>()`");
        assert_eq!(markdown_code("a`b``c"), "```a`b``c```");
        assert_eq!(markdown_code("`"), "`` ` ``");
        assert_eq!(markdown_code("a\n```\nb"), "````a\\n```\\nb````");
        assert_eq!(markdown_code("a|<b>"), "<code>a&#124;&lt;b&gt;</code>");
        assert_eq!(markdown_code(""), "");
    }

    #[test]
    fn html_has_no_markup() {
        assert_eq!(
            html("<a href=\"x\" title='y'>`&\n"),
            "&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&#96;&amp;\\n"
        );
    }

    #[test]
    fn json_keeps_its_value() {
        let value = "a\u{202e}b\u{e0041}\x1b\n";
        let document = serde_json::to_string_pretty(&[value]).unwrap();
        let escaped = json(&document);
        assert!(escaped.contains("\\u202e") && escaped.contains("\\udb40\\udc41"), "{escaped}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&escaped).unwrap(), [value]);
    }

    #[test]
    fn truncation_counts_columns() {
        assert_eq!(truncate("abcdef", 6), "abcdef");
        assert_eq!(truncate("abcdef", 4), "abc…");
        assert_eq!(truncate("日本語", 5), "日本…");
        assert_eq!(truncate("日本語", 4), "日…");
        assert_eq!(truncate("abc", 0), "");
        assert_eq!(truncate_left("/usr/lib/libfoo.so", 10), "…libfoo.so");
        assert_eq!(truncate_left("日本語", 4), "…語");
        for columns in 0..8 {
            assert!(width(&truncate("日a本b語", columns)) <= columns);
            assert!(width(&truncate_left("日a本b語", columns)) <= columns);
        }
    }
}
