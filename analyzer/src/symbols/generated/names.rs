//! What runtimes write as the name of a code: functions, files and lines in it.
//!
//! * V8: `JS:*name file:line:column`, older ones `LazyCompile:`, `Function:`, `InterpretedFunction:`; before
//!   the name stands how the code was made (`~` interpreted, `^` baseline, `+` and `*` optimised), which
//!   changes while the program runs and is no part of the name. The line is that of the definition.
//! * CPython (`-X perf`): `py::name:file`. LuaJIT: `TRACE_12::file.lua:34`.
//! * .NET: `signature[Tier0]`; the tier changes as well.
//! * Everything else is a name as it is.

use std::sync::Arc;

use super::super::demangle::MAX_NAME;
use super::super::resolve::Name;

/// Kinds of V8's code that are functions of a program or of node's own library.
const FUNCTIONS: &[&str] =
    &["JS:", "LazyCompile:", "Function:", "InterpretedFunction:", "Script:", "Eval:", "Module:"];
/// Kinds of V8's code that are the engine's own.
pub const GLUE: &[&str] = &["Builtin:", "BytecodeHandler:", "Stub:", "Handler:", "RegExp:"];
/// What stands before the name of a function: how its code was made.
const TIERS: [char; 5] = ['~', '^', '+', '*', '\''];
/// How the name of a script begins: tells it from a function's name with a blank in it.
const SCRIPTS: &[&str] = &[" /", " node:", " file:", " [", " evalmachine.", " internal/"];

/// What a name says.
pub fn parse(text: &str) -> Name {
    let text = &text[..text.floor_char_boundary(MAX_NAME)];
    let v8 = FUNCTIONS.iter().find_map(|kind| Some((*kind, text.strip_prefix(kind)?)));
    if let Some((kind, rest)) = v8 {
        return of_v8(kind, rest);
    }
    if GLUE.iter().any(|kind| text.starts_with(kind)) {
        return named(text, "", 0);
    }
    if let Some(rest) = text.strip_prefix("py::") {
        let (function, file) = rest.split_once(':').unwrap_or((rest, ""));
        return named(function, file, 0);
    }
    if let Some((trace, place)) = text.split_once("::")
        && trace.strip_prefix("TRACE_").is_some_and(|number| number.parse::<u32>().is_ok())
    {
        let (file, line) = with_number(place).unwrap_or((place, 0));
        return named(&format!("trace at {place}"), file, line);
    }
    named(without_tier(text), "", 0)
}

/// A file as a map names it.
pub fn path(text: &str) -> Arc<str> {
    Arc::from(plain_path(&text[..text.floor_char_boundary(MAX_NAME)]))
}

fn named(function: &str, file: &str, line: u32) -> Name {
    Name { function: Arc::from(function), file: path(file), line }
}

/// `~name file:line:column`; the name may be empty, both may hold blanks.
fn of_v8(kind: &str, rest: &str) -> Name {
    let rest = rest.trim_start_matches(TIERS);
    let place = with_number(rest).and_then(|(rest, _column)| with_number(rest));
    let (rest, line) = place.unwrap_or((rest, 0));
    let blank = SCRIPTS.iter().filter_map(|start| rest.find(start)).min();
    let (function, file) = match blank.or_else(|| rest.rfind(' ').filter(|_| line > 0)) {
        Some(blank) => (&rest[..blank], &rest[blank + 1..]),
        None => (rest, ""),
    };
    match (function.trim(), kind) {
        // The code at the top of a file.
        ("", "Script:" | "Eval:" | "Module:") => named("<module>", file, line),
        ("", _) if line == 1 => named("<module>", file, line),
        ("", _) => named("<anonymous>", file, line),
        (function, _) => named(function, file, line),
    }
}

/// `rest:number`.
fn with_number(text: &str) -> Option<(&str, u32)> {
    let (rest, number) = text.rsplit_once(':')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    Some((rest, number.parse().ok().filter(|_| is_number)?))
}

