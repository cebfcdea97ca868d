//! Java: frames are those that the program has, and nothing that a JVM does is disturbed by asking.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use resshim_format::op::{Kind, Op};
use resshim_format::table::{FRAME_MANAGED, unpack_managed};
use resshim_tests::artifacts;
use resshim_tests::launch::{Ending, Launch};
use resshim_tests::program;
use resshim_tests::scratch::Scratch;
use resshim_tests::trace::{Image, Traces};

/// The JVMs of this machine that run classes of JDK 17: the one on the path, and those where packages put them.
fn machines() -> Vec<PathBuf> {
    let places = std::fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = places.map(|place| place.path().join("bin/java")).collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    found.extend(std::env::split_paths(&path).map(|place| place.join("java")));
    let mut found: Vec<PathBuf> =
        found.iter().filter_map(|java| java.canonicalize().ok()).collect();
    found.sort();
    found.dedup();
    found.retain(|java| {
        let version = Launch::new(java).args(["-version"]).run().stderr_text();
        let major =
            version.split('"').nth(1).and_then(|v| v.split('.').next()?.parse::<u32>().ok());
        major.is_some_and(|major| major >= 17)
    });
    found
}

/// Compiles a program of `tests/programs/java`; `None` where there is no JDK.
fn classes(name: &str, work: &Path) -> Option<PathBuf> {
    let source = artifacts::tests_dir().join(format!("programs/java/{name}.java"));
    let to = work.join("classes");
    let Ok(built) =
        Command::new("javac").args(["--release", "17", "-d"]).args([&to, &source]).output()
    else {
        let _ = writeln!(std::io::stderr(), "skipped: {name}.java: there is no javac");
        return None;
    };
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Some(to)
}

/// A JVM with the shim, preloaded and as its agent.
fn java(machine: &Path, out: &Path, options: &[&str]) -> Launch {
    Launch::new(machine)
        .args(options)
        .preloaded(out)
        .env("JAVA_TOOL_OPTIONS", format!("-agentpath:{}", artifacts::shim().display()))
}

/// Id and Java frames of each file's stack where it was opened, as the program writes them down.
fn stacks_of_files(image: &Image, directory: &Path) -> HashMap<usize, (u32, String)> {
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
        let text: String = managed.map(|word| frame(*word) + "\t").collect();
        found.insert(number, (event.stack, text));
    }
    found
}

#[test]
fn frames_are_those_of_get_stack_trace() {
    let work = Scratch::new("java-frames");
    let Some(classes) = classes("Frames", work.path()) else { return };
    for machine in machines() {
        frames_are_the_same(&machine, &classes);
    }
}

/// Without the addresses in the names of hidden classes.
fn without_addresses(text: &str) -> String {
    let mut parts = text.split("/0x");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.trim_start_matches(|c: char| c.is_ascii_hexdigit()))
}

