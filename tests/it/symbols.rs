//! Names of call sites of real binaries: C, C++ and Rust, with debug information inside, beside,
//! by build id, and none.
//!
//! The programs print their own modules and stack, as the shim would store them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use resshim_analyzer::report::Frame;
use resshim_analyzer::source::rows::{Module, Stack};
use resshim_analyzer::symbols::source_line::SourceLines;
use resshim_analyzer::symbols::{Image, ResolvedSite, Symbols};
use resshim_tests::artifacts;
use resshim_tests::scratch::Scratch;

const REGION: u64 = 1;

fn program(name: &str) -> PathBuf {
    artifacts::tests_dir().join("programs/symbols").join(name)
}

/// Runs a tool that must succeed, and returns what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).expect("text")
}

/// Compiles a source of `programs/symbols` with `dump.c`; the result is `directory/NAME`.
fn build(directory: &Path, source: &Path, flags: &[&str]) -> PathBuf {
    let object = directory.join("dump.o");
    run(Command::new("cc").args(["-O1", "-c", "-o"]).arg(&object).arg(program("dump.c")));
    let target = directory.join(source.file_stem().expect("a name"));
    let mut command = match source.extension().and_then(|e| e.to_str()) {
        Some("rs") => {
            let mut rustc = Command::new("rustc");
            rustc.args(["--edition=2024", "-g", "-Copt-level=1"]);
            rustc.arg(format!("-Clink-arg={}", object.display()));
            rustc
        }
        Some("cc") => {
            let mut cxx = Command::new("c++");
            cxx.args(["-O1", "-g"]).arg(&object);
            cxx
        }
        _ => {
            let mut cc = Command::new("cc");
            cc.args(["-O1", "-g"]).arg(&object);
            cc
        }
    };
    run(command.args(flags).arg("-o").arg(&target).arg(source));
    target
}

/// What a run of the program told of itself.
fn taken(program: &Path) -> (Image, Stack) {
    let mut image = Image {
        user: rustix::process::geteuid().as_raw(),
        exe: program.to_path_buf(),
        cwd: PathBuf::from("/"),
        started_ns: u64::MAX,
        modules: Vec::new(),
        codes: Default::default(),
    };
    let mut stack =
        Stack { frames: Vec::new(), folded: false, cut: false, no_unwind_data: false, epoch: 0 };
    let number = |text: &str| u64::from_str_radix(text, 16).expect("a number");
    for line in run(&mut Command::new(program)).lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if words[0] == "stack" {
            stack.frames = words[1..].iter().map(|word| number(word)).collect();
            continue;
        }
        let digits = words[6].as_bytes();
        image.modules.push(Module {
            row: image.modules.len() as u32 + 1,
            start: number(words[1]),
            end: number(words[2]),
            bias: number(words[3]),
            epoch: 0,
            build_id: digits
                .chunks(2)
                .map(|two| number(std::str::from_utf8(two).expect("digits")) as u8)
                .collect(),
            inode: words[4].parse().expect("an inode"),
            path: PathBuf::from(words[5]),
        });
    }
    assert!(!stack.frames.is_empty() && !image.modules.is_empty());
    (image, stack)
}

fn resolved(symbols: &mut Symbols, taken: &(Image, Stack)) -> ResolvedSite {
    symbols.set_image(REGION, taken.0.clone());
    symbols.site(REGION, &taken.1)
}

fn names(site: &ResolvedSite) -> Vec<&str> {
    site.site.frames.iter().map(|frame| frame.function.as_str()).collect()
}

/// Number of the line that ends with `line: MARK`.
fn line_of(source: &Path, mark: &str) -> u32 {
    let text = fs::read_to_string(source).expect("source");
    let at = text.lines().position(|line| line.ends_with(&format!("// line: {mark}")));
    at.unwrap_or_else(|| panic!("no line {mark}")) as u32 + 1
}

fn frame<'a>(site: &'a ResolvedSite, function: &str) -> &'a Frame {
    let found = site.site.frames.iter().find(|frame| frame.function == function);
    found.unwrap_or_else(|| panic!("no {function} in {:#?}", site.site))
}

