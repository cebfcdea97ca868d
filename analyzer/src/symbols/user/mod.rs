//! Whose code a frame is: the program's own, an installed package's, a runtime's, a standard library's.
//!
//! Decides which innermost frames are dropped (libc, the shim, the allocator) and which frame is
//! the first of the program's own code. It knows names and paths only, and reads nothing.

mod names;
mod runtime;

use std::path::Path;

pub use self::names::rust_head;
use self::names::{is_allocator_function, is_standard_function};
use self::runtime::of_managed;
pub use self::runtime::{is_blind, is_interpreters, is_managed_memory};
use super::{bridge, generated, managed};
use crate::report::Frame;

/// Whose code it is; later ones are nearer to whoever reads the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// No module holds the address.
    Unknown,
    /// libc, libstdc++, Rust's std, the shim.
    Standard,
    /// An interpreter and its own library: CPython, node, a JVM.
    Runtime,
    /// Installed by somebody else: `/usr/lib`, `site-packages`, `node_modules`, cargo's registry.
    Package,
    /// The program's own.
    Own,
}

/// Executables that run other programs: what is theirs is not the program's own code.
const INTERPRETERS: &[&str] = &[
    "beam", "bun", "deno", "dotnet", "gjs", "guile", "java", "julia", "lua", "luajit", "moar",
    "mono", "node", "nodejs", "octave", "perl", "php", "php-fpm", "pypy", "python", "qjs", "R",
    "racket", "rscript", "ruby", "tclsh", "wish",
];

/// Shared objects of libc, the loader and the compilers, by the start of their name.
const STANDARD_LIBRARIES: &[&str] = &[
    "ld-linux",
    "libanl.",
    "libasan.",
    "libc++",
    "libc-",
    "libc.",
    "libdl-",
    "libdl.",
    "libgcc_s.",
    "libgomp.",
    "libm-",
    "libm.",
    "libmvec",
    "libnsl",
    "libpthread",
    "libresolv",
    "libresshim.",
    "librt-",
    "librt.",
    "libstdc++",
    "libtsan.",
    "libubsan.",
    "libutil",
    "linux-vdso",
    "ld-2",
];

/// Of them, those whose innermost frames are dropped, and allocators.
const DROPPED_LIBRARIES: &[&str] = &[
    "ld-linux",
    "ld-2",
    "libanl.",
    "libc-",
    "libc.",
    "libdl-",
    "libdl.",
    "libpthread",
    "libresolv",
    "libresshim.",
    "librt-",
    "librt.",
    "libjemalloc",
    "libtcmalloc",
    "libmimalloc",
    "linux-vdso",
];

/// libc and its loader.
const LIBC: &[&str] = &[
    "ld-linux",
    "ld-2",
    "libanl.",
    "libc-",
    "libc.",
    "libdl-",
    "libdl.",
    "libpthread",
    "libresolv",
    "librt-",
    "librt.",
];

/// Functions of libc that give the caller what he has to give back, by free or by a function of its own: names
/// without underscores at the front, `64` and `_chk`. What libc allocates in any other (locales, time zones, name
/// services, converters, buffers of streams, what the loader keeps) is libc's, and stays.
const GIVERS: &[&str] = &[
    "aligned_alloc",
    "argz_add",
    "argz_append",
    "argz_create",
    "argz_create_sep",
    "asprintf",
    "backtrace_symbols",
    "canonicalize_file_name",
    "catopen",
    "duplocale",
    "envz_add",
    "fdopen",
    "fdopendir",
    "fmemopen",
    "fopen",
    "fopencookie",
    "fts_open",
    "get_current_dir_name",
    "getcwd",
    "getdelim",
    "getifaddrs",
    "getline",
    "glob",
    "hcreate",
    "hcreate_r",
    "iconv_open",
    "if_nameindex",
    "mtrace",
    "newlocale",
    "open_memstream",
    "open_wmemstream",
    "opendir",
    "popen",
    "posix_memalign",
    "posix_spawn_file_actions_addclose",
    "posix_spawn_file_actions_adddup2",
    "posix_spawn_file_actions_addopen",
    "pthread_attr_setaffinity_np",
    "pthread_getattr_np",
    "realloc",
    "reallocarray",
    "realpath",
    "regcomp",
    "scandir",
    "scandirat",
    "sem_open",
    "setmntent",
    "strdup",
    "strndup",
    "tdelete",
    "tempnam",
    "timer_create",
    "tmpfile",
    "tsearch",
    "vasprintf",
    "wcsdup",
    "wordexp",
];
/// These give a list, and keep much for themselves on the way to it: what they allocate themselves is the list.
const GIVERS_OF_A_LIST: &[&str] = &["getaddrinfo"];
/// Parts of these that make it, in builds where they are functions.
const MAKERS_OF_A_LIST: &[&str] = &["gaih_inet", "generate_addrinfo", "process_canonname"];

