//! Java: every JVM that starts loads the shim as its agent, and lets it ask for the frames of threads.
//!
//! A JVM that cannot load an agent does not start at all: the path is one that every process of this machine
//! can find, and that the JVM does not take apart.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Hooks;

const VARIABLE: &str = "JAVA_TOOL_OPTIONS";

/// Adds the agent, whatever CMD is: a JVM can be in any program.
pub fn add(library: &Path, hooks: &mut Hooks) {
    // The JVM splits the variable at blanks, takes quotes away, and ends a library's name at the first '='.
    let path = library.as_os_str().as_bytes();
    if path.iter().any(|byte| byte.is_ascii_whitespace() || b"'\"=".contains(byte)) {
        let why = "a JVM would take the shim's path apart";
        return hooks.say("java", false, format!("Java methods are not known: {why}"));
    }
    let before = std::env::var_os(VARIABLE).unwrap_or_default();
    let Some(value) = extended(&before, library) else { return };
    hooks.variables.push((VARIABLE.into(), value));
    let text = format!(
        "{VARIABLE} was extended by -agentpath, so that Java methods are known; \
         --no-runtime-hooks leaves it alone"
    );
    hooks.say("java", true, text);
}

/// What was there, and the agent behind it; `None` where it is there already (`run` inside `run`).
fn extended(before: &OsStr, library: &Path) -> Option<OsString> {
    let mut ours = OsString::from("-agentpath:");
    ours.push(library);
    if before.as_bytes().split(u8::is_ascii_whitespace).any(|part| part == ours.as_bytes()) {
        return None;
    }
    let mut value = before.to_owned();
    if !value.is_empty() {
        value.push(" ");
    }
    value.push(ours);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_stands_behind_what_was_there_and_once() {
        let library = Path::new("/lib/libresshim.so");
        let ours = OsString::from("-agentpath:/lib/libresshim.so");
        assert_eq!(extended(OsStr::new(""), library), Some(ours.clone()));
        let both = extended(OsStr::new("-Xmx1g"), library).unwrap();
        assert_eq!(both, "-Xmx1g -agentpath:/lib/libresshim.so");
        assert_eq!(extended(&both, library), None);
        assert_eq!(extended(&ours, library), None);
    }

    #[test]
    fn a_path_that_the_jvm_would_take_apart_is_not_given_to_it() {
        for path in ["/a b/x.so", "/a'b/x.so", "/a=b/x.so"] {
            let mut hooks = Hooks::default();
            add(Path::new(path), &mut hooks);
            assert!(hooks.variables.is_empty() && !hooks.said[0].is_on, "{path}");
        }
    }
}
