//! Which resources a trail is asked for.

use resshim_format::op::{Class, Kind, Op};

use super::{Step, What};
use crate::model::resource::Handle;

/// What a resource has to be. Each condition is met by some step of it; all of its steps are shown then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Touched by this process.
    pub pid: Option<u32>,
    /// Of the kind of this word.
    pub kind: Option<String>,
    /// Known by this handle at some time.
    pub handle: Option<Wanted>,
    /// Something happened to it from this time on, ns since the trace began.
    pub since_ns: u64,
}

/// A handle as people write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// `fd`, `thread`, `pid`, `heap`, `mapping`, or the word of an annotated kind.
    pub class: String,
    /// Its number.
    pub number: u64,
}

impl std::str::FromStr for Wanted {
    type Err = String;
    fn from_str(text: &str) -> Result<Wanted, String> {
        let wrong = "write it like fd:7, thread:TID, pid:PID, heap:0xADDRESS, mapping:0xADDRESS or KIND:0xHANDLE";
        let (class, number) = text.rsplit_once(':').ok_or(wrong)?;
        let parsed = match number.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => number.parse(),
        };
        let number = parsed.map_err(|_| wrong)?;
        if class.is_empty() {
            return Err(wrong.into());
        }
        Ok(Wanted { class: class.to_owned(), number })
    }
}

impl Filter {
    /// The one class of events that can be about what is asked for; `None`: several.
    pub fn class(&self) -> Option<Class> {
        let kind = self.kind.as_deref().map(|kind| Kind::from_name(kind).map(Kind::class));
        // A word that no kind of the contract has is one that the program brought.
        let by_kind = kind.map(|class| class.unwrap_or(Class::Annotated));
        let by_handle = self.handle.as_ref().map(|handle| match handle.class.as_str() {
            "fd" => Class::Fd,
            "thread" => Class::Thread,
            "pid" => Class::Process,
            "heap" => Class::Heap,
            "mapping" => Class::Mapping,
            _ => Class::Annotated,
        });
        by_kind.or(by_handle)
    }

    /// Whether a step makes its resource, which is of the kind of this word, one that is asked for. `pids`
    /// are the processes that the step is about.
    pub fn asks_for(&self, kind: &str, pids: [u32; 2], step: &Step) -> bool {
        self.pid.is_none_or(|pid| pids.contains(&pid))
            && self.kind.as_deref().is_none_or(|asked| asked == kind)
            && self.handle.as_ref().is_none_or(|wanted| wanted.is_of(kind, step))
    }

    /// Whether this time is late enough.
    pub fn is_recent(&self, at_ns: u64) -> bool {
        at_ns >= self.since_ns
    }
}

impl Wanted {
    fn is_of(&self, kind: &str, step: &Step) -> bool {
        let bytes = match step.what {
            What::Op(Op::Mmap | Op::Malloc | Op::Calloc | Op::Realloc | Op::AlignedAlloc) => {
                step.words[1].max(1)
            }
            _ => 1,
        };
        // An address anywhere in the block or the mapping names it.
        let holds = |start: u64| self.number.wrapping_sub(start) < bytes;
        match step.handle {
            Handle::Fd { number, .. } => self.class == "fd" && self.number == u64::from(number),
            Handle::Thread(tid) => self.class == "thread" && self.number == u64::from(tid),
            Handle::Process(pid) => self.class == "pid" && self.number == u64::from(pid),
            Handle::Heap(address) => self.class == "heap" && holds(address),
            Handle::Mapping(address) => self.class == "mapping" && holds(address),
            Handle::Annotated(number) => self.class == kind && self.number == number,
        }
    }
}
