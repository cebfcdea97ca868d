//! Managed runtimes: whose their frames are, and what is said of sites that lead through them.

use resshim_format::table::Runtime;

use super::{Origin, file_name, of_path, starts_with_any};
use crate::report::Frame;
use crate::symbols::managed;

/// Packages of Java that are somebody else's, by the start of a class's name.
const JAVA_PACKAGES: &[(&str, Origin)] = &[
    ("java.", Origin::Runtime),
    ("javax.", Origin::Runtime),
    ("jdk.", Origin::Runtime),
    ("sun.", Origin::Runtime),
    ("com.sun.", Origin::Runtime),
    ("kotlin.", Origin::Runtime),
    ("kotlinx.", Origin::Package),
    ("scala.", Origin::Runtime),
    ("groovy.", Origin::Runtime),
    ("clojure.", Origin::Runtime),
    ("org.apache.", Origin::Package),
    ("org.springframework.", Origin::Package),
    ("org.eclipse.", Origin::Package),
    ("org.hibernate.", Origin::Package),
    ("org.slf4j.", Origin::Package),
    ("org.junit.", Origin::Package),
    ("org.postgresql.", Origin::Package),
    ("com.mysql.", Origin::Package),
    ("com.google.common.", Origin::Package),
    ("com.google.protobuf.", Origin::Package),
    ("com.fasterxml.", Origin::Package),
    ("com.zaxxer.", Origin::Package),
    ("ch.qos.logback.", Origin::Package),
    ("io.grpc.", Origin::Package),
    ("io.netty.", Origin::Package),
    ("io.undertow.", Origin::Package),
    ("io.vertx.", Origin::Package),
    ("okhttp3.", Origin::Package),
    ("okio.", Origin::Package),
    ("reactor.", Origin::Package),
];

/// Of a managed frame: CPython names files, Java names classes.
pub(super) fn of_managed(frame: &Frame, runtime: Runtime) -> Origin {
    match runtime {
        // `<frozen importlib._bootstrap>`, `/usr/lib/python311.zip/…`; `<string>` is the program's.
        Runtime::CPython if frame.file.starts_with("<frozen ") => Origin::Runtime,
        Runtime::CPython if frame.file.contains("/lib/python") => {
            of_path(&frame.file).unwrap_or(Origin::Runtime)
        }
        Runtime::CPython => of_path(&frame.file).unwrap_or(Origin::Own),
        Runtime::Java => JAVA_PACKAGES
            .iter()
            .find(|(start, _)| frame.function.starts_with(start))
            .map_or(Origin::Own, |(_, origin)| *origin),
    }
}

/// Whether the innermost code that is somebody's is an interpreter's, and no frame tells what it ran.
pub fn is_blind(frames: &[Frame], origins: &[Origin]) -> bool {
    // A frame without a module has its name from a perf map.
    let tells = |frame: &Frame| {
        managed::runtime_of(frame).is_some()
            || frame.module.is_empty() && !frame.function.is_empty()
    };
    let innermost = origins.iter().find(|origin| **origin >= Origin::Runtime);
    innermost == Some(&Origin::Runtime) && !frames.iter().any(tells)
}

/// Functions by which a runtime gets memory for the objects of its programs: which line of the program was
/// running then says little.
const MEMORY_MANAGERS: &[&str] = &[
    "PyObject_Calloc",
    "PyObject_Malloc",
    "PyObject_Realloc",
    "_PyObject_Arena",
    "_PyObject_Calloc",
    "_PyObject_Malloc",
    "_PyObject_Realloc",
    "_PyMem_Arena",
    "mi_",
    "_mi_",
];

/// Whether memory was acquired for a runtime's own objects: a mapping for many of them, or (a virtual machine
/// keeps none of a program's objects in the C heap) also a block.
pub fn is_managed_memory(frames: &[Frame], origins: &[Origin], is_mapping: bool) -> bool {
    let runtime = frames.iter().zip(origins).take_while(|(frame, origin)| {
        **origin <= Origin::Runtime && managed::runtime_of(frame).is_none()
    });
    runtime.map(|(frame, _)| frame).any(|frame| {
        file_name(&frame.module).starts_with("libjvm.")
            || frame.function.starts_with("v8::")
            || is_mapping && starts_with_any(&frame.function, MEMORY_MANAGERS)
    })
}

