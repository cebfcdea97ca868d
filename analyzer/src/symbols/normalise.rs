//! Function names as ids need them, and the ids: the same for the same defect in every run and build.
//!
//! Nothing that a rebuild, a shifted line or another optimisation changes may stand in an id:
//! addresses, lines, clone suffixes, hashes, numbers of closures, template arguments, how deep a
//! recursion was. Ids are public: whoever changes a rule here changes every id that users have
//! stored, so the tests hold some ids literally.

use std::borrow::Cow;

/// Words that compilers append to a function's name after a dot, with or without a number.
const CLONE_WORDS: &[&str] = &[
    "clone",
    "cold",
    "constprop",
    "default",
    "ipa",
    "isra",
    "localalias",
    "lto_priv",
    "llvm",
    "omp_fn",
    "part",
    "resolver",
    "simdclone",
    "specialized",
];
/// Longest cycle of frames that counts as recursion.
const LONGEST_CYCLE: usize = 8;
/// Own frames that an id is made from.
pub const OWN_FRAMES: usize = 3;

/// The name without what changes from build to build.
pub fn function(name: &str) -> String {
    let name = without_clone_suffixes(name.trim());
    let name = without_hash(&name);
    let name = without_position(name);
    fold(name)
}

/// A Java method without what differs from run to run: `Main$$Lambda$14/0x0000000800c03000.run` and
/// `Main$$Lambda/0x….run` are `Main$$Lambda.run`, `lambda$serve$3` is `lambda$serve`, hidden and generated
/// classes lose their numbers (`$Proxy12`, `GeneratedMethodAccessor7`).
pub fn java_function(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for (i, part) in name.split('.').enumerate() {
        let part = part.split('/').next().unwrap_or(part);
        if i > 0 {
            out.push('.');
        }
        let generated = ["$$Lambda", "lambda$", "$Proxy", "GeneratedMethodAccessor", "Accessor"];
        if generated.iter().any(|mark| part.contains(mark)) {
            out.push_str(part.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('$'));
        } else {
            out.push_str(part);
        }
    }
    out
}

/// `foo.isra.0.cold`, `foo(int) [clone .part.3]`, `open@@GLIBC_2.2.5`, `foo.1234` → `foo`.
fn without_clone_suffixes(name: &str) -> Cow<'_, str> {
    let mut name = name;
    while let Some(at) = name.rfind(" [clone ") {
        if !name.ends_with(']') {
            break;
        }
        name = &name[..at];
    }
    if let Some(at) = name.find('@').filter(|at| *at > 0)
        && !name.contains(' ')
    {
        name = &name[..at];
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    while let Some((rest, last)) = name.rsplit_once('.').filter(|(rest, _)| !rest.is_empty()) {
        let numbered = is_number(last);
        let word = match numbered {
            true => rest.rsplit('.').next().unwrap_or_default(),
            false => last,
        };
        match (CLONE_WORDS.contains(&word), numbered) {
            (true, true) if rest.len() > word.len() => name = &rest[..rest.len() - word.len() - 1],
            (true, false) => name = rest,
            // A number alone: a copy of a static function.
            (_, true) => name = rest,
            _ => break,
        }
    }
    Cow::Borrowed(name)
}

/// Rust's `::h0123456789abcdef`.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((rest, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            rest
        }
        _ => name,
    }
}

/// What perf maps of JavaScript add: tier before, `file:line:column` behind.
fn without_position(name: &str) -> &str {
    let mut name = name;
    for tier in ["LazyCompile:", "Function:", "Script:", "Eval:", "JS:"] {
        if let Some(rest) = name.strip_prefix(tier) {
            name = rest.trim_start_matches(['*', '~', '^', '+']);
        }
    }
    while let Some((rest, number)) = name.rsplit_once(':') {
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        if !digits || rest.ends_with(':') {
            break;
        }
        name = rest;
    }
    name
}