/// Runtimes of sanitizers and of C++ (its pool for exceptions when memory is short).
const LANGUAGE_RUNTIMES: &[&str] =
    &["libasan.", "libhwasan.", "liblsan.", "libtsan.", "libubsan.", "libstdc++.", "libc++"];

/// Whether a block that was acquired through these innermost frames is one that libc keeps: asked of the outermost
/// function of libc, which the program called.
pub fn is_kept_by_libc(innermost: &[Frame]) -> bool {
    let is_libcs = |frame: &&Frame| {
        let name = frame.module.rsplit('/').next().unwrap_or_default();
        LIBC.iter().any(|library| name.starts_with(library))
    };
    let of_libc: Vec<&Frame> = innermost.iter().filter(is_libcs).collect();
    // A function without a name may be any.
    let called = of_libc.last().map(|frame| bare(&frame.function)).unwrap_or_default();
    let is_list =
        |frame: &&&Frame| frame.inlined || MAKERS_OF_A_LIST.contains(&bare(&frame.function));
    let inner = of_libc.len().saturating_sub(1);
    let gives = GIVERS.contains(&called)
        || GIVERS_OF_A_LIST.contains(&called)
            && of_libc.iter().take(inner).filter(|frame| !is_list(frame)).count() == 0;
    !called.is_empty() && !gives
}

/// A function of libc by the name that programs know it by.
fn bare(function: &str) -> &str {
    let name = function.split('@').next().unwrap_or_default();
    let name = name.strip_prefix("__GI_").unwrap_or(name).trim_start_matches('_');
    let name = name.strip_prefix("IO_").unwrap_or(name);
    let name = name.strip_prefix("new_").unwrap_or(name);
    let name = name.strip_suffix("_chk").unwrap_or(name);
    name.strip_suffix("64").unwrap_or(name)
}

/// Whether a frame is of a language's runtime.
pub fn is_language_runtime(frame: &Frame) -> bool {
    let name = frame.module.rsplit('/').next().unwrap_or_default();
    LANGUAGE_RUNTIMES.iter().any(|library| name.starts_with(library))
}

/// Runtimes as shared objects, by the start of their name.
const RUNTIME_LIBRARIES: &[&str] = &[
    "libjava.",
    "libjimage.",
    "libjli.",
    "libjvm.",
    "liblua",
    "libmonosgen",
    "libnet.",
    "libnio.",
    "libnode.",
    "libperl.",
    "libphp",
    "libpypy",
    "libpython",
    "libruby",
    "libv8",
    "libverify.",
    "libzip.",
    "libcoreclr",
];

/// Parts of a path that say whose it is, most telling first.
const PATHS: &[(&str, Origin)] = &[
    ("/site-packages/", Origin::Package),
    ("/dist-packages/", Origin::Package),
    ("/node_modules/", Origin::Package),
    ("/.cargo/registry/", Origin::Package),
    ("/.cargo/git/", Origin::Package),
    ("/cargo/registry/src/", Origin::Package),
    ("/.rustup/toolchains/", Origin::Standard),
    ("/rustlib/src/rust/", Origin::Standard),
    ("/lib-dynload/", Origin::Runtime),
    ("/lib/python3", Origin::Runtime),
    ("/lib/jvm/", Origin::Runtime),
];

/// Where what the system's packages bring is installed.
const INSTALLED: &[&str] =
    &["/usr/lib", "/lib", "/usr/local/lib", "/usr/libexec", "/snap/", "/nix/store/", "/gnu/store/"];