/// Whether CPython itself acquired memory while it ran a line of the program: between the two is nothing but its
/// own code and the modules of its own library, no other extension module, no other library. That is a whole arena, or one object that its collector has.
/// One stripped of its symbols says no more. What a program maps by `mmap` is its own; where that module is built
/// into the interpreter its function must have its name.
pub fn is_interpreters(frames: &[Frame], origins: &[Origin]) -> bool {
    let line = frames.iter().position(|frame| managed::runtime_of(frame).is_some());
    let Some((native, line)) = line.and_then(|at| Some((frames.get(..at)?, frames.get(at)?)))
    else {
        return false;
    };
    let is_its = |(frame, origin): (&Frame, &Origin)| {
        let module = file_name(&frame.module);
        let is_interpreters = module.starts_with("python") || module.starts_with("libpython");
        *origin == Origin::Runtime
            && (is_interpreters || frame.module.contains("/lib-dynload/"))
            && !frame.function.contains("mmap")
            && !module.contains("mmap")
    };
    managed::runtime_of(line) == Some(Runtime::CPython)
        && !native.is_empty()
        && native.iter().zip(origins).all(is_its)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbols::user::origin;

    #[test]
    fn what_the_interpreter_acquires_is_told_from_what_its_extensions_do() {
        let frame = |module: &str, function: &str| Frame {
            function: function.into(),
            module: module.into(),
            file: "/srv/app.py".into(),
            ..Frame::default()
        };
        let its = |frames: &[Frame]| {
            let origins: Vec<Origin> =
                frames.iter().map(|f| origin(f, "/usr/bin/python3.11")).collect();
            is_interpreters(frames, &origins)
        };
        let line = || frame("CPython", "serve");
        let stripped = || frame("/usr/bin/python3.11", "");
        let library = || frame("/usr/lib/libpython3.13.so.1.0", "_PyEval_Vector");
        assert!(its(&[stripped(), stripped(), line(), stripped()]));
        assert!(its(&[library(), line()]));
        assert!(!its(&[frame("/usr/bin/python3.11", "new_mmap_object"), line()]));
        let dynamic = "/usr/lib/python3.11/lib-dynload/mmap.cpython-311.so";
        assert!(!its(&[frame(dynamic, ""), stripped(), line()]), "the program's own mapping");
        let importing = "/usr/lib/python3.11/lib-dynload/binascii.cpython-311.so";
        assert!(its(&[stripped(), frame(importing, "binascii_exec"), stripped(), line()]));
        assert!(!its(&[frame("/srv/own.so", "grow"), stripped(), line()]));
        assert!(!its(&[line()]), "nothing is known of who it was");
        assert!(!its(&[stripped()]), "no line of the program");
        assert!(!its(&[frame("/usr/bin/node", ""), frame("Java", "serve")]));
    }

    #[test]
    fn managed_frames_are_told_by_file_and_class() {
        let of = |module: &str, function: &str, file: &str| {
            let frame = Frame {
                function: function.into(),
                file: file.into(),
                module: module.into(),
                ..Frame::default()
            };
            origin(&frame, "/usr/bin/python3.11")
        };
        assert_eq!(of("CPython", "fetch", "/srv/app.py"), Origin::Own);
        assert_eq!(of("CPython", "<module>", "<string>"), Origin::Own);
        assert_eq!(of("CPython", "_find", "<frozen importlib._bootstrap>"), Origin::Runtime);
        assert_eq!(of("CPython", "open", "/usr/lib/python3.11/tempfile.py"), Origin::Runtime);
        assert_eq!(
            of("CPython", "get", "/venv/lib/python3.12/site-packages/requests/api.py"),
            Origin::Package
        );
        assert_eq!(of("Java", "com.example.Main.leak", "Main.java"), Origin::Own);
        assert_eq!(
            of("Java", "java.io.FileInputStream.open", "FileInputStream.java"),
            Origin::Runtime
        );
        assert_eq!(
            of("Java", "io.netty.channel.Bootstrap.bind", "Bootstrap.java"),
            Origin::Package
        );
    }

    #[test]
    fn memory_of_a_runtimes_own_objects_is_told_from_what_a_program_maps() {
        let frame = |module: &str, function: &str| Frame {
            function: function.into(),
            module: module.into(),
            file: "/srv/app.py".into(),
            ..Frame::default()
        };
        let managed = |frames: &[Frame]| {
            let origins: Vec<Origin> =
                frames.iter().map(|f| origin(f, "/usr/bin/python3")).collect();
            is_managed_memory(frames, &origins, true)
        };
        let line = || frame("CPython", "serve");
        assert!(managed(&[frame("/usr/bin/python3", "_PyObject_Malloc"), line()]));
        let block = [frame("/usr/bin/python3", "_PyObject_Malloc"), line()];
        assert!(!is_managed_memory(&block, &[Origin::Runtime, Origin::Own], false), "one object");
        assert!(managed(&[frame("/usr/lib/jvm/x/libjvm.so", "os::reserve_memory"), line()]));
        assert!(!managed(&[frame("/usr/bin/python3", "new_mmap_object"), line()]));
        assert!(!managed(&[line(), frame("/usr/bin/python3", "PyObject_Malloc")]));
        assert!(!managed(&[
            frame("/srv/app", "main"),
            frame("/usr/bin/python3", "PyObject_Malloc")
        ]));
    }

    #[test]
    fn a_site_through_an_interpreter_without_frames_is_blind() {
        let frame = |module: &str, function: &str| Frame {
            function: function.into(),
            module: module.into(),
            ..Frame::default()
        };
        let blind = |frames: &[Frame]| {
            let origins: Vec<Origin> = frames.iter().map(|f| origin(f, "/usr/bin/perl")).collect();
            is_blind(frames, &origins)
        };
        let (libc, perl) = (
            frame("/lib/x86_64-linux-gnu/libc.so.6", "open64"),
            frame("/usr/bin/perl", "PerlIO_openn"),
        );
        assert!(blind(&[libc.clone(), perl.clone()]));
        assert!(
            !blind(&[libc.clone(), frame("/srv/ext.so", "own"), perl.clone()]),
            "its own code holds it"
        );
        assert!(!blind(&[libc.clone(), perl.clone(), frame("", "serve")]), "from a perf map");
        assert!(!blind(&[libc.clone(), perl, frame("CPython", "serve")]));
        assert!(!blind(&[libc]));
    }
}