fn frames_are_the_same(machine: &Path, classes: &Path) {
    const FILES: usize = 20_000;
    let work = Scratch::new("java-files");
    let (files, said) = (work.path().join("files"), work.path().join("said"));
    std::fs::create_dir(&files).unwrap();
    for file in 0..FILES {
        std::fs::write(files.join(file.to_string()), "").unwrap();
    }
    let out = Scratch::for_regions("java-frames");
    let shown = ["-XX:+UnlockDiagnosticVMOptions", "-XX:+ShowHiddenFrames", "-Xmx256m", "-cp"];
    let launch = java(machine, out.path(), &shown)
        .args([classes.as_os_str(), "Frames".as_ref(), files.as_os_str()])
        .args([FILES.to_string().as_ref(), said.as_os_str()])
        .env("RESSHIM_TRACK", "-heap,-mapping,-thread")
        .env("RESSHIM_STACK_DEPTH", "128")
        .limit(Duration::from_secs(90))
        .run();
    assert_eq!(launch.ending, Ending::Exit(0), "{}", launch.stderr_text());

    let traces = Traces::of(out.path());
    let stacks = stacks_of_files(&traces.images[0], &files);
    let said = without_addresses(&std::fs::read_to_string(&said).unwrap());
    let (shapes, opened): (Vec<&str>, Vec<&str>) =
        said.lines().partition(|line| !line.starts_with("file "));
    assert_eq!((opened.len(), stacks.len()), (FILES, FILES));
    assert!(shapes.len() > 1000, "{} shapes are no sample", shapes.len());
    let (mut different, mut ids, mut refused) = (Vec::new(), HashMap::new(), 0);
    for line in opened {
        let mut fields = line.split(' ').skip(1).map(|field| field.parse::<usize>().unwrap());
        let (file, shape) = (fields.next().unwrap(), fields.next().unwrap());
        let (id, stack) = &stacks[&file];
        if stack.is_empty() {
            refused += 1;
            continue;
        }
        // Interpreted or compiled, by whatever tier: the same frames are the same site.
        if *ids.entry(stack).or_insert(*id) != *id {
            different.push(format!("{file} has another id than others with the stack\n{stack}"));
        }
        // What the library does between the program's line and the call is not in the program's own trace.
        let from_open = stack.find("Frames.open ").map(|at| &stack[at..]);
        // Of a virtual thread the outermost frames can still lie in the heap, where it waited last; the
        // thread that carries it has no part in its stack.
        let is_same =
            |found: &str| match found.split_once("jdk.internal.vm.Continuation.enterSpecial ") {
                Some((own, behind)) => {
                    let is_last = behind.matches('\t').count() == 1;
                    is_last && own.contains("Frames.next ") && shapes[shape].starts_with(own)
                }
                None => found == shapes[shape],
            };
        if !from_open.is_some_and(is_same) {
            different.push(format!("{file}\n  has  {stack}\n  said {}", shapes[shape]));
        }
    }
    let few = different.iter().take(3).map(String::as_str).collect::<Vec<_>>().join("\n");
    // While the VM collects it tells nobody's frames; that is counted.
    let lost = traces.images[0].region.header.managed_lost;
    assert!(refused <= lost && refused < FILES as u32 / 100, "{refused} refused, {lost} counted");
    let count = different.len();
    assert!(count == 0, "{}: {count} of {FILES}, such as\n{few}", machine.display());
}

/// The agent and its classes in one file, for a program that redefines classes.
fn archive(name: &str, classes: &Path) -> PathBuf {
    let (manifest, jar) = (classes.join("manifest"), classes.join("all.jar"));
    std::fs::write(&manifest, format!("Premain-Class: {name}\nCan-Redefine-Classes: true\n"))
        .unwrap();
    let built = Command::new("jar")
        .args(["--create", "--file"])
        .args([&jar])
        .arg("--manifest")
        .args([&manifest])
        .args(["-C".as_ref(), classes.as_os_str(), ".".as_ref()])
        .output()
        .expect("jar stands beside javac");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    jar
}

/// Every way in which a VM moves, compiles and throws away, for a short time each.
#[test]
fn a_jvm_whose_every_block_is_recorded_in_a_storm_goes_on() {
    let work = Scratch::new("java-storm");
    let Some(classes) = classes("Storm", work.path()) else { return };
    let jar = archive("Storm", &classes);
    let agent = format!("-javaagent:{}", jar.display());
    let ways = [
        ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"],
        ["-XX:+UseParallelGC", "-XX:-TieredCompilation"],
        ["-XX:+UseG1GC", "-XX:+TieredCompilation"],
        ["-XX:+UseZGC", "-XX:+TieredCompilation"],
        ["-XX:+UseSerialGC", "-Xint"],
    ];
    let seconds = std::env::var("RESSHIM_STORM_SECONDS").unwrap_or_else(|_| "2".to_owned());
    for machine in machines() {
        for way in ways {
            let out = Scratch::for_regions("java-storm");
            let options = [way[0], way[1], "-Xmx256m", &agent, "-cp"];
            let ran = java(&machine, out.path(), &options)
                .args([jar.as_os_str(), "Storm".as_ref(), seconds.as_ref()])
                .env("RESSHIM_HEAP_SAMPLE", "1")
                .directory(work.path())
                .limit(Duration::from_secs_f64(90.0 + 2.0 * seconds.parse::<f64>().unwrap()))
                .run();
            let told = (ran.stdout_text(), ran.ending);
            let expected = ("done\n".to_owned(), Ending::Exit(0));
            assert_eq!(told, expected, "{} {way:?}: {}", machine.display(), ran.stderr_text());
            let traces = Traces::of(out.path());
            let region = &traces.images[0].region;
            let methods: Vec<String> = region.codes().map(|code| code.name).collect();
            assert!(methods.len() > 50, "{} methods were met", methods.len());
            // Its class is loaded, hidden and redefined again and again: it fills no table.
            let opens = methods.iter().filter(|name| *name == "Storm$Template.open").count();
            assert_eq!(opens, 1, "{} {way:?}", machine.display());
        }
    }
}