/// Whose code the frame is, in a process of this executable.
pub fn origin(frame: &Frame, exe: &str) -> Origin {
    if let Some(runtime) = managed::runtime_of(frame) {
        return of_managed(frame, runtime);
    }
    if frame.module.is_empty() {
        return of_generated(frame);
    }
    let module = module_origin(&frame.module, exe);
    if module < Origin::Own {
        return module;
    }
    // The program's own binary holds templates, generics and static parts of others.
    if is_standard_function(&frame.function) {
        return Origin::Standard;
    }
    if bridge::is_function(&frame.function) {
        return Origin::Package;
    }
    of_source(&frame.file).unwrap_or(Origin::Own)
}

/// Of code that a runtime made, which has its name from a map; it is the program's, if nobody else's.
fn of_generated(frame: &Frame) -> Origin {
    if frame.function.is_empty() {
        return Origin::Unknown;
    }
    // Node's own library: `node:fs`, before Node 16 `internal/fs/utils.js`.
    let is_nodes = frame.file.starts_with("node:") || frame.file.starts_with("internal/");
    if is_nodes || generated::is_glue(frame) {
        return Origin::Runtime;
    }
    of_path(&frame.file).or_else(|| of_path(&frame.function)).unwrap_or(Origin::Own)
}

fn module_origin(module: &str, exe: &str) -> Origin {
    let name = file_name(module);
    if starts_with_any(name, STANDARD_LIBRARIES) {
        return Origin::Standard;
    }
    if starts_with_any(name, RUNTIME_LIBRARIES) {
        return Origin::Runtime;
    }
    if module == exe {
        return match is_interpreter(name) {
            true => Origin::Runtime,
            false => Origin::Own,
        };
    }
    if let Some(origin) = of_path(module) {
        return origin;
    }
    if shares_prefix(module, exe) {
        return Origin::Own;
    }
    match INSTALLED.iter().any(|prefix| module.starts_with(prefix)) {
        true => Origin::Package,
        false => Origin::Own,
    }
}

/// `python3.11` is `python`, `ruby2.7` is `ruby`, `beam.smp` is `beam`.
pub(super) fn is_interpreter(name: &str) -> bool {
    let plain = name.split('.').next().unwrap_or(name);
    let plain = plain.trim_end_matches(|c: char| c.is_ascii_digit());
    INTERPRETERS.contains(&plain.trim_end_matches('-'))
}

/// Whether a library lies in the tree that the executable was installed in (`/opt/x/bin/x`,
/// `/opt/x/lib/y.so`), where that tree is the program's alone.
fn shares_prefix(module: &str, exe: &str) -> bool {
    let Some(tree) = Path::new(exe).parent().and_then(Path::parent) else {
        return false;
    };
    let shared = ["/", "/usr", "/usr/local", "/usr/lib"].map(Path::new);
    !shared.contains(&tree) && Path::new(module).starts_with(tree)
}

/// By the path of a source file that the debug information names.
fn of_source(file: &str) -> Option<Origin> {
    if file.starts_with("/rustc/") || file.starts_with("library/std/") {
        return Some(Origin::Standard);
    }
    if let Some(rest) = file.strip_prefix("/usr/include/") {
        return Some(match rest.starts_with("c++/") || !rest.contains('/') {
            true => Origin::Standard,
            false => Origin::Package,
        });
    }
    // Compiler's own headers: `/usr/lib/gcc/x86_64-linux-gnu/12/include/…`.
    if file.starts_with("/usr/lib/gcc/") || file.contains("/include/c++/") {
        return Some(Origin::Standard);
    }
    of_path(file)
}

fn of_path(path: &str) -> Option<Origin> {
    if bridge::is_source(path) {
        return Some(Origin::Package);
    }
    let part = PATHS.iter().find(|(part, _)| path.contains(part));
    part.map(|(_, origin)| *origin)
}

/// Whether an innermost frame is dropped: libc, the shim and its bridges, the allocator.
fn is_dropped(frame: &Frame) -> bool {
    starts_with_any(file_name(&frame.module), DROPPED_LIBRARIES)
        || is_allocator_function(&frame.function)
        || bridge::is_function(&frame.function)
        || bridge::is_source(&frame.file)
}

