//! Languages whose functions have names only if their runtime is asked to tell them: what `run` adds to
//! the environment of CMD. Off with `--no-runtime-hooks`.
//!
//! A hook is set for the whole process tree, since nobody knows which process will run what: it must be
//! harmless to every other program. It is set only where the runtime that would obey it is known to, and
//! nothing that it needs is missing; it extends what the user has set, and is told in the trace.

mod java;
mod node;

use std::ffi::OsString;
use std::path::Path;

use crate::source::manifest::RuntimeHook;

/// What is changed, and what is to be told.
#[derive(Debug, Default)]
pub struct Hooks {
    /// Variables and their new values.
    pub variables: Vec<(OsString, OsString)>,
    /// One sentence a runtime; none where it is not there.
    pub said: Vec<RuntimeHook>,
}

/// The hooks for CMD, which is `program` where that is known, under the shim `library`.
pub fn of(program: Option<&Path>, library: &Path) -> Hooks {
    let mut hooks = Hooks::default();
    node::add(program, &mut hooks);
    java::add(library, &mut hooks);
    hooks
}

impl Hooks {
    /// Tells of a runtime.
    fn say(&mut self, runtime: &str, is_on: bool, text: String) {
        self.said.push(RuntimeHook { runtime: runtime.to_owned(), is_on, text });
    }
}