/// ES modules are named by URL.
fn plain_path(file: &str) -> String {
    let Some(path) = file.strip_prefix("file://") else { return file.to_owned() };
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|digits| str::from_utf8(digits).ok());
        let escaped =
            digits.filter(|_| *first == b'%').and_then(|d| u8::from_str_radix(d, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `Main()[OptimizedTier1]` is `Main()`.
fn without_tier(text: &str) -> &str {
    const WORDS: [&str; 6] =
        ["Tier", "PreJIT", "Optimized", "MinOpt", "Instrumented", "ReadyToRun"];
    match text.strip_suffix(']').and_then(|inside| inside.rsplit_once('[')) {
        Some((name, tier)) if WORDS.iter().any(|word| tier.contains(word)) => name.trim_end(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, String, u32) {
        let name = parse(text);
        (name.function.to_string(), name.file.to_string(), name.line)
    }

    fn is(function: &str, file: &str, line: u32) -> (String, String, u32) {
        (function.into(), file.into(), line)
    }

    #[test]
    fn functions_of_v8_have_the_same_name_in_every_tier() {
        for tier in ["~", "^", "+", "*", "*'", ""] {
            for kind in ["JS:", "LazyCompile:", "Function:", "InterpretedFunction:"] {
                let text = format!("{kind}{tier}leaky /srv/app.js:12:14");
                assert_eq!(parsed(&text), is("leaky", "/srv/app.js", 12), "{text}");
            }
        }
    }

    #[test]
    fn names_and_files_may_hold_blanks_and_colons() {
        assert_eq!(parsed("JS:~get size /a b/c.js:3:5"), is("get size", "/a b/c.js", 3));
        assert_eq!(parsed("JS:* /srv/app.js:7:2"), is("<anonymous>", "/srv/app.js", 7));
        assert_eq!(
            parsed("JS:~ node:internal/timers:5:1"),
            is("<anonymous>", "node:internal/timers", 5)
        );
        assert_eq!(parsed("JS:~openSync node:fs:588:18"), is("openSync", "node:fs", 588));
        assert_eq!(parsed("JS:~f a:b.js:3:5"), is("f", "a:b.js", 3));
        assert_eq!(parsed("JS:~f"), is("f", "", 0));
        assert_eq!(parsed("JS:~f :3:4"), is("f", "", 3));
        assert_eq!(parsed("JS:"), is("<anonymous>", "", 0));
    }

    #[test]
    fn the_top_of_a_file_and_modules_by_url() {
        assert_eq!(parsed("Script:~ [eval]:1:1"), is("<module>", "[eval]", 1));
        assert_eq!(parsed("Eval:~ /srv/app.js:1:1"), is("<module>", "/srv/app.js", 1));
        assert_eq!(parsed("JS:~ /srv/app.js:1:1"), is("<module>", "/srv/app.js", 1));
        assert_eq!(parsed("JS:~f file:///a%20b/x.mjs:2:1"), is("f", "/a b/x.mjs", 2));
        assert_eq!(parsed("JS:~f file:///a%2/%zz.mjs:2:1"), is("f", "/a%2/%zz.mjs", 2));
    }

    #[test]
    fn other_runtimes_have_names_of_their_own() {
        assert_eq!(parsed("py::fetch:/srv/app.py"), is("fetch", "/srv/app.py", 0));
        assert_eq!(parsed("TRACE_12::main.lua:34"), is("trace at main.lua:34", "main.lua", 34));
        assert_eq!(parsed("TRACE_x::f"), is("TRACE_x::f", "", 0));
        assert_eq!(
            parsed("void [App] Program::Main()[Tier0]"),
            is("void [App] Program::Main()", "", 0)
        );
        assert_eq!(parsed("void [App] P::M(int[])[OptimizedTier1]").0, "void [App] P::M(int[])");
        assert_eq!(parsed("f(int[])"), is("f(int[])", "", 0));
        assert_eq!(parsed("Lcom/x/Main;::run"), is("Lcom/x/Main;::run", "", 0));
        assert_eq!(parsed("Builtin:CEntry"), is("Builtin:CEntry", "", 0));
        assert_eq!(parsed(""), is("", "", 0));
    }

    #[test]
    fn long_names_are_cut() {
        let long = format!("JS:~{}", "é".repeat(MAX_NAME));
        assert!(parse(&long).function.len() <= MAX_NAME);
    }
}