/// Folds template and generic arguments to `<…>`, numbers of closures and lambdas, crate
/// disambiguators and addresses.
fn fold(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        if let Some(operator) = operator_name(&out, rest) {
            out.push_str(operator);
            rest = &rest[operator.len()..];
            continue;
        }
        let opens_arguments = c == '<'
            && (out.ends_with(|c: char| c.is_alphanumeric() || c == '_')
                || out.ends_with("::")
                || out.ends_with("operator< ")
                || out.ends_with("operator<< "));
        match c {
            '<' if opens_arguments => {
                // `f::<T>` and `f<T>` are the same.
                if out.ends_with("::") {
                    out.truncate(out.len() - 2);
                }
                out.push_str("<…>");
                rest = &rest[arguments_bytes(rest)..];
            }
            '{' => {
                let end = rest.find('}').map_or(rest.len(), |end| end + 1);
                let braced = &rest[..end];
                // `{{closure}}`, `{closure#2}`, `{closure_env#0}`, `{lambda(int)#1}`.
                let word = braced.trim_matches(['{', '}']);
                let word = word.split('#').next().unwrap_or_default();
                match word.starts_with("lambda") {
                    true => out.push_str("{{lambda}}"),
                    false => {
                        out.push_str("{{");
                        out.push_str(word.split(':').next().unwrap_or_default());
                        out.push_str("}}");
                    }
                }
                rest = rest[end..].trim_start_matches('}');
                rest = rest
                    .strip_prefix(|c: char| c == '#')
                    .map_or(rest, |number| number.trim_start_matches(|c: char| c.is_ascii_digit()));
            }
            '[' if disambiguator_bytes(rest).is_some() => {
                rest = &rest[disambiguator_bytes(rest).unwrap_or(1)..];
            }
            '0' if rest.starts_with("0x") && !out.ends_with(|c: char| c.is_alphanumeric()) => {
                out.push_str("0x…");
                rest = rest[2..].trim_start_matches(|c: char| c.is_ascii_hexdigit());
            }
            c => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

/// The symbol of a C++ operator whose name holds angle brackets, at the place right after `operator`.
fn operator_name<'a>(before: &str, rest: &'a str) -> Option<&'a str> {
    let word = before.strip_suffix("operator")?;
    if word.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
        return None;
    }
    ["<=>", "<<=", ">>=", "->*", "<<", ">>", "<=", ">=", "->", "<", ">"]
        .into_iter()
        .find(|symbol| rest.starts_with(symbol))
        .map(|symbol| &rest[..symbol.len()])
}

/// Bytes of `<…>` with all that is nested; to the end where it is not closed.
fn arguments_bytes(text: &str) -> usize {
    let mut open: Vec<char> = Vec::new();
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' | '<' => open.push(c),
            ')' | ']' | '}' => {
                let opening = match c {
                    ')' => '(',
                    ']' => '[',
                    _ => '{',
                };
                // A `<` above it was a comparison.
                if let Some(at) = open.iter().rposition(|o| *o == opening) {
                    open.truncate(at);
                }
            }
            '>' if before != '-' && before != '=' && open.last() == Some(&'<') => {
                open.pop();
                if open.is_empty() {
                    return at + 1;
                }
            }
            _ => {}
        }
        before = c;
    }
    text.len()
}

/// `[0123456789abcdef]` after a crate's name.
fn disambiguator_bytes(text: &str) -> Option<usize> {
    let end = text.find(']')?;
    let hash = &text[1..end];
    (hash.len() >= 8 && hash.bytes().all(|b| b.is_ascii_hexdigit())).then_some(end + 1)
}

/// The frames without the repetitions of recursion, direct or through up to eight functions.
pub fn collapse(frames: &[String]) -> Vec<&str> {
    let mut out: Vec<&str> = Vec::with_capacity(frames.len());
    for frame in frames {
        out.push(frame);
        for cycle in 1..=LONGEST_CYCLE.min(out.len() / 2) {
            let (rest, last) = out.split_at(out.len() - cycle);
            if rest.ends_with(last) {
                out.truncate(out.len() - cycle);
                break;
            }
        }
    }
    out
}

