//! Frames of managed languages among the native ones of the same stack.
//!
//! A stack has the native frames first, then those that the thread ran in an interpreter. Each native
//! frame of the interpreter's loop stands for the managed frames up to the next one that is marked as an
//! entry: they take its place. Where a compiler makes code at run time, the first frame that no module
//! holds is where they belong.

use std::collections::HashMap;

use resshim_format::table::{FRAME_MANAGED, Runtime, unpack_managed};

use super::FrameKey;
use super::normalise;
use crate::report::Frame;
use crate::source::rows::{Code, Stack};

/// Functions whose activations run managed frames.
const LOOPS: &[&str] = &["_PyEval_EvalFrameDefault", "_TAIL_CALL_", "_PyEval_EvalFrame"];

/// The functions that one process image ran, by code row.
pub type Codes = HashMap<u32, Code>;

/// A frame of a managed language.
struct Managed {
    frame: Frame,
    key: FrameKey,
    /// The outermost that the same activation of the interpreter's loop runs.
    is_entry: bool,
}

/// What [`Frame::module`] is for frames of a runtime: no path, so it is no module's.
pub const fn module_name(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::CPython => "CPython",
        Runtime::Java => "Java",
    }
}

/// The runtime whose frame this is.
pub fn runtime_of(frame: &Frame) -> Option<Runtime> {
    [Runtime::CPython, Runtime::Java].into_iter().find(|r| frame.module == module_name(*r))
}

/// The function for a line of text: of Java the class and the method, without the packages that lead the path of
/// its file too.
pub fn short_function(frame: &Frame) -> &str {
    let name = frame.function.as_str();
    let is_java = runtime_of(frame) == Some(Runtime::Java) && frame.file.contains('/');
    let class = name.rmatch_indices('.').nth(1).filter(|_| is_java);
    class.and_then(|(dot, _)| name.get(dot + 1..)).unwrap_or(name)
}

/// Puts the managed frames of a stack among its native ones, in their place.
pub(super) fn weave(
    stack: &Stack,
    codes: &Codes,
    native: Vec<(Frame, FrameKey)>,
) -> Vec<(Frame, FrameKey)> {
    let words = stack.frames.iter().filter(|word| *word & FRAME_MANAGED != 0);
    let mut managed = words.map(|word| frame_of(*word, codes)).peekable();
    if managed.peek().is_none() {
        return native;
    }
    let makes_code = managed.peek().is_some_and(|m| runtime_of(&m.frame) == Some(Runtime::Java));
    let mut woven = Vec::with_capacity(native.len());
    let mut in_loop = false;
    for (frame, key) in native {
        if makes_code && frame.module.is_empty() {
            woven.extend(managed.by_ref().map(|managed| (managed.frame, managed.key)));
            continue;
        }
        let is_loop = LOOPS.iter().any(|name| frame.function.starts_with(name));
        // Calls inlined into the loop are the same activation.
        if is_loop && !in_loop {
            for next in managed.by_ref() {
                woven.push((next.frame, next.key));
                if next.is_entry {
                    break;
                }
            }
        }
        in_loop = is_loop && frame.inlined;
        if !is_loop {
            woven.push((frame, key));
        }
    }
    woven.extend(managed.map(|managed| (managed.frame, managed.key)));
    woven
}

fn frame_of(word: u64, codes: &Codes) -> Managed {
    let (row, line, is_entry) = unpack_managed(word);
    let code = codes.get(&row);
    let runtime = code.and_then(|code| code.runtime);
    let frame = Frame {
        function: code.map_or(String::new(), |code| code.name.clone()),
        file: code.map_or(String::new(), |code| code.file.clone()),
        line,
        module: runtime.map_or("", module_name).to_owned(),
        offset: 0,
        inlined: false,
    };
    let named = !frame.function.is_empty();
    let text = if named { key_text(&frame) } else { String::new() };
    Managed { key: FrameKey { module: None, text, named, code: None }, frame, is_entry }
}

/// The function with the name of its file: `main` and `run` are in every other one.
fn key_text(frame: &Frame) -> String {
    match runtime_of(frame) {
        Some(Runtime::CPython) => {
            let file = frame.file.rsplit('/').next().unwrap_or_default();
            format!("{file}:{}", frame.function)
        }
        _ => normalise::java_function(&frame.function),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use resshim_format::table::managed;

    fn native(function: &str, module: &str) -> (Frame, FrameKey) {
        let frame = Frame { function: function.into(), module: module.into(), ..Frame::default() };
        (
            frame,
            FrameKey {
                module: None,
                text: function.into(),
                named: !function.is_empty(),
                code: None,
            },
        )
    }

    fn woven(
        native: Vec<(Frame, FrameKey)>,
        runtime: Runtime,
        words: &[(u32, bool)],
    ) -> Vec<String> {
        let mut frames = vec![0x1000; native.len()];
        frames.extend(words.iter().map(|(row, entry)| managed(*row, row * 10, *entry)));
        let stack = Stack { frames, folded: false, cut: false, no_unwind_data: false, epoch: 0 };
        let code = |row: u32| Code {
            row,
            runtime: Some(runtime),
            first_line: 1,
            name: format!("f{row}"),
            file: "/srv/app.py".into(),
        };
        let codes: Codes = (1..8).map(|row| (row, code(row))).collect();
        let frames = weave(&stack, &codes, native);
        frames.into_iter().map(|(frame, _)| format!("{}:{}", frame.function, frame.line)).collect()
    }

    #[test]
    fn an_activation_of_the_loop_stands_for_the_frames_up_to_its_entry() {
        let eval = || native("_PyEval_EvalFrameDefault", "/usr/bin/python3");
        let stack = vec![
            native("os_open", "/py"),
            eval(),
            native("callback", "/ext.so"),
            eval(),
            native("main", "/py"),
        ];
        let frames = woven(stack, Runtime::CPython, &[(1, false), (2, true), (3, true)]);
        assert_eq!(frames, ["os_open:0", "f1:10", "f2:20", "callback:0", "f3:30", "main:0"]);
    }

    #[test]
    fn frames_whose_activation_was_not_found_come_last_in_their_order() {
        let stack = vec![native("os_open", "/py"), native("", "/py")];
        let frames = woven(stack, Runtime::CPython, &[(1, false), (2, true), (9, true)]);
        assert_eq!(frames, ["os_open:0", ":0", "f1:10", "f2:20", ":90"]);
    }

    #[test]
    fn packages_stand_in_the_path_or_before_the_class() {
        let short = |module: &str, function: &str, file: &str| {
            let (function, file, module) = (function.into(), file.into(), module.into());
            short_function(&Frame { function, file, module, ..Frame::default() }).to_owned()
        };
        let file = "com/acme/shop/Store.java";
        assert_eq!(short("Java", "com.acme.shop.Store$Row.leaky", file), "Store$Row.leaky");
        assert_eq!(
            short("Java", "com.acme.shop.Store$$Lambda$8.get", ""),
            "com.acme.shop.Store$$Lambda$8.get"
        );
        assert_eq!(short("Java", "Store.leaky", "Store.java"), "Store.leaky");
        assert_eq!(
            short("CPython", "Store.load.<locals>.leaky", "/srv/a.py"),
            "Store.load.<locals>.leaky"
        );
    }

    #[test]
    fn generated_code_is_where_java_frames_belong() {
        let stack = vec![native("fileOpen", "/libjava.so"), native("", ""), native("", "")];
        let frames = woven(stack, Runtime::Java, &[(1, false), (2, false)]);
        assert_eq!(frames, ["fileOpen:0", "f1:10", "f2:20"]);
    }
}