fn strip_to(program: &Path, debug: &Path) {
    run(Command::new("objcopy").arg("--only-keep-debug").arg(program).arg(debug));
    run(Command::new("strip").arg(program));
}

/// The frames of `inlined.c`, with their lines.
fn assert_inlined_site(site: &ResolvedSite) {
    let source = program("inlined.c");
    assert_eq!(names(site)[..4], ["innermost", "middle", "outer", "main"], "{site:#?}");
    for (frame, mark) in site.site.frames.iter().zip(["innermost", "middle", "outer", "main"]) {
        assert_eq!(frame.line, line_of(&source, mark), "{mark}");
        assert!(frame.file.ends_with("inlined.c"), "{frame:?}");
        assert!(frame.module.ends_with("/inlined"), "{frame:?}");
        assert_eq!(frame.inlined, mark == "innermost" || mark == "middle", "{mark}");
    }
    assert_eq!(site.site.user, 0);
    assert!(site.id_stable);
}

#[test]
fn c_frames_have_function_file_and_line_also_where_inlined() {
    let dir = Scratch::new("symbols-c");
    let taken = taken(&build(dir.path(), &program("inlined.c"), &[]));
    let site = resolved(&mut Symbols::open(None), &taken);
    assert_inlined_site(&site);
    let lines = SourceLines::below(program("").as_path());
    let shown = lines.line(&site.site.frames[0]).expect("the source is below its directory");
    assert_eq!(shown, "dump_stack(); // line: innermost");
    assert_eq!(SourceLines::below(dir.path()).line(&site.site.frames[0]), None);
}

#[test]
fn cpp_frames_are_demangled_and_the_library_is_not_own_code() {
    let dir = Scratch::new("symbols-cc");
    let source = program("templates.cc");
    let taken = taken(&build(dir.path(), &source, &[]));
    let site = resolved(&mut Symbols::open(None), &taken);
    let grow = &site.site.frames[0];
    assert!(grow.function.starts_with("pool::Pool<std::vector<int"), "{}", grow.function);
    assert_eq!(grow.line, line_of(&source, "grow"));
    assert!(site.site.frames.iter().any(|f| f.line == line_of(&source, "lambda")), "{site:#?}");
    assert!(names(&site).iter().any(|name| name.starts_with("each(")), "{:?}", names(&site));
    assert_eq!(site.acquiring, "pool::Pool<…>::grow(std::vector<…>)");
    let own = ["pool::Pool<…>::grow(std::vector<…>)", "main::{{lambda}}::operator()(int) const"];
    assert_eq!(site.own[..2], own);
    assert!(site.own[2].starts_with("each("), "{:?}", site.own);
    assert!(site.id_stable);
}

#[test]
fn rust_frames_are_demangled_and_std_is_not_own_code() {
    let dir = Scratch::new("symbols-rs");
    let source = program("generics.rs");
    let taken = taken(&build(dir.path(), &source, &[]));
    let site = resolved(&mut Symbols::open(None), &taken);
    let grow = &site.site.frames[0];
    assert!(grow.function.starts_with("generics::Pool<"), "{}", grow.function);
    assert_eq!(grow.line, line_of(&source, "grow"));
    assert_eq!(frame(&site, "generics::fill::{{closure}}").line, line_of(&source, "closure"));
    assert_eq!(frame(&site, "generics::main").line, line_of(&source, "main"));
    let own = ["generics::Pool<…>::grow", "generics::fill::{{closure}}", "generics::fill"];
    assert_eq!(site.own, own);
}

