//! `resshim doctor`: can this program be traced here, what will not be seen, what to do about it.
//! The program is looked at, never started.

mod machine;
mod program;

use std::path::Path;

use crate::cli::Doctor;
use crate::cmd::{library, output};
use crate::error::Error;
use crate::escape::{guard_lines, visible};
use program::{Elf, Kind, Program};

/// Exit code where the program cannot be traced.
const EXIT_NO: u8 = 1;
/// Scripts whose interpreter is a script, and so on: the kernel follows this many.
const SCRIPTS: usize = 5;

/// How much an answer weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    /// As it should be.
    Fine,
    /// Works, but something will not be seen, or something has to be set.
    Note,
    /// Cannot be traced.
    No,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    weight: Weight,
    text: String,
    remedy: String,
}

impl Answer {
    fn fine(text: impl Into<String>) -> Answer {
        Answer { weight: Weight::Fine, text: text.into(), remedy: String::new() }
    }
    fn note(text: impl Into<String>, remedy: impl Into<String>) -> Answer {
        Answer { weight: Weight::Note, text: text.into(), remedy: remedy.into() }
    }
    fn no(text: impl Into<String>, remedy: impl Into<String>) -> Answer {
        Answer { weight: Weight::No, text: text.into(), remedy: remedy.into() }
    }
}

/// Looks at the machine and the program, and says what was found.
pub fn run(options: &Doctor) -> anyhow::Result<u8> {
    let mut answers = machine::look();
    let name = match options.command.first() {
        Some(command) => {
            let hint = "is it installed, and in PATH?";
            let path = library::resolve(command)
                .ok_or_else(|| Error::input(Path::new(command), "not found", hint))?;
            answers.extend(follow(&path)?);
            path.display().to_string()
        }
        None => "programs".to_string(),
    };
    let reasons = answers.iter().filter(|answer| answer.weight == Weight::No).count();
    let notes = answers.iter().filter(|answer| answer.weight == Weight::Note).count();
    let verdict = match (reasons, notes) {
        (0, 0) => "can be traced here",
        (0, _) => "can be traced here, with the notes below",
        _ => "cannot be traced here",
    };
    let mut text = format!("{} {verdict}\n", visible(&name));
    for answer in &answers {
        let word = match answer.weight {
            Weight::Fine => "ok",
            Weight::Note => "note",
            Weight::No => "NO",
        };
        text.push_str(&format!("  {word:<4}  {}\n", visible(&answer.text)));
        if !answer.remedy.is_empty() {
            text.push_str(&format!("        do: {}\n", visible(&answer.remedy)));
        }
    }
    output::write(&guard_lines(&text), None)?;
    Ok(if reasons > 0 { EXIT_NO } else { 0 })
}

/// The program, and behind a script what interprets it.
fn follow(path: &Path) -> anyhow::Result<Vec<Answer>> {
    let mut answers = Vec::new();
    let mut path = path.to_owned();
    for _ in 0..SCRIPTS {
        let program = Program::read(&path).map_err(|error| Error::io(&path, error))?;
        let Kind::Script(words) = &program.kind else {
            answers.extend(judge(&program));
            return Ok(answers);
        };
        // `#!/usr/bin/env -S python3 -u`: what counts is what env starts.
        let is_env = words.first().is_some_and(|word| word.ends_with("/env"));
        let is_option = |word: &&String| word.starts_with('-') || word.contains('=');
        let next =
            if is_env { words[1..].iter().find(|word| !is_option(word)) } else { words.first() };
        let Some(next) = next.and_then(|word| library::resolve(word.as_ref())) else {
            answers.push(Answer::no(
                "the script names an interpreter that is not there",
                "install it",
            ));
            return Ok(answers);
        };
        answers.push(Answer::fine(format!(
            "{} is a script of {}",
            program.path.display(),
            next.display()
        )));
        path = next;
    }
    answers.push(Answer::no("scripts interpret each other in a circle", "name the program itself"));
    Ok(answers)
}

fn judge(program: &Program) -> Vec<Answer> {
    let mut answers = Vec::new();
    if let Some(why) = program.privileged {
        answers.push(Answer::no(
            format!("it has {why}: the loader ignores a preload for it"),
            "trace a copy without the bit, as the user that it would become",
        ));
    }
    match &program.kind {
        Kind::Elf(elf) => answers.extend(judge_elf(elf)),
        Kind::Foreign(what) => answers.push(Answer::no(
            format!("it is for {what}; the shim is for 64-bit x86"),
            "trace a 64-bit build of it",
        )),
        Kind::Script(_) | Kind::Other => answers.push(Answer::no(
            "it is no ELF program and no script",
            "name the program that runs it",
        )),
    }
    answers
}