/// How many innermost frames are dropped; never all of them.
pub fn dropped(frames: &[Frame]) -> usize {
    let direct = frames.iter().take_while(|frame| is_dropped(frame)).count();
    let count = direct.max(bridge::end_of_package(frames, is_dropped));
    match count == frames.len() {
        true => 0,
        false => count,
    }
}

/// Index of the first frame of the program's own code; where there is none, of what comes nearest.
pub fn first_own(frames: &[Frame], origins: &[Origin]) -> usize {
    let best = origins.iter().max().copied().unwrap_or(Origin::Unknown);
    let mut of_best = (0..origins.len()).filter(|at| origins.get(*at) == Some(&best));
    let first = of_best.clone().next().unwrap_or(0);
    if best != Origin::Runtime {
        return first;
    }
    // A runtime's library in the language of the program says more than what it is made of.
    let tells = |at: &usize| {
        let frame = frames.get(*at);
        frame.is_some_and(|f| managed::runtime_of(f).is_some() || generated::is_told(f))
    };
    of_best.find(tells).unwrap_or(first)
}

/// What the executable interprets, if it is one that runs programs of a managed language.
pub fn interpreter_name(exe: &str) -> Option<&str> {
    let name = file_name(exe);
    is_interpreter(name).then_some(name)
}

pub(super) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

