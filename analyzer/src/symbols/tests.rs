//! Which module an address is in, and what becomes of a site without any names.

use std::sync::Arc;

use super::stored::ModuleNames;
use super::*;

const REGION: u64 = 7;

fn module(path: &str, start: u64, epoch: u32, build_id: &[u8]) -> Module {
    Module {
        row: 1,
        start,
        end: start + 0x1000,
        bias: start,
        epoch,
        build_id: build_id.to_vec(),
        inode: 0,
        path: PathBuf::from(path),
    }
}

fn stack(frames: &[u64], epoch: u32) -> Stack {
    let frames = frames.to_vec();
    Stack { frames, folded: false, cut: false, no_unwind_data: false, epoch }
}

/// Symbols of one image, with names for some offsets of modules, by build id.
fn symbols(modules: Vec<Module>, names: &[(&[u8], u64, &[&str])]) -> Symbols {
    let mut symbols = Symbols::open(None);
    symbols.set_image(
        REGION,
        Image {
            user: u32::MAX,
            exe: PathBuf::from("/srv/none/app"),
            cwd: PathBuf::from("/srv/none"),
            started_ns: 1,
            modules,
            codes: managed::Codes::new(),
        },
    );
    for (build_id, offset, functions) in names {
        let known = symbols.names.modules.entry(resolve::hex(build_id)).or_default();
        let name = |function: &&str| Name { function: Arc::from(*function), ..Name::default() };
        known.places.insert(*offset, functions.iter().map(name).collect());
    }
    symbols
}

fn functions(site: &ResolvedSite) -> Vec<&str> {
    site.site.frames.iter().map(|frame| frame.function.as_str()).collect()
}

#[test]
fn a_library_that_took_anothers_place_is_told_by_the_epoch() {
    let modules = vec![
        module("/srv/none/second.so", 0x10000, 3, b"2"),
        module("/srv/none/first.so", 0x10000, 0, b"1"),
    ];
    let names: &[(&[u8], u64, &[&str])] = &[(b"1", 0xf, &["first"]), (b"2", 0xf, &["second"])];
    let mut symbols = symbols(modules, names);
    for (epoch, expected) in [(0, "first"), (2, "first"), (3, "second"), (9, "second")] {
        let site = symbols.site(REGION, &stack(&[0x10010], epoch));
        assert_eq!(functions(&site), [expected], "epoch {epoch}");
    }
}

#[test]
fn a_return_address_at_the_end_of_a_module_belongs_to_its_call() {
    // A call that never returns can be a function's, and a module's, last instruction.
    let modules = vec![module("/srv/none/a.so", 0x10000, 0, b"1"), module("", 0x11000, 0, b"2")];
    let mut symbols = symbols(modules, &[(b"1", 0xfff, &["last"]), (b"2", 0, &["start"])]);
    assert_eq!(functions(&symbols.site(REGION, &stack(&[0x11000], 0))), ["last"]);
    assert_eq!(symbols.function(REGION, 0x11000, 0).function, "start");
}

#[test]
fn inlined_frames_come_before_what_they_are_inlined_into() {
    let modules = vec![module("", 0x10000, 0, b"1")];
    let mut symbols = symbols(modules, &[(b"1", 0xf, &["inner", "middle", "outer"])]);
    let site = symbols.site(REGION, &stack(&[0x10010], 0));
    assert_eq!(functions(&site), ["inner", "middle", "outer"]);
    let inlined: Vec<bool> = site.site.frames.iter().map(|frame| frame.inlined).collect();
    assert_eq!(inlined, [true, true, false]);
    assert_eq!(symbols.function(REGION, 0x1000f, 0).function, "outer");
}

#[test]
fn without_names_a_site_is_module_and_offset_and_its_id_is_not_stable() {
    let mut symbols = symbols(vec![module("", 0x10000, 0, b"1")], &[]);
    let site = symbols.site(REGION, &stack(&[0x10010], 0));
    let frame = &site.site.frames[0];
    assert_eq!((frame.module.as_str(), frame.offset), ("/srv/none/app", 0xf));
    assert!(!site.id_stable);
    assert_eq!(site.acquiring, "app@31+0xf");
    let said: Vec<String> = symbols.diagnostics().into_iter().map(|d| d.text).collect();
    assert_eq!(said, ["no names of /srv/none/app: it is not there any more"]);
}