/// What the program itself says on standard error.
fn without_notice(text: String) -> String {
    text.lines().filter(|line| !line.starts_with("Picked up JAVA_TOOL_OPTIONS: ")).collect()
}

#[test]
fn a_jvm_ends_as_it_would_and_its_last_frames_are_there() {
    let work = Scratch::new("java-ends");
    let Some(classes) = classes("Ends", work.path()) else { return };
    let class_path = classes.to_string_lossy();
    for machine in machines() {
        for way in ["return", "exit", "halt", "throw"] {
            let options = ["-cp", &*class_path, "Ends", way];
            let untraced = Launch::new(&machine).args(options).run();
            let out = Scratch::for_regions("java-ends");
            let mut ran = java(&machine, out.path(), &options).run();
            ran.stderr = without_notice(ran.stderr_text()).into_bytes();
            assert_eq!(ran.ending, untraced.ending, "{way}: {}", ran.stderr_text());
            assert_eq!(ran.stdout, untraced.stdout, "{way}");
            assert_eq!(ran.stderr_text(), without_notice(untraced.stderr_text()), "{way}");

            let traces = Traces::of(out.path());
            let image = &traces.images[0];
            let codes: HashMap<u32, String> =
                image.region.codes().map(|code| (code.row, code.name)).collect();
            let is_leak = |word: &u64| {
                let (row, line, _) = unpack_managed(*word);
                line == 10 && codes.get(&row).is_some_and(|name| name == "Ends.leaky")
            };
            let leaks = image.events.iter().filter(|event| {
                event.label.as_deref() == Some("/etc/hostname")
                    && image.region.stack(event.stack).is_some_and(|s| s.frames.iter().any(is_leak))
            });
            assert_eq!(leaks.count(), 20, "{way}");
        }
    }
}

/// What the report says that it cannot see.
fn unseen(out: &Path) -> Vec<String> {
    let report = Launch::cli().args(["report", "--format", "json"]).args([out]).run();
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).expect("JSON");
    let said = report["processes"][0]["not_visible"].as_array().expect("a list");
    said.iter().map(|text| text.as_str().expect("text").to_owned()).collect()
}

#[test]
fn a_jvm_without_the_agent_has_no_frames_and_that_is_said() {
    let work = Scratch::new("java-unseen");
    let Some(classes) = classes("Ends", work.path()) else { return };
    let class_path = classes.to_string_lossy();
    let options = ["-cp", &*class_path, "Ends", "return"];
    let is_about_java = |text: &String| text.starts_with("frames of Java: its agent is not loaded");
    for machine in machines() {
        let out = Scratch::for_regions("java-unseen");
        let bare = Launch::new(&machine).args(options).preloaded(out.path()).run();
        assert_eq!(bare.ending, Ending::Exit(0));
        let said = unseen(out.path());
        assert!(said.iter().any(is_about_java), "{said:?}");

        let out = Scratch::for_regions("java-seen");
        java(&machine, out.path(), &options).run();
        let said = unseen(out.path());
        assert!(!said.iter().any(|text| text.starts_with("frames of")), "{said:?}");

        // The agent alone: nothing is recorded, nothing is disturbed.
        let out = Scratch::for_regions("java-alone");
        let agent = format!("-agentpath:{}", artifacts::shim().display());
        let alone = Launch::new(&machine)
            .args([agent.as_str()])
            .args(options)
            .env("RESSHIM_OUT", out.path())
            .run();
        assert_eq!(alone.difference(&bare), None);
        assert!(Traces::of(out.path()).images.is_empty());
    }
}