fn judge_elf(elf: &Elf) -> Vec<Answer> {
    let mut answers = Vec::new();
    match &elf.interpreter {
        None if elf.is_go => answers.push(Answer::no(
            "it is a static Go program: nothing can be preloaded",
            "build it with CGO_ENABLED=1 and import \"net\" or \"os/user\"; its own calls stay unseen",
        )),
        None => answers.push(Answer::no(
            "it is linked statically: nothing can be preloaded",
            "link it dynamically (without -static)",
        )),
        Some(loader) if loader.contains("musl") => answers.push(Answer::no(
            format!("its C library is musl ({loader}); the shim is for glibc"),
            "trace a build for glibc",
        )),
        Some(loader) if !loader.contains("ld-linux") => answers.push(Answer::no(
            format!("its loader {loader} is not glibc's"),
            "trace a build for glibc",
        )),
        Some(loader) if !Path::new(loader).exists() => answers.push(Answer::no(
            format!("its loader {loader} is not on this machine"),
            "run doctor where the program runs",
        )),
        Some(loader) => answers.push(Answer::fine(format!("dynamic, 64-bit, glibc ({loader})"))),
    }
    if elf.is_go && elf.interpreter.is_some() {
        answers.push(Answer::note(
            "Go makes system calls itself: only what its C libraries do is seen",
            "look at descriptors from outside; heap and sites of Go code are not seen",
        ));
    }
    if elf.defines.contains("malloc") {
        answers.push(Answer::note(
            "it defines malloc itself: its heap is not seen",
            "build it with the allocator as a shared library, or with the system's",
        ));
    }
    let of = |names: &[&str]| {
        elf.needed.iter().find(|needed| names.iter().any(|name| needed.starts_with(name)))
    };
    if let Some(library) = of(&["libjemalloc", "libtcmalloc", "libmimalloc"]) {
        answers.push(Answer::note(
            format!("{library}: malloc and free are seen, its own operator new is not"),
            "",
        ));
    }
    if let Some(library) = of(&["libasan", "libtsan", "libhwasan", "libclang_rt"]) {
        answers.push(Answer::note(
            format!("it needs {library}, which must be loaded before everything else"),
            format!(
                "nothing under `resshim run`; else LD_PRELOAD={library}:/path/to/libresshim.so"
            ),
        ));
    } else if ["__asan_init", "__tsan_init", "__msan_init"].iter().any(|s| elf.defines.contains(*s))
    {
        answers.push(Answer::note(
            "a sanitizer is linked into it and takes malloc and open for itself",
            "build it with the sanitizer as a shared library (-shared-libasan)",
        ));
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dynamic() -> Elf {
        Elf {
            interpreter: Some("/lib64/ld-linux-x86-64.so.2".into()),
            needed: vec!["libc.so.6".into()],
            ..Elf::default()
        }
    }

    fn weights(elf: &Elf) -> Vec<Weight> {
        judge_elf(elf).iter().map(|answer| answer.weight).collect()
    }

    #[test]
    fn what_no_preload_reaches_is_refused() {
        let cases = [
            Elf::default(),
            Elf { is_go: true, ..Elf::default() },
            Elf { interpreter: Some("/lib/ld-musl-x86_64.so.1".into()), ..dynamic() },
            Elf { interpreter: Some("/lib/none/ld-linux-x86-64.so.2".into()), ..dynamic() },
        ];
        for elf in cases {
            let answers = judge_elf(&elf);
            assert_eq!(answers[0].weight, Weight::No, "{answers:?}");
            assert!(!answers[0].remedy.is_empty());
        }
    }

    #[test]
    fn what_will_not_be_seen_is_noted() {
        assert_eq!(weights(&dynamic()), [Weight::Fine]);
        let allocator = Elf { defines: ["malloc".to_string()].into(), ..dynamic() };
        let sanitizer =
            Elf { needed: vec!["libasan.so.8".into(), "libc.so.6".into()], ..dynamic() };
        let go = Elf { is_go: true, ..dynamic() };
        for elf in [allocator, sanitizer.clone(), go] {
            assert_eq!(weights(&elf), [Weight::Fine, Weight::Note]);
        }
        assert!(judge_elf(&sanitizer)[1].remedy.contains("LD_PRELOAD=libasan.so.8:"));
    }
}