pub(super) fn starts_with_any(text: &str, starts: &[&str]) -> bool {
    starts.iter().any(|start| text.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(module: &str, function: &str, file: &str) -> Frame {
        Frame {
            function: function.into(),
            file: file.into(),
            module: module.into(),
            ..Frame::default()
        }
    }

    fn user(exe: &str, frames: &[Frame]) -> usize {
        let origins: Vec<Origin> = frames.iter().map(|f| origin(f, exe)).collect();
        first_own(frames, &origins)
    }

    const LIBC: &str = "/usr/lib/x86_64-linux-gnu/libc.so.6";

    #[test]
    fn a_c_programs_executable_is_its_own_code_wherever_it_lies() {
        for exe in ["/usr/bin/git", "/home/a/b", "/usr/sbin/nginx"] {
            let frames =
                [frame(LIBC, "fopen", ""), frame(exe, "read_config", ""), frame(exe, "main", "")];
            assert_eq!(user(exe, &frames), 1);
        }
    }

    #[test]
    fn an_interpreter_is_own_code_only_where_nothing_else_is() {
        let exe = "/usr/bin/python3.11";
        let socket = "/usr/lib/python3.11/lib-dynload/_socket.cpython-311-x86_64-linux-gnu.so";
        let own = "/srv/app/native.so";
        let package = "/srv/venv/lib/python3.11/site-packages/psycopg2/_psycopg.so";
        assert_eq!(user(exe, &[frame(LIBC, "", ""), frame(exe, "", "")]), 1);
        assert_eq!(user(exe, &[frame(exe, "", ""), frame(package, "", ""), frame(own, "", "")]), 2);
        assert_eq!(
            user(exe, &[frame(socket, "", ""), frame(package, "", ""), frame(exe, "", "")]),
            1
        );
        assert_eq!(user(exe, &[frame(socket, "", ""), frame(exe, "", "")]), 0);
    }

    #[test]
    fn of_generated_code_what_is_neither_nodes_nor_a_packages_is_own() {
        let of = |function: &str, file: &str| origin(&frame("", function, file), "/usr/bin/node");
        assert_eq!(of("openSync", "node:fs"), Origin::Runtime);
        assert_eq!(of("emit", "node:internal/x"), Origin::Runtime);
        assert_eq!(of("Builtin:CEntry", ""), Origin::Runtime);
        assert_eq!(of("next", "/srv/app/node_modules/express/lib/router.js"), Origin::Package);
        assert_eq!(of("leaky", "/srv/app/app.js"), Origin::Own);
        assert_eq!(of("<module>", "[eval]"), Origin::Own);
        assert_eq!(of("", "/srv/app/app.js"), Origin::Unknown);
    }

    #[test]
    fn where_no_own_code_is_a_runtimes_library_comes_before_its_inside() {
        let exe = "/usr/bin/node";
        let (inside, library) =
            (frame(exe, "uv__socket", "core.c"), frame("", "connect", "node:net"));
        let glue = frame("", "Builtin:CEntry", "");
        assert_eq!(user(exe, &[inside.clone(), glue.clone(), library.clone()]), 2);
        assert_eq!(user(exe, &[inside.clone(), glue, inside.clone()]), 0);
        let own = frame("", "gateway", "/srv/app.js");
        assert_eq!(user(exe, &[inside.clone(), library, own]), 2);
        let thread = frame("CPython", "Thread.run", "/usr/lib/python3.11/threading.py");
        assert_eq!(
            user("/usr/bin/python3", &[frame("/usr/bin/python3", "os_open", ""), thread]),
            1
        );
    }

    #[test]
    fn interpreters_are_known_with_their_versions() {
        let versions =
            ["python3", "python3.11", "pypy3.9", "ruby2.7", "perl5.36.0", "php8.2", "lua5.3"];
        for name in ["node", "java", "luajit", "beam.smp", "php-fpm8.2"].iter().chain(&versions) {
            assert!(is_interpreter(name), "{name}");
        }
        for name in ["nginx", "nodemon-like", "mypython", "git", "redis-server"] {
            assert!(!is_interpreter(name), "{name}");
        }
    }

    #[test]
    fn rust_std_and_crates_in_the_own_binary_are_not_own() {
        let exe = "/srv/app/server";
        let frames = [
            frame(
                exe,
                "std::sys::pal::unix::fs::File::open_c",
                "/rustc/abc/library/std/src/sys/fs.rs",
            ),
            frame(exe, "<std::fs::File as std::io::Read>::read", ""),
            frame(exe, "<T as core::convert::Into<U>>::into", ""),
            frame(exe, "tokio::net::open", "/home/ada/.cargo/registry/src/x/tokio-1/src/net.rs"),
            frame(exe, "<server::Pool as core::ops::Drop>::drop", "src/pool.rs"),
            frame(exe, "server::main", "src/main.rs"),
        ];
        assert_eq!(user(exe, &frames), 4);
    }

    #[test]
    fn cpp_std_in_the_own_binary_is_not_own() {
        let exe = "/srv/app/server";
        let frames = [
            frame(
                exe,
                "std::vector<int>::push_back(int const&)",
                "/usr/include/c++/12/bits/vector",
            ),
            frame(exe, "void std::__invoke<void (*)()>(void (*)())", ""),
            frame(exe, "Pool::grow(std::string)", "/src/pool.cpp"),
        ];
        assert_eq!(user(exe, &frames), 2);
    }

    #[test]
    fn libraries_of_the_programs_tree_are_own_those_of_the_system_are_not() {
        let pg = "/usr/lib/postgresql/15/bin/postgres";
        let of = |module: &str, exe: &str| origin(&frame(module, "", ""), exe);
        assert_eq!(of("/usr/lib/postgresql/15/lib/pgcrypto.so", pg), Origin::Own);
        assert_eq!(of("/usr/lib/x86_64-linux-gnu/libssl.so.3", pg), Origin::Package);
        assert_eq!(of("/usr/lib/x86_64-linux-gnu/libcurl.so.4", "/usr/bin/curl"), Origin::Package);
        assert_eq!(of("/srv/build/libown.so", "/srv/build/bin/x"), Origin::Own);
        assert_eq!(of("", "/bin/x"), Origin::Unknown);
    }

    #[test]
    fn libc_shim_and_allocator_are_dropped_only_innermost() {
        let exe = "/srv/x";
        let frames = [
            frame("/opt/libresshim.so", "malloc", ""),
            frame("/usr/lib/x86_64-linux-gnu/libstdc++.so.6", "operator new(unsigned long)", ""),
            frame(exe, "std::allocator_traits<std::allocator<int> >::allocate(int)", ""),
            frame(exe, "make()", ""),
            frame(LIBC, "qsort", ""),
            frame(exe, "main", ""),
        ];
        assert_eq!(dropped(&frames), 3);
        let rust = [
            frame(exe, "alloc::alloc::alloc", ""),
            frame(exe, "<alloc::alloc::Global as core::alloc::Allocator>::allocate", ""),
            frame(exe, "<T as alloc::slice::<impl [T]>::to_vec_in::ConvertVec>::to_vec", ""),
            frame(exe, "server::handle", ""),
        ];
        assert_eq!(dropped(&rust), 3);
        assert_eq!(dropped(&frames[..2]), 0, "a stack is never empty");
    }
}