#[test]
fn code_of_no_module_is_in_no_id() {
    let mut symbols = symbols(
        vec![module("", 0x10000, 0, b"1")],
        &[(b"1", 0xf, &["serve"]), (b"1", 0x1f, &["main"])],
    );
    let plain = symbols.site(REGION, &stack(&[0x10010, 0x10020], 0));
    let with_jit = symbols.site(REGION, &stack(&[0x7000_0000, 0x10010, 0x7000_1000, 0x10020], 0));
    assert_eq!(with_jit.site.frames.len(), 4);
    assert_eq!(with_jit.site.user, 1);
    assert!(with_jit.id_stable);
    assert_eq!(plain.finding_id("leak", "file"), with_jit.finding_id("leak", "file"));
    assert_eq!(plain.site_id, with_jit.site_id);
}

#[test]
fn a_stack_that_begins_outside_of_an_interpreter_is_of_a_thread_for_others() {
    let exe = "/usr/bin/node";
    let frame = |module: &str, function: &str| Frame {
        module: module.into(),
        function: function.into(),
        ..Frame::default()
    };
    let is_for_others = |frames: &[Frame], is_blind| {
        let site = Site { frames: frames.to_vec(), ..Site::default() };
        ResolvedSite { site, is_blind, ..ResolvedSite::default() }.is_for_others(exe)
    };
    let pool = [frame(exe, "uv__fs_open"), frame("/lib/libc.so.6", "clone3")];
    assert!(is_for_others(&pool, true));
    assert!(!is_for_others(&pool, false), "a function of the program is there");
    assert!(!is_for_others(&[pool[0].clone(), frame(exe, "_start")], true));
    assert!(
        !is_for_others(&[pool[0].clone(), frame("", "")], true),
        "where it begins is not known"
    );
    assert!(!is_for_others(&[], true));
}

#[test]
fn an_unknown_region_and_an_empty_stack_give_a_site() {
    let mut symbols = symbols(vec![], &[]);
    assert_eq!(symbols.site(99, &stack(&[0x10], 0)).site.frames.len(), 1);
    let empty = symbols.site(REGION, &stack(&[], 0));
    assert!(empty.site.frames.is_empty() && !empty.id_stable && empty.user_frame().is_none());
    assert_eq!(symbols.function(99, 1, 0), Frame::default());
}

#[test]
fn addresses_at_both_ends_of_the_address_space_do_no_harm() {
    let mut wild = module("/srv/none/wild.so", 0, 0, b"1");
    wild.end = u64::MAX;
    wild.bias = u64::MAX;
    let mut symbols = symbols(vec![wild], &[]);
    symbols.site(REGION, &stack(&[0, 1, u64::MAX], u32::MAX));
    symbols.function(REGION, u64::MAX, 0);
}

#[test]
fn names_in_use_are_marked_so_that_they_are_kept() {
    let mut symbols = symbols(vec![module("", 0x10000, 0, b"1")], &[(b"1", 0xf, &["main"])]);
    symbols.names.modules.insert("other".into(), ModuleNames::default());
    symbols.site(REGION, &stack(&[0x10010], 0));
    assert!(symbols.names.modules["31"].used && !symbols.names.modules["other"].used);
}

#[test]
fn what_libc_keeps_is_told_from_what_it_gives() {
    let libc = "/usr/lib/x86_64-linux-gnu/libc.so.6";
    let frame = |module: &str, function: &str| Frame {
        module: module.into(),
        function: function.into(),
        ..Frame::default()
    };
    let kept = |functions: &[&str]| {
        let frames: Vec<Frame> = functions.iter().map(|name| frame(libc, name)).collect();
        user::is_kept_by_libc(&frames)
    };
    for gives in [
        &["__strdup"][..],
        &["strdup"],
        &["vasprintf", "__asprintf_chk"],
        &["__GI___getdelim", "getline"],
        &["realpath@@GLIBC_2.3"],
        &["_IO_new_fopen"],
        &["fopen64"],
        &["", "regcomp"],
        &["getaddrinfo"],
    ] {
        assert!(!kept(gives), "{gives:?}");
    }
    for keeps in [
        &["setlocale"][..],
        &["", "localtime_r"],
        &["_IO_file_doallocate", "_IO_doallocbuf", "puts"],
        &["malloc_hook_of_dl", "dlopen"],
        &["a", "b", "__nss_lookup", "getaddrinfo"],
        &["__cxa_atexit"],
    ] {
        assert!(kept(keeps), "{keeps:?}");
    }
    assert!(!kept(&[]), "the program calls malloc itself");
    assert!(!kept(&["setlocale", ""]), "a function without a name may be any");
    // The shim and other allocators are no libc.
    assert!(!user::is_kept_by_libc(&[frame("/x/libjemalloc.so.2", "arena_malloc")]));
}
