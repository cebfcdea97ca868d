//! Java: frames are those that the program has, and nothing that a JVM does is disturbed by asking.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use resshim_format::op::Op;
use resshim_format::table::{FRAME_MANAGED, unpack_managed};
use resshim_tests::artifacts;
use resshim_tests::launch::{Ending, Launch};
use resshim_tests::scratch::Scratch;
use resshim_tests::trace::{Image, Traces};

/// Compiles a program of `tests/programs/java`; `None` where there is no JDK.
fn classes(name: &str, work: &Path) -> Option<PathBuf> {
    let source = artifacts::tests_dir().join(format!("programs/java/{name}.java"));
    let to = work.join("classes");
    let Ok(built) = Command::new("javac").arg("-d").args([&to, &source]).output() else {
        let _ = writeln!(std::io::stderr(), "skipped: {name}.java: there is no javac");
        return None;
    };
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Some(to)
}

/// A JVM with the shim, preloaded and as its agent.
fn java(out: &Path, options: &[&str]) -> Launch {
    Launch::new("java")
        .args(options)
        .preloaded(out)
        .env("JAVA_TOOL_OPTIONS", format!("-agentpath:{}", artifacts::shim().display()))
}

/// Java frames of each file that was opened, as the program writes them down.
fn stacks_of_files(image: &Image, directory: &Path) -> HashMap<usize, String> {
    let codes: HashMap<u32, _> = image.region.codes().map(|code| (code.row, code)).collect();
    let frame = |word: u64| {
        let (row, line, _) = unpack_managed(word);
        codes.get(&row).map_or_else(
            || format!("row {row}:{line}"),
            |code| {
                let file = match code.file.rsplit('/').next() {
                    Some(file) if !file.is_empty() => file,
                    _ => "null",
                };
                format!("{} {file}:{line}", code.name)
            },
        )
    };
    let mut found = HashMap::new();
    for event in image.events.iter().filter(|event| event.op == Op::Open) {
        let file = event.label.as_deref().map(Path::new);
        let Some(number) = file
            .filter(|path| path.parent() == Some(directory))
            .and_then(|path| path.file_name()?.to_str()?.parse().ok())
        else {
            continue;
        };
        let stack = image.region.stack(event.stack).expect("a stack");
        let managed = stack.frames.iter().filter(|word| **word & FRAME_MANAGED != 0);
        found.insert(number, managed.map(|word| frame(*word) + "\t").collect());
    }
    found
}

#[test]
fn frames_are_those_of_get_stack_trace() {
    const FILES: usize = 20_000;
    let work = Scratch::new("java-frames");
    let Some(classes) = classes("Frames", work.path()) else { return };
    let (files, said) = (work.path().join("files"), work.path().join("said"));
    std::fs::create_dir(&files).unwrap();
    for file in 0..FILES {
        std::fs::write(files.join(file.to_string()), "").unwrap();
    }
    let out = Scratch::for_regions("java-frames");
    let shown = ["-XX:+UnlockDiagnosticVMOptions", "-XX:+ShowHiddenFrames", "-Xmx256m", "-cp"];
    let launch = java(out.path(), &shown)
        .args([classes.as_os_str(), "Frames".as_ref(), files.as_os_str()])
        .args([FILES.to_string().as_ref(), said.as_os_str()])
        .env("RESSHIM_TRACK", "-heap,-mapping,-thread")
        .env("RESSHIM_STACK_DEPTH", "128")
        .limit(Duration::from_secs(90))
        .run();
    assert_eq!(launch.ending, Ending::Exit(0), "{}", launch.stderr_text());

    let traces = Traces::of(out.path());
    let stacks = stacks_of_files(&traces.images[0], &files);
    let said = std::fs::read_to_string(&said).unwrap();
    let (shapes, opened): (Vec<&str>, Vec<&str>) =
        said.lines().partition(|line| !line.starts_with("file "));
    assert_eq!((opened.len(), stacks.len()), (FILES, FILES));
    assert!(shapes.len() > 1000, "{} shapes are no sample", shapes.len());
    let mut different = Vec::new();
    for line in opened {
        let mut fields = line.split(' ').skip(1).map(|field| field.parse::<usize>().unwrap());
        let (file, shape) = (fields.next().unwrap(), fields.next().unwrap());
        let stack = &stacks[&file];
        // What the library does between the program's line and the call is not in the program's own trace.
        let from_open = stack.find("Frames.open ").map(|at| &stack[at..]);
        if from_open != Some(shapes[shape]) {
            different.push(format!("{file}\n  has  {stack}\n  said {}", shapes[shape]));
        }
    }
    let few = different.iter().take(3).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(different.is_empty(), "{} of {FILES}, such as\n{few}", different.len());
}