#[test]
fn every_kind_of_resource_has_the_line_that_acquired_it() {
    let work = Scratch::new("java-kinds");
    let Some(classes) = classes("Kinds", work.path()) else { return };
    let class_path = classes.to_string_lossy();
    let source = artifacts::tests_dir().join("programs/java/Kinds.java");
    let source = std::fs::read_to_string(source).expect("the source");
    for machine in machines() {
        let out = Scratch::for_regions("java-kinds");
        let ran = java(&machine, out.path(), &["-cp", &class_path, "Kinds"])
            .env("RESSHIM_HEAP_SAMPLE", "1")
            .limit(Duration::from_secs(60))
            .run();
        assert_eq!(ran.ending, Ending::Exit(0), "{}", ran.stderr_text());
        let traces = Traces::of(out.path());
        let region = &traces.images[0].region;
        let codes: HashMap<u32, String> =
            region.codes().map(|code| (code.row, code.name)).collect();
        // Line of the innermost method of the program, behind those that both sorts use.
        let line_of = |site: u32| {
            let stack = region.stack(region.site(site)?.stack)?;
            stack.frames.iter().filter(|word| **word & FRAME_MANAGED != 0).find_map(|word| {
                let (row, line, _) = unpack_managed(*word);
                let name = codes.get(&row)?;
                let is_it = name.starts_with("Kinds.leaks") || name.starts_with("Kinds.closes");
                is_it.then_some(line as usize)
            })
        };
        let mut live: HashMap<(usize, String), u32> = HashMap::new();
        for fd in region.fds() {
            let kind = Kind::from_number(u32::from(fd.args.kind));
            if let (Some(line), Some(kind)) = (line_of(fd.site), kind) {
                *live.entry((line, kind.name().to_owned())).or_default() += 1;
            }
        }
        for thread in region.threads() {
            if let Some(line) = line_of(thread.site) {
                *live.entry((line, "thread".to_owned())).or_default() += 1;
            }
        }
        // Not what the VM keeps for itself in the same lines.
        for block in region.heap().filter(|block| (100_000..110_000).contains(&block.size)) {
            if let Some(line) = line_of(block.site) {
                *live.entry((line, "heap".to_owned())).or_default() += 1;
            }
        }
        for (at, text) in source.lines().enumerate() {
            if let Some((_, kind)) = text.split_once("// leaks ") {
                let found = live.remove(&(at + 1, kind.to_owned()));
                assert_eq!(
                    found,
                    Some(12),
                    "{}: line {} {kind}: {live:?}",
                    machine.display(),
                    at + 1
                );
            }
        }
        // The descriptors that a selector has beside its epoll set, and one of the library's.
        live.retain(|(_, kind), _| kind != "eventfd" && kind != "unix" && kind != "pipe");
        assert!(live.is_empty(), "{}: {live:?}", machine.display());
        let said = unseen(out.path());
        assert!(!said.iter().any(|text| text.starts_with("frames of")), "{said:?}");
    }
}

#[test]
fn run_adds_the_agent_to_what_the_user_has_set_or_leaves_it_alone() {
    let scratch = Scratch::new("java-options");
    let asked = |options: &[&str]| {
        let run = Launch::cli()
            .args(["run", "--report", "none"])
            .args(options)
            .args(["-o".as_ref(), scratch.path().join("trace").as_os_str()])
            .args(["--", "printenv", "JAVA_TOOL_OPTIONS"])
            .env("JAVA_TOOL_OPTIONS", "-Dmine=1")
            .run();
        run.stdout_text().trim_end().to_owned()
    };
    let shim = artifacts::shim().canonicalize().unwrap();
    assert_eq!(asked(&[]), format!("-Dmine=1 -agentpath:{}", shim.display()));
    assert_eq!(asked(&["--no-runtime-hooks"]), "-Dmine=1");
    assert_eq!(asked(&["--profile", "off"]), "-Dmine=1");
}

#[test]
fn a_vm_that_does_not_describe_itself_goes_on_without_frames_and_that_is_said() {
    let source = artifacts::tests_dir().join("programs/java/other_vm.c");
    let program = program::compiled(&source).expect("it compiles");
    let out = Scratch::for_regions("java-other-vm");
    let ran = Launch::of(&program).preloaded(out.path()).run();
    assert_eq!((ran.stdout_text().as_str(), ran.ending), ("done\n", Ending::Exit(0)));
    let said = unseen(out.path());
    let why = "frames of Java: it is built in a way whose frames cannot be read";
    assert!(said.iter().any(|text| text == why), "{said:?}");
}
