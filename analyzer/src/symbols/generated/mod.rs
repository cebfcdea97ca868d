//! Names of code that a compiler made at run time, by address and time.
//!
//! Such code goes, and other code comes to its address. A map tells codes in the order in which they were
//! made, so the latest that lies at an address is meant; where it is known when the stack was seen first,
//! codes that were surely made later are left out. How sure that is depends on how often the map was
//! read: within one reading (a second) the later code has the address. A jitdump has the time of each code.

mod names;

use std::collections::HashMap;
use std::sync::Arc;

use super::resolve::Name;
use crate::report::Frame;
use crate::source::generated::Batch;

/// Codes that are looked at for one address: what overlaps is stale, or hostile.
const MOST_STEPS: usize = 4096;

/// One code.
#[derive(Clone, Copy, Debug)]
struct Code {
    start: u64,
    size: u64,
    /// Which of all codes, in the order of the map.
    order: u32,
    /// It was made after this, or then.
    since_ns: u64,
    name: u32,
    /// Its lines: first and one past the last.
    lines: (u32, u32),
}

/// All codes of a process image.
#[derive(Clone, Debug, Default)]
pub struct GeneratedCode {
    /// By start.
    codes: Vec<Code>,
    /// Highest end of the codes up to each one.
    ends: Vec<u64>,
    names: Vec<Name>,
    /// Address, line and file, ascending within a code.
    lines: Vec<(u64, u32, Arc<str>)>,
}