#[test]
fn a_stripped_binary_has_names_from_a_debug_file_by_build_id() {
    let dir = Scratch::new("symbols-build-id");
    let binary = build(dir.path(), &program("inlined.c"), &["-Wl,--build-id=sha1"]);
    let debug = dir.path().join("debug");
    strip_to(&binary, &debug);
    let taken = taken(&binary);
    let bare = resolved(&mut Symbols::open(None), &taken);
    assert!(!bare.id_stable, "{bare:#?}");
    assert_eq!(bare.site.frames[0].function, "");
    let place = &bare.site.frames[0];
    assert!(place.module.ends_with("/inlined") && place.offset != 0, "{place:?}");

    let digits: String = taken.0.modules[0].build_id.iter().map(|b| format!("{b:02x}")).collect();
    let place = dir.path().join("debug-dir/.build-id").join(&digits[..2]);
    fs::create_dir_all(&place).expect("directory");
    fs::rename(&debug, place.join(format!("{}.debug", &digits[2..]))).expect("debug file");
    let mut symbols = Symbols::open(None);
    symbols.add_debug_directory(&dir.path().join("debug-dir"));
    assert_inlined_site(&resolved(&mut symbols, &taken));
}

#[test]
fn a_stripped_binary_has_names_from_a_debug_file_by_link() {
    for flags in ["-Wl,--build-id=sha1", "-Wl,--build-id=none"] {
        let dir = Scratch::new("symbols-link");
        let binary = build(dir.path(), &program("inlined.c"), &[flags]);
        fs::create_dir(dir.path().join(".debug")).expect("directory");
        let debug = dir.path().join(".debug/inlined.debug");
        strip_to(&binary, &debug);
        let link = format!("--add-gnu-debuglink={}", debug.display());
        run(Command::new("objcopy").arg(link).arg(&binary));
        let taken = taken(&binary);
        assert_inlined_site(&resolved(&mut Symbols::open(None), &taken));

        // A debug file of something else gives no names.
        let other = build(dir.path(), &program("templates.cc"), &[flags]);
        fs::copy(other, &debug).expect("copied");
        let bare = resolved(&mut Symbols::open(None), &taken);
        assert_eq!(bare.site.frames[0].function, "", "{flags}");
    }
}

#[test]
fn a_binary_of_another_build_is_refused_and_said() {
    let dir = Scratch::new("symbols-rebuilt");
    let source = program("inlined.c");
    let taken = taken(&build(dir.path(), &source, &[]));
    build(dir.path(), &source, &["-DREBUILT", "-O2", "-fno-omit-frame-pointer"]);
    let mut symbols = Symbols::open(None);
    let site = resolved(&mut symbols, &taken);
    assert!(site.site.frames[0].function.is_empty() && !site.id_stable);
    let said = symbols.diagnostics();
    assert!(said.iter().any(|d| d.text.contains("another build")), "{said:?}");
}

#[test]
fn a_binary_that_is_gone_leaves_module_and_offset() {
    let dir = Scratch::new("symbols-gone");
    let binary = build(dir.path(), &program("inlined.c"), &[]);
    let taken = taken(&binary);
    fs::remove_file(&binary).expect("removed");
    let mut symbols = Symbols::open(None);
    let site = resolved(&mut symbols, &taken);
    let place = &site.site.frames[0];
    assert!(place.function.is_empty() && place.module.ends_with("/inlined"), "{place:?}");
    assert!(!site.id_stable);
    assert!(symbols.diagnostics().iter().any(|d| d.text.contains("not there any more")));
}

#[test]
fn stored_names_outlive_the_binary() {
    let dir = Scratch::new("symbols-stored");
    let binary = build(dir.path(), &program("inlined.c"), &[]);
    let taken = taken(&binary);
    let trace = dir.path().join("trace");
    fs::create_dir(&trace).expect("directory");
    let mut first = Symbols::open(Some(&trace));
    let before = resolved(&mut first, &taken);
    first.save();
    fs::remove_file(&binary).expect("removed");
    let mut second = Symbols::open(Some(&trace));
    assert_eq!(resolved(&mut second, &taken), before);
    assert!(second.diagnostics().is_empty(), "{:?}", second.diagnostics());
    assert_inlined_site(&before);
}

