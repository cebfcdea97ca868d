//! Which arguments of a command line are stored, and what of them: names, not values.
//!
//! Both sides ask here: the shim for what stands in a region, `resshim run` for what its manifest says
//! of the command. The words are those of `docs/privacy.md`.

/// Words that announce a secret; upper and lower case are the same.
pub const SECRETS: &[&[u8]] = &[
    b"password",
    b"passwd",
    b"secret",
    b"token",
    b"apikey",
    b"api-key",
    b"api_key",
    b"credential",
    b"auth",
];

/// Programs that are told by a script, with the letters of their options behind which code or data
/// stands in the script's place.
const INTERPRETERS: &[(&[u8], &[u8])] = &[
    (b"python", b"c"),
    (b"node", b"ep"),
    (b"ruby", b"e"),
    (b"perl", b"eE"),
    (b"bash", b"cs"),
    (b"sh", b"cs"),
    (b"dash", b"cs"),
    (b"php", b"rBRE"),
    (b"java", b""),
    (b"lua", b"e"),
];

/// Parts of long options that do the same.
const CODE_OPTIONS: &[&[u8]] = &[b"eval", b"print", b"run", b"command", b"process", b"exec"];

/// What is stored of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept<'a> {
    /// Nothing, not even that it is there.
    Nothing,
    /// All of it.
    Whole(&'a [u8]),
    /// Its beginning; the rest is a value that is shown as `***`.
    Beginning(&'a [u8]),
    /// That it is there: it is a value, shown as `***`.
    Hidden,
}

/// Goes through the arguments of one command line, in their order.
#[derive(Debug)]
pub struct Arguments {
    all: bool,
    is_first: bool,
    /// Letters of the interpreter, as long as its script may still come.
    script: Option<&'static [u8]>,
    hides_next: bool,
}

impl Arguments {
    /// Of a program of this name (a path's last part). `all`: `RESSHIM_ARGS=1`.
    pub fn of(program: &[u8], all: bool) -> Arguments {
        let interpreter = INTERPRETERS.iter().find(|(name, _)| program.starts_with(name));
        let script = interpreter.map(|(_, letters)| *letters);
        Arguments { all, is_first: true, script, hides_next: false }
    }

    /// What is stored of the next argument.
    pub fn next<'a>(&mut self, argument: &'a [u8]) -> Kept<'a> {
        if core::mem::take(&mut self.is_first) {
            return Kept::Whole(argument);
        }
        if self.all { self.masked(argument) } else { self.script(argument) }
    }

    fn masked<'a>(&mut self, argument: &'a [u8]) -> Kept<'a> {
        let hidden = self.hides_next;
        let value = value(argument);
        self.hides_next = value == Some(argument.len());
        match value.filter(|at| *at < argument.len()) {
            _ if hidden => Kept::Hidden,
            Some(at) => Kept::Beginning(argument.get(..at).unwrap_or(&[])),
            None => Kept::Whole(argument),
        }
    }

    fn script<'a>(&mut self, argument: &'a [u8]) -> Kept<'a> {
        let Some(letters) = self.script else { return Kept::Nothing };
        let Some(option) = argument.strip_prefix(b"-") else {
            self.script = None;
            return Kept::Whole(argument);
        };
        let code = match option.strip_prefix(b"-") {
            Some(long) => CODE_OPTIONS.iter().any(|part| position(long, part).is_some()),
            // `-` alone: the script is read from standard input.
            None => option.is_empty() || option.iter().any(|letter| letters.contains(letter)),
        };
        if code {
            self.script = None;
        }
        Kept::Nothing
    }
}

/// Where the value of a secret begins: behind the `=`, `:` or space that follows the word, or at the
/// argument's end where the next argument is it.
fn value(argument: &[u8]) -> Option<usize> {
    let ends = SECRETS.iter().filter_map(|word| Some(position(argument, word)? + word.len()));
    let end = ends.min()?;
    let rest = argument.get(end..)?;
    let is_separator = |byte: &u8| matches!(byte, b'=' | b':') || byte.is_ascii_whitespace();
    match rest.iter().position(is_separator) {
        Some(at) => Some(end + at + 1),
        // A word in a value announces nothing: `--config=/etc/secrets.toml`.
        None if argument.get(..end)?.contains(&b'=') => None,
        None => Some(argument.len()),
    }
}

fn position(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    fn kept(all: bool, line: &str) -> String {
        let words: Vec<&str> = line.split(',').collect();
        let mut arguments = Arguments::of(words[0].as_bytes(), all);
        let mut told = Vec::new();
        for word in words {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            match arguments.next(word.as_bytes()) {
                Kept::Nothing => {}
                Kept::Whole(bytes) => told.push(text(bytes)),
                Kept::Beginning(bytes) => told.push(text(bytes) + "***"),
                Kept::Hidden => told.push("***".into()),
            }
        }
        told.join(",")
    }

    #[test]
    fn without_being_asked_only_the_name_and_a_script_are_kept() {
        let cases = [
            ("mysql,-u,root,-pX", "mysql"),
            ("python3.11,-u,serve.py,X", "python3.11,serve.py"),
            ("python3,-m,http.server,X", "python3,http.server"),
            ("bash,-c,X,X", "bash"),
            ("bash,-lc,X,X", "bash"),
            ("sh,-s,X", "sh"),
            ("python3,-,X", "python3"),
            ("perl,-lane,X,X", "perl"),
            ("node,--eval,X", "node"),
            ("node,-pe,X", "node"),
            ("php,-rX,X", "php"),
            ("java,-jar,shop.jar,X", "java,shop.jar"),
        ];
        for (line, expected) in cases {
            assert_eq!(kept(false, line), expected, "{line}");
        }
    }

    #[test]
    fn values_that_a_word_announces_are_masked() {
        let cases = [
            ("a,--db-Password=X,b", "a,--db-Password=***,b"),
            ("a,--token,X,b", "a,--token,***,b"),
            ("a,--token,--secret,X,b", "a,--token,***,***,b"),
            ("a,-H,Authorization: Bearer X,b", "a,-H,Authorization:***,b"),
            ("a,host=db password=X user=y", "a,host=db password=***"),
            ("a,{\"api_key\":\"X\"}", "a,{\"api_key\":***"),
            ("sh,-c,mysql --password X", "sh,-c,mysql --password ***"),
            ("a,AWS_SECRET_ACCESS_KEY=X", "a,AWS_SECRET_ACCESS_KEY=***"),
            ("a,--config=/etc/secrets.toml,b", "a,--config=/etc/secrets.toml,b"),
            ("a,-pX", "a,-pX"),
        ];
        for (line, expected) in cases {
            assert_eq!(kept(true, line), expected, "{line}");
        }
    }
}