impl GeneratedCode {
    /// Of what its maps told, in order; `time` makes times of the trace of `CLOCK_MONOTONIC` nanoseconds.
    pub fn of(batches: &[Batch], time: impl Fn(u64) -> u64) -> GeneratedCode {
        let mut all = GeneratedCode::default();
        let mut known: HashMap<Name, u32> = HashMap::new();
        for batch in batches.iter().filter(|batch| batch.is_whole()) {
            all.take(batch, &mut known, &time);
        }
        all.codes.sort_by_key(|code| (code.start, code.order));
        let mut highest = 0;
        let end = |code: &Code| {
            highest = code.start.saturating_add(code.size).max(highest);
            highest
        };
        all.ends = all.codes.iter().map(end).collect();
        all
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    fn take(&mut self, batch: &Batch, known: &mut HashMap<Name, u32>, time: &impl Fn(u64) -> u64) {
        let parsed: Vec<Name> = batch.strings.iter().map(|text| names::parse(text)).collect();
        let files: Vec<Arc<str>> = batch.strings.iter().map(|text| names::path(text)).collect();
        let mut line = 0;
        for (at, (start, size)) in batch.starts.iter().zip(&batch.sizes).enumerate() {
            let name = batch.names.get(at).and_then(|name| parsed.get(*name as usize));
            let name = name.cloned().unwrap_or_default();
            let next = self.names.len() as u32;
            let name = *known.entry(name).or_insert_with_key(|name| {
                self.names.push(name.clone());
                next
            });
            let first = self.lines.len() as u32;
            while batch.line_codes.get(line).is_some_and(|code| *code as usize == at) {
                let file = batch.line_files.get(line).and_then(|file| files.get(*file as usize));
                // V8 names files of the program by what has been freed by then; the definition's is right.
                if let Some(file) = file.filter(|file| is_path(file)) {
                    let (address, number) = (batch.line_addresses[line], batch.lines[line]);
                    self.lines.push((address, number, file.clone()));
                }
                line += 1;
            }
            let lines = (first, self.lines.len() as u32);
            self.lines[first as usize..].sort_by_key(|line| line.0);
            let since_ns = match batch.made_ns.get(at).copied().unwrap_or(0) {
                0 => batch.since_ns,
                made => made,
            };
            let since_ns = if since_ns == 0 { 0 } else { time(since_ns) };
            let order = self.codes.len() as u32;
            self.codes.push(Code { start: *start, size: *size, order, since_ns, name, lines });
        }
    }

    /// What lay at an address when it was seen first, `seen_ns` in the trace's time, if that is known.
    ///
    /// Its name, and where it begins.
    pub fn name(&self, address: u64, seen_ns: Option<u64>) -> Option<(Name, u64)> {
        let after = self.codes.partition_point(|code| code.start <= address);
        let mut best: Option<&Code> = None;
        for at in (0..after).rev().take(MOST_STEPS) {
            // None that begins before it ends behind the address.
            if self.ends.get(at).is_none_or(|end| *end <= address) {
                break;
            }
            let Some(code) = self.codes.get(at) else { break };
            let lies_there = address - code.start < code.size;
            let was_there = seen_ns.is_none_or(|seen| code.since_ns <= seen);
            if lies_there && was_there && best.is_none_or(|best| best.order < code.order) {
                best = Some(code);
            }
        }
        let code = best?;
        let mut name = self.names.get(code.name as usize)?.clone();
        let lines = self.lines.get(code.lines.0 as usize..code.lines.1 as usize).unwrap_or(&[]);
        let behind = lines.partition_point(|(from, ..)| *from <= address);
        if let Some((_, line, file)) = behind.checked_sub(1).and_then(|at| lines.get(at)) {
            (name.line, name.file) = (*line, file.clone());
        }
        Some((name, code.start))
    }
}

/// Whether this may be a file's name.
fn is_path(text: &str) -> bool {
    let is_odd = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
    !text.is_empty() && !text.contains(is_odd)
}

/// Whether the frame is of code made at run time whose function is known.
pub fn is_told(frame: &Frame) -> bool {
    frame.module.is_empty() && !frame.function.is_empty() && !is_glue(frame)
}

/// Whether the frame is the engine's own: what stands between two functions of a program depends on how
/// each of them was compiled.
pub fn is_glue(frame: &Frame) -> bool {
    let starts: &[&str] =
        if frame.module.is_empty() { names::GLUE } else { &["Builtins_", "v8::"] };
    starts.iter().any(|start| frame.function.starts_with(start))
}

/// The frames as text, without addresses of code made at run time, without the engine's own and without
/// what has no name: by which stubs it comes from one function to the next is the engine's affair too.
pub(super) fn likeness(frames: &[Frame]) -> String {
    let is_nameless = |frame: &Frame| frame.module.is_empty() && frame.function.is_empty();
    let mut text = String::new();
    for frame in frames.iter().filter(|frame| !is_glue(frame) && !is_nameless(frame)) {
        let Frame { function, file, line, module, offset, .. } = frame;
        let place = if function.is_empty() { *offset } else { 0 };
        text.push_str(&format!("{module}\0{function}\0{file}\0{line}\0{place}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(since_ns: u64, codes: &[(u64, u64, &str)]) -> Batch {
        Batch {
            since_ns,
            strings: codes.iter().map(|(.., name)| (*name).to_owned()).collect(),
            starts: codes.iter().map(|code| code.0).collect(),
            sizes: codes.iter().map(|code| code.1).collect(),
            names: (0..codes.len() as u32).collect(),
            ..Batch::default()
        }
    }

    fn code(batches: &[Batch]) -> GeneratedCode {
        GeneratedCode::of(batches, |ns| ns)
    }

    fn function(code: &GeneratedCode, address: u64, seen_ns: Option<u64>) -> String {
        code.name(address, seen_ns).map_or("-".into(), |(name, _)| name.function.to_string())
    }

    #[test]
    fn an_address_is_that_of_the_code_around_it() {
        let code = code(&[batch(0, &[(100, 10, "a"), (110, 5, "b"), (50, 20, "c")])]);
        let found: Vec<String> = [49, 50, 69, 70, 99, 100, 109, 110, 114, 115]
            .map(|at| function(&code, at, None))
            .into();
        assert_eq!(found, ["-", "c", "c", "-", "-", "a", "a", "b", "b", "-"]);
        assert!(GeneratedCode::default().name(1, None).is_none());
    }

    #[test]
    fn a_later_code_takes_an_address_over_but_not_for_what_was_seen_before() {
        let code = code(&[
            batch(0, &[(100, 50, "first"), (100, 50, "second")]),
            batch(1000, &[(120, 10, "third")]),
        ]);
        assert_eq!(function(&code, 125, None), "third");
        assert_eq!(function(&code, 125, Some(1000)), "third");
        assert_eq!(function(&code, 125, Some(999)), "second");
        assert_eq!(function(&code, 105, Some(5000)), "second");
    }

    #[test]
    fn a_time_of_its_own_is_better_than_that_of_the_reading() {
        let mut timed = batch(0, &[(100, 50, "first"), (100, 50, "second")]);
        timed.made_ns = vec![10, 20];
        let code = code(&[timed]);
        assert_eq!(function(&code, 100, Some(19)), "first");
        assert_eq!(function(&code, 100, Some(20)), "second");
        assert_eq!(function(&code, 100, Some(9)), "-");
    }

    #[test]
    fn likeness_leaves_out_what_depends_on_how_it_was_compiled() {
        let frame = |module: &str, function: &str, offset| Frame {
            module: module.into(),
            function: function.into(),
            offset,
            ..Frame::default()
        };
        let (open, leaky) = (frame("/bin/node", "uv_fs_open", 7), frame("", "leaky", 1));
        let glue = ["Builtins_CEntry", "v8::internal::Execution::Call()"];
        let glue = glue.map(|function| frame("/bin/node", function, 9));
        let one = likeness(&[open.clone(), leaky.clone()]);
        let two = likeness(&[
            open,
            glue[0].clone(),
            frame("", "", 5),
            frame("", "Builtin:Call", 6),
            Frame { offset: 2, ..leaky },
            glue[1].clone(),
        ]);
        assert_eq!(one, two);
        assert_ne!(one, likeness(&[frame("", "other", 1)]));
        assert_ne!(likeness(&[frame("/a.so", "", 1)]), likeness(&[frame("/a.so", "", 2)]));
    }

    #[test]
    fn lines_of_a_jitdump_are_those_of_the_call() {
        let mut told = batch(0, &[(90, 10, "f"), (100, 50, "g")]);
        told.strings.push("/srv/a.js".into());
        told.line_codes = vec![1, 1];
        told.line_addresses = vec![120, 100];
        told.lines = vec![8, 7];
        told.line_files = vec![2, 2];
        let code = code(&[told]);
        let line = |at| code.name(at, None).map(|(name, _)| (name.file.to_string(), name.line));
        assert_eq!(line(100), Some(("/srv/a.js".into(), 7)));
        assert_eq!(line(149), Some(("/srv/a.js".into(), 8)));
        assert_eq!(line(95), Some((String::new(), 0)));
        let mut freed = batch(0, &[(100, 50, "JS:~g /srv/a.js:3:1")]);
        freed.strings.push("K\u{fffd}\u{2}".into());
        (freed.line_codes, freed.line_addresses) = (vec![0], vec![100]);
        (freed.lines, freed.line_files) = (vec![8], vec![1]);
        let code = self::code(&[freed]);
        let found = code.name(100, None).map(|(name, _)| (name.file.to_string(), name.line));
        assert_eq!(found, Some(("/srv/a.js".into(), 3)), "a file that is none");
    }

    #[test]
    fn codes_that_cover_everything_cost_a_bounded_look() {
        let mut codes = vec![(0, u64::MAX, "all")];
        codes.extend((0..100_000).map(|at| (1000 + at, 1, "x")));
        let code = code(&[batch(0, &codes)]);
        assert_eq!(function(&code, 1001, None), "x");
        assert_eq!(function(&code, 500_000, None), "-", "given up");
        assert_eq!(function(&code, 999, None), "all");
    }
}