/// Id of a finding: rule, kind, the innermost acquiring function and the first own frames, all
/// normalised. 16 hexadecimal digits.
pub fn finding_id(rule: &str, kind: &str, acquiring: &str, own: &[String]) -> String {
    let mut hash = Hash::new();
    for part in [rule, kind, acquiring] {
        hash.add(part);
    }
    for frame in collapse(own).iter().take(OWN_FRAMES) {
        hash.add(frame);
    }
    hash.finish()
}

/// Id of a whole stack, normalised. 16 hexadecimal digits.
pub fn site_id(frames: &[String]) -> String {
    let mut hash = Hash::new();
    for frame in collapse(frames) {
        hash.add(frame);
    }
    hash.finish()
}

/// FNV-1a with 64 bits over the parts, each followed by a zero byte, then MurmurHash3's finaliser
/// (`fmix64`) so that short inputs fill all digits. Fixed for ever: ids are stored by users.
struct Hash(u64);
impl Hash {
    fn new() -> Hash {
        Hash(0xcbf2_9ce4_8422_2325)
    }
    fn add(&mut self, part: &str) {
        for byte in part.bytes().chain([0]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    fn finish(self) -> String {
        let mut x = self.0;
        x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        format!("{:016x}", x ^ (x >> 33))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_are(expected: &str, names: &[&str]) {
        for name in names {
            assert_eq!(function(name), expected, "{name}");
        }
    }

    #[test]
    fn java_methods_lose_what_a_run_numbers() {
        for (name, same) in [
            ("com.example.Main.leak", "com.example.Main.leak"),
            ("com.example.Main$1.run", "com.example.Main$1.run"),
            ("com.example.Main.lambda$serve$3", "com.example.Main.lambda$serve"),
            ("com.example.Main$$Lambda$14/0x0000000800c03000.run", "com.example.Main$$Lambda.run"),
            ("com.example.Main$$Lambda/0x0000000800c03000.run", "com.example.Main$$Lambda.run"),
            (
                "jdk.internal.reflect.GeneratedMethodAccessor7.invoke",
                "jdk.internal.reflect.GeneratedMethodAccessor.invoke",
            ),
            ("com.sun.proxy.$Proxy12.close", "com.sun.proxy.$Proxy.close"),
        ] {
            assert_eq!(java_function(name), same);
        }
    }

    #[test]
    fn clones_are_their_original() {
        all_are(
            "read_config",
            &[
                "read_config",
                "read_config.isra.0",
                "read_config.constprop.1",
                "read_config.part.2",
                "read_config.cold",
                "read_config.isra.0.cold",
                "read_config.llvm.1234567890",
                "read_config.lto_priv.0",
                "read_config.part.0.constprop.3.cold.17",
                "read_config.1234",
                "read_config.localalias",
                "read_config@@APP_1.0",
                "read_config@APP_1.0",
            ],
        );
        all_are(
            "Pool::grow(int)",
            &[
                "Pool::grow(int)",
                "Pool::grow(int) [clone .isra.0]",
                "Pool::grow(int) [clone .part.1] [clone .cold]",
            ],
        );
        all_are("main.handle", &["main.handle"]);
        all_are(".cold", &[".cold"]);
    }

    #[test]
    fn rust_hashes_generics_and_closure_numbers_go() {
        all_are(
            "server::open",
            &["server::open", "server::open::h0123456789abcdef", "server[0123456789abcdef]::open"],
        );
        all_are("server::open::hello", &["server::open::hello"]);
        all_are(
            "server::run<…>",
            &["server::run<u8>", "server::run::<alloc::vec::Vec<fn(u8) -> u8>>"],
        );
        all_are(
            "server::main::{{closure}}",
            &["server::main::{{closure}}", "server::main::{closure#3}"],
        );
        all_are(
            "<alloc::vec::Vec<…> as core::ops::drop::Drop>::drop",
            &[
                "<alloc::vec::Vec<u8> as core::ops::drop::Drop>::drop",
                "<alloc::vec::Vec<(u8, [u8; 4])> as core::ops::drop::Drop>::drop",
            ],
        );
    }

    #[test]
    fn cpp_template_arguments_go_and_operators_stay() {
        all_are(
            "std::vector<…>::push_back(int const&)",
            &[
                "std::vector<int>::push_back(int const&)",
                "std::vector<std::pair<int, std::map<int, long>>, A<(1>0)>>::push_back(int const&)",
            ],
        );
        all_are("f<…>(g<…>)", &["f<int>(g<long>)", "f<a<b<c> > >(g<h<i>>)"]);
        all_are("operator<<(A const&)", &["operator<<(A const&)"]);
        all_are("A::operator< <…>(int)", &["A::operator< <int>(int)"]);
        all_are("A<…>::operator->()", &["A<int>::operator->()"]);
        all_are("my_operator<…>(int)", &["my_operator<int>(int)"]);
        all_are(
            "main::{{lambda}}::operator()(int) const",
            &[
                "main::{lambda(int)#1}::operator()(int) const",
                "main::{lambda(int)#2}::operator()(int) const",
            ],
        );
    }

    #[test]
    fn addresses_and_positions_go() {
        all_are("stub 0x…", &["stub 0x7f00aa12"]);
        all_are(
            "handle /srv/app.js",
            &[
                "LazyCompile:*handle /srv/app.js:12:3",
                "LazyCompile:~handle /srv/app.js:14:9",
                "JS:^handle /srv/app.js:1:1",
            ],
        );
        all_are("a::b", &["a::b"]);
    }

    #[test]
    fn hostile_names_do_no_harm() {
        for name in [
            "<",
            ">",
            "f<",
            "f<<<<",
            "{",
            "{{{#",
            "a[",
            "[",
            "]",
            "operator",
            "operator<",
            "…<ä>",
            "::h",
            "@",
            ".",
            "..",
            "f->>",
            "f<->",
            "0x",
            " [clone ",
            "a<b>>>c",
            "}}",
            "#",
        ] {
            function(name);
        }
        function(&"f<".repeat(10_000));
        function(&"{".repeat(10_000));
    }

    fn strings(frames: &[&str]) -> Vec<String> {
        frames.iter().map(|f| f.to_string()).collect()
    }

    #[test]
    fn recursion_collapses() {
        let deep = strings(&["open", "walk", "walk", "walk", "main"]);
        assert_eq!(collapse(&deep), ["open", "walk", "main"]);
        let mutual = strings(&["open", "a", "b", "a", "b", "a", "b", "main"]);
        assert_eq!(collapse(&mutual), ["open", "a", "b", "main"]);
        assert_eq!(site_id(&deep), site_id(&strings(&["open", "walk", "main"])));
        let plain = strings(&["a", "b", "a", "c"]);
        assert_eq!(collapse(&plain), ["a", "b", "a", "c"]);
    }

    #[test]
    fn ids_change_with_what_they_are_made_from_and_with_nothing_else() {
        let own = strings(&["leak_one", "serve", "main"]);
        let id = finding_id("leak", "file", "leak_one", &own);
        let mut farther = own.clone();
        farther.push("new_frame_far_above".into());
        assert_eq!(id, finding_id("leak", "file", "leak_one", &farther));
        assert_ne!(id, finding_id("leak", "tcp", "leak_one", &own));
        assert_ne!(id, finding_id("churn", "file", "leak_one", &own));
        assert_ne!(id, finding_id("leak", "file", "leak_two", &own));
        assert_ne!(id, finding_id("leak", "file", "leak_one", &own[1..]));
        assert_ne!(site_id(&strings(&["ab", "c"])), site_id(&strings(&["a", "bc"])));
    }

    #[test]
    fn ids_are_fixed_for_ever() {
        let own = strings(&["leak_one", "serve", "main"]);
        assert_eq!(finding_id("leak", "file", "leak_one", &own), "60619c5c98a2bed8");
        assert_eq!(site_id(&own), "814135e3f971bd61");
    }
}