#[test]
fn a_trace_that_cannot_be_written_to_is_no_error() {
    let dir = Scratch::new("symbols-read-only");
    let taken = taken(&build(dir.path(), &program("inlined.c"), &[]));
    let trace = dir.path().join("trace");
    fs::create_dir(&trace).expect("directory");
    // Root writes everywhere: a file in place of the directory's entry stops it too.
    fs::create_dir(trace.join("names")).expect("directory");
    fs::set_permissions(&trace, fs::Permissions::from_mode(0o500)).expect("permissions");
    let mut symbols = Symbols::open(Some(&trace));
    assert_inlined_site(&resolved(&mut symbols, &taken));
    symbols.save();
    let left = fs::read_dir(&trace).expect("directory").count();
    fs::set_permissions(&trace, fs::Permissions::from_mode(0o700)).expect("permissions");
    assert_eq!(left, 1, "nothing but what was there");
}

#[test]
fn ids_are_the_same_in_a_build_with_shifted_lines() {
    let dir = Scratch::new("symbols-shifted");
    let site = |text: String, directory: &str, flags: &[&str]| {
        let directory = dir.path().join(directory);
        fs::create_dir(&directory).expect("directory");
        let source = directory.join("inlined.c");
        fs::write(&source, text).expect("source");
        let taken = taken(&build(&directory, &source, flags));
        resolved(&mut Symbols::open(None), &taken)
    };
    let text = fs::read_to_string(program("inlined.c")).expect("source");
    let first = site(text.clone(), "a", &[]);
    let shifted = site(format!("\n\n\nint added;\n{text}"), "b", &["-fno-pie", "-no-pie"]);
    assert_ne!(first.site.frames[0].line, shifted.site.frames[0].line);
    assert_eq!(first.finding_id("leak", "file"), shifted.finding_id("leak", "file"));
    assert_eq!(first.site_id, shifted.site_id);
    let renamed = site(text.replace("middle", "centre"), "c", &[]);
    assert_ne!(first.finding_id("leak", "file"), renamed.finding_id("leak", "file"));
}

#[test]
fn a_damaged_binary_harms_nobody() {
    let dir = Scratch::new("symbols-damaged");
    let binary = build(dir.path(), &program("inlined.c"), &["-Wl,--build-id=none"]);
    let mut taken = taken(&binary);
    taken.0.modules.truncate(1);
    taken.0.modules[0].inode = 0;
    let whole = fs::read(&binary).expect("binary");
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as usize
    };
    for round in 0..150 {
        let mut bytes = whole.clone();
        for _ in 0..1 << (round % 8) {
            let at = random() % bytes.len();
            bytes[at] = random() as u8;
        }
        if round % 5 == 0 {
            bytes.truncate(random() % whole.len());
        }
        fs::write(&binary, bytes).expect("written");
        let site = resolved(&mut Symbols::open(None), &taken);
        assert!(!site.site.frames.is_empty());
    }
}

#[test]
fn a_link_of_the_reader_is_followed() {
    let dir = Scratch::new("symbols-soname");
    let binary = build(dir.path(), &program("inlined.c"), &[]);
    let mut taken = taken(&binary);
    symlink(&binary, dir.path().join("soname")).expect("link");
    taken.0.modules[0].path = dir.path().join("soname");
    let site = resolved(&mut Symbols::open(None), &taken);
    assert_eq!(names(&site)[..2], ["innermost", "middle"]);
}

#[test]
fn root_reads_names_of_a_users_binary_and_not_of_a_third_ones() {
    // Only root can give files away.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = Scratch::new("symbols-foreign");
    let binary = build(dir.path(), &program("inlined.c"), &[]);
    let mut taken = taken(&binary);
    std::os::unix::fs::chown(&binary, Some(12345), None).expect("given away");
    taken.0.user = 12345;
    assert_inlined_site(&resolved(&mut Symbols::open(None), &taken));
    taken.0.user = 54321;
    let mut symbols = Symbols::open(None);
    assert_eq!(resolved(&mut symbols, &taken).site.frames[0].function, "");
    let said = symbols.diagnostics();
    assert!(said.iter().any(|d| d.text.contains("belongs to user 12345")), "{said:?}");
}
