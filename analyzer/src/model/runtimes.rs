//! What an image says of the managed languages in it: whose frames are not in its stacks, and why.

use resshim_format::header::{
    RUNTIME_FRAMES, RUNTIME_NO_AGENT, RUNTIME_UNKNOWN_BUILD, RUNTIME_UNKNOWN_VERSION,
};
use resshim_format::table::Runtime;

use crate::source::region::RegionHeader;
use crate::symbols::managed::module_name;
use crate::symbols::user::interpreter_name;

/// Interpreters whose frames have their names from a perf map.
const PERF_MAPS: &[&str] = &["node", "nodejs", "deno", "bun", "dotnet", "pypy"];

/// Whether functions of what this interpreter runs have their names from a perf map.
pub fn has_perf_map(interpreter: &str) -> bool {
    PERF_MAPS.iter().any(|known| interpreter.starts_with(known))
}

/// Whether frames of a runtime are read.
pub fn has_frames(header: &RegionHeader) -> bool {
    let bits = |runtime: Runtime| (header.runtimes >> (8 * (runtime as u32 - 1))) as u8;
    [Runtime::CPython, Runtime::Java].iter().any(|runtime| bits(*runtime) & RUNTIME_FRAMES != 0)
}

/// Sentences for `not_visible`.
pub fn not_visible(header: &RegionHeader, exe: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut reads_frames = false;
    for runtime in [Runtime::CPython, Runtime::Java] {
        let bits = (header.runtimes >> (8 * (runtime as u32 - 1))) as u8;
        reads_frames |= bits & RUNTIME_FRAMES != 0;
        let name = module_name(runtime);
        let why = [
            (RUNTIME_UNKNOWN_VERSION, "its version is not one whose frames can be read"),
            (RUNTIME_UNKNOWN_BUILD, "it is built in a way whose frames cannot be read"),
            (RUNTIME_NO_AGENT, "its agent is not loaded (`resshim run` does so)"),
        ];
        let why = why.iter().find(|(bit, _)| bits & bit != 0 && bits & RUNTIME_FRAMES == 0);
        sentences.extend(why.map(|(_, why)| format!("frames of {name}: {why}")));
    }
    if header.managed_lost > 0 {
        sentences.push(match header.managed_lost {
            1 => "frames: one stack is not whole".to_owned(),
            lost => format!("frames: {lost} stacks are not whole"),
        });
    }
    if let Some(name) = interpreter_name(exe)
        && sentences.is_empty()
        && !reads_frames
        && !has_perf_map(name)
    {
        sentences.push(format!("frames: functions of the program that {name} runs are not known"));
    }
    sentences
}
