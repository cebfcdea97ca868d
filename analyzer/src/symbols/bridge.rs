//! The frames of what hands annotations to the shim: `resshim.h`, `resshim.hpp`, the crate `resshim-api`,
//! the Python package `resshim`. Nobody looks for a defect there.

use super::user::{file_name, is_interpreter, rust_head, starts_with_any};
use crate::report::Frame;

/// Whether a function is of the bridges for C, C++ and Rust.
pub fn is_function(function: &str) -> bool {
    const NAMES: &[&str] = &[
        "resshim_acquire",
        "resshim_depends",
        "resshim_each",
        "resshim_expect",
        "resshim_find_",
        "resshim_phase",
        "resshim_release",
        "resshim_state",
    ];
    NAMES.contains(&function)
        || function.starts_with("resshim::tracked::")
        || rust_head(function) == Some("resshim_api")
}

/// Whether a source file is one of the headers, or of the Python package `resshim`: by its whole name, since a
/// program's own directory may well be called so.
pub fn is_source(file: &str) -> bool {
    matches!(file_name(file), "resshim.h" | "resshim.hpp") || is_package_source(file)
}

fn is_package_source(file: &str) -> bool {
    const FILES: &[&str] = &["__init__.py", "_guard.py", "_names.py", "_shim.py"];
    let mut parts = file.rsplit('/');
    parts.next().is_some_and(|name| FILES.contains(&name)) && parts.next() == Some("resshim")
}

/// Whether it is native code by which CPython calls foreign functions: the interpreter, ctypes, libffi.
fn is_python_machinery(frame: &Frame) -> bool {
    let module = file_name(&frame.module);
    let is_python = is_interpreter(module) && module.starts_with("python");
    let is_python_code = frame.file.ends_with(".py") || frame.file.starts_with('<');
    !is_python_code && (is_python || starts_with_any(module, &["libpython", "_ctypes.", "libffi."]))
}

/// A Python program's frames come behind ctypes, the package's own, and the interpreter between them: how many
/// frames there are up to the package's last one, 0 if it has none there. `is_dropped` says what is dropped anyway.
pub fn end_of_package(frames: &[Frame], is_dropped: impl Fn(&Frame) -> bool) -> usize {
    let passed = |frame: &&Frame| is_dropped(frame) || is_python_machinery(frame);
    let reached = frames.iter().take_while(passed).count();
    let last = frames[..reached].iter().rposition(|frame| is_package_source(&frame.file));
    last.map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::super::user::{dropped, first_own, origin};
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
        let origins: Vec<_> = frames.iter().map(|f| origin(f, exe)).collect();
        first_own(frames, &origins)
    }

    #[test]
    fn what_hands_annotations_on_is_dropped_like_the_shim() {
        let exe = "/srv/x";
        let shim = frame("/opt/libresshim.so", "resshim_acquire", "");
        let own = frame(exe, "open_source", "/srv/resshim/x.c");
        for bridge in [
            frame(exe, "resshim_acquire", "/usr/include/resshim.h"),
            frame(exe, "resshim::tracked::tracked(char const*, void const*, char const*)", ""),
            frame(exe, "resshim_api::acquire", "/b/src/lib.rs"),
            frame(exe, "<resshim_api::guard::Tracked as core::ops::drop::Drop>::drop", ""),
        ] {
            let frames = [shim.clone(), bridge.clone(), own.clone(), bridge];
            assert_eq!((dropped(&frames), user(exe, &frames[1..])), (2, 1), "{:?}", frames[1]);
        }
        let alike = frame(exe, "resshim_acquire_all", "/srv/resshim/guard.py");
        assert_eq!(dropped(&[shim, alike, own]), 1);
    }

    #[test]
    fn the_python_package_is_dropped_with_the_interpreter_between_its_frames() {
        let exe = "/usr/bin/python3.11";
        let python = |function, file| frame("CPython", function, file);
        let package = "/srv/venv/lib/python3.11/site-packages/resshim";
        let frames = [
            frame("/opt/libresshim.so", "resshim_acquire", ""),
            frame("/usr/lib/x86_64-linux-gnu/libffi.so.8", "", ""),
            frame(
                "/usr/lib/python3.11/lib-dynload/_ctypes.cpython-311-x86_64-linux-gnu.so",
                "",
                "",
            ),
            frame(exe, "_PyEval_EvalFrameDefault", ""),
            python("acquire", &format!("{package}/_names.py")),
            frame(exe, "method_vectorcall", ""),
            python("Tracked.__enter__", &format!("{package}/_guard.py")),
            frame(exe, "_PyEval_EvalFrameDefault", ""),
            python("fetch", "/srv/resshim/app.py"),
        ];
        assert_eq!(dropped(&frames), 7);
        assert_eq!(user(exe, &frames[7..]), 1);
        assert_eq!(dropped(&frames[..6]), 5);
        // Where its frames are not known, only the shim is.
        assert_eq!(dropped(&[frames[0].clone(), frames[1].clone(), frames[3].clone()]), 1);
    }
}
