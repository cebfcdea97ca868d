//! Rows of a region's tables as plain values: what [`super::region::Region`] makes of the words.
//!
//! Times are ticks of the region's counter. Strings are data of the traced process: not escaped.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use resshim_format::op::Op;
use resshim_format::record::{FdArgs, FdHandle};
use resshim_format::table::{self, RowState, Runtime};

/// Totals of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Index of the row; other rows name the site by it.
    pub row: u32,
    /// Stack of the acquisition.
    pub stack: u32,
    /// Kind number.
    pub kind: u32,
    /// Operation of the first acquisition.
    pub op: Option<Op>,
    /// Acquired so far.
    pub acquired: u64,
    /// Released so far.
    pub released: u64,
    /// Bytes acquired.
    pub acquired_bytes: u64,
    /// Bytes released.
    pub released_bytes: u64,
    /// Highest live count.
    pub peak: u64,
    /// First acquisition, start of bucket 0.
    pub first: u64,
    /// Last acquisition.
    pub last: u64,
    /// Longest lifetime of a released one, ticks.
    pub longest: u64,
    /// A bucket spans `1 << bucket_shift` ticks; at most 63.
    pub bucket_shift: u32,
    /// The buckets were being merged: do not rely on them.
    pub merging: bool,
    /// Samples behind the estimates (heap).
    pub samples: u64,
    /// Sum of the squares of the weights, units of 1/256 (heap).
    pub weight_squares: u64,
    /// Acquired and released in each bucket.
    pub flow: Vec<(u32, u32)>,
    /// Live at the last event of each bucket.
    pub live: Vec<u32>,
}

/// A descriptor number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fd {
    /// The number.
    pub number: u32,
    /// `Free`: `generation` is that of the last lifetime.
    pub state: RowState,
    /// Which lifetime of the number, 0 = none of this image.
    pub generation: u32,
    /// What was asked for.
    pub args: FdArgs,
    /// When it was acquired.
    pub acquired: u64,
    /// Last sampled use, 0 = none.
    pub last_use: u64,
    /// Site row of the acquisition, 0 = none.
    pub site: u32,
    /// Stack of the last release.
    pub released_by: u32,
    /// Whose open file description it shares.
    pub description: FdHandle,
    /// `FILE` or `DIR` that owns it, 0 = none.
    pub stream: u64,
    /// Thread of the last release.
    pub released_tid: u32,
    /// Operation of the acquisition.
    pub op: Option<Op>,
    /// Path or address.
    pub label: String,
}

/// A thread that the process made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Index of the row.
    pub row: u32,
    /// State.
    pub state: RowState,
    /// Which lifetime of the row.
    pub generation: u32,
    /// Its `pthread_t`.
    pub pthread: u64,
    /// When it was created.
    pub acquired: u64,
    /// When it ended, 0 = has not.
    pub ended: u64,
    /// Site row of the creation.
    pub site: u32,
    /// Kernel id, 0 = has not started.
    pub tid: u32,
    /// Address of the start routine.
    pub start: u64,
    /// Operation it is blocked in.
    pub blocked_op: Option<Op>,
    /// Handle it is blocked on.
    pub blocked_on: u64,
    /// When it began to block.
    pub blocked_since: u64,
    /// Thread that created it.
    pub creator: u32,
    /// Its name.
    pub name: String,
}

/// A child process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Index of the row.
    pub row: u32,
    /// `Live` = not reaped.
    pub state: RowState,
    /// Its pid.
    pub pid: u32,
    /// Site row of the fork.
    pub site: u32,
    /// When it was made.
    pub acquired: u64,
    /// Fork sequence number.
    pub fork: u32,
    /// Operation that made it.
    pub op: Option<Op>,
    /// Wait status.
    pub status: u32,
}

/// A sampled (with mean 1: every) live block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapBlock {
    /// Address.
    pub address: u64,
    /// Bytes asked for.
    pub size: u64,
    /// When it was allocated.
    pub acquired: u64,
    /// Site row.
    pub site: u32,
    /// Blocks it stands for, units of 1/256.
    pub weight: u32,
}

/// A live mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Start address.
    pub address: u64,
    /// Bytes.
    pub length: u64,
    /// When it was made.
    pub acquired: u64,
    /// `prot:8, flags:24, fd:32`.
    pub args: u64,
    /// Site row.
    pub site: u32,
}

/// A live annotated resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotated {
    /// State.
    pub state: RowState,
    /// The program's number.
    pub handle: u64,
    /// When it was acquired.
    pub acquired: u64,
    /// Kind number.
    pub kind: u32,
    /// Site row.
    pub site: u32,
    /// State as the program named it.
    pub named_state: String,
    /// Label.
    pub label: String,
}

/// A loaded module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Index of the row.
    pub row: u32,
    /// Lowest address.
    pub start: u64,
    /// One past the highest.
    pub end: u64,
    /// What is added to its own addresses.
    pub bias: u64,
    /// Epoch from which it is known.
    pub epoch: u32,
    /// Build id, empty = none.
    pub build_id: Vec<u8>,
    /// Inode, 0 = not known.
    pub inode: u64,
    /// Path; empty = the executable.
    pub path: PathBuf,
}

/// A function of a managed language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// Index of the row; managed frames name the function by it.
    pub row: u32,
    /// Whose it is.
    pub runtime: Option<Runtime>,
    /// Line where it begins, 0 = not known.
    pub first_line: u32,
    /// Qualified name.
    pub name: String,
    /// Source file as the runtime names it.
    pub file: String,
}

/// A failing call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Operation.
    pub op: Option<Op>,
    /// Errno.
    pub errno: u16,
    /// Stack.
    pub stack: u32,
    /// How often.
    pub count: u64,
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// Kind number that was asked for.
    pub kind: u32,
}

/// A stack of the stack table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// Return addresses, innermost first, then managed frames (`resshim_format::table::managed`).
    pub frames: Vec<u64>,
    /// Frames were left out between the inner three quarters and the outer quarter.
    pub folded: bool,
    /// Cut short.
    pub cut: bool,
    /// Ends in code without unwind data.
    pub no_unwind_data: bool,
    /// Epoch of `dlclose` when it was taken.
    pub epoch: u32,
}

fn op(number: u32) -> Option<Op> {
    u16::try_from(number).ok().and_then(Op::from_number)
}

/// Bytes of NUL-padded words, cut at the first NUL.
fn bytes<const N: usize>(words: [AtomicU64; N]) -> Vec<u8> {
    let all: Vec<u8> = words.into_iter().flat_map(|word| word.into_inner().to_le_bytes()).collect();
    let length = all.iter().position(|byte| *byte == 0).unwrap_or(all.len());
    all[..length].to_vec()
}

fn text<const N: usize>(words: [AtomicU64; N]) -> String {
    String::from_utf8_lossy(&bytes(words)).into_owned()
}

/// A row that becomes a plain value; `None` = nothing lives in it.
pub(super) trait Plain: Sized {
    /// The words of the table.
    type Row: zerocopy::FromBytes;
    /// What they say.
    fn plain(index: u32, row: Self::Row) -> Option<Self>;
}

impl Plain for Site {
    type Row = table::SiteRow;
    fn plain(index: u32, row: table::SiteRow) -> Option<Site> {
        let stack = row.stack.into_inner();
        let kind = row.kind.into_inner();
        // A row without a count lost the race for its site to another thread's: the other one counts.
        let is_empty =
            [&row.acquired, &row.released].iter().all(|n| n.load(Ordering::Relaxed) == 0);
        if index == 0 || kind == 0 || is_empty {
            return None;
        }
        let flow = row.flow.into_iter().map(|word| {
            let word = word.into_inner();
            (word as u32, (word >> 32) as u32)
        });
        Some(Site {
            row: index,
            stack,
            kind,
            op: op(row.op.into_inner()),
            acquired: row.acquired.into_inner(),
            released: row.released.into_inner(),
            acquired_bytes: row.acquired_bytes.into_inner(),
            released_bytes: row.released_bytes.into_inner(),
            peak: row.peak.into_inner(),
            first: row.first_tsc.into_inner(),
            last: row.last_tsc.into_inner(),
            longest: row.longest.into_inner(),
            bucket_shift: row.bucket_shift.into_inner().min(63),
            merging: row.merging.into_inner() != 0,
            samples: row.samples.into_inner(),
            weight_squares: row.weight_squares.into_inner(),
            flow: flow.collect(),
            live: row.live.into_iter().map(|word| word.into_inner()).collect(),
        })
    }
}

impl Plain for Fd {
    type Row = table::FdRow;
    fn plain(number: u32, row: table::FdRow) -> Option<Fd> {
        let state = row.state.into_inner();
        let (generation, state) = (table::generation(state), RowState::from_word(state));
        if state == RowState::Free && generation == 0 {
            return None;
        }
        Some(Fd {
            number,
            state,
            generation,
            args: FdArgs::unpack(row.args.into_inner()),
            acquired: row.acquired.into_inner(),
            last_use: row.last_use.into_inner(),
            site: row.site.into_inner(),
            released_by: row.released_by.into_inner(),
            description: FdHandle::unpack(row.description.into_inner()),
            stream: row.stream.into_inner(),
            released_tid: row.released_tid.into_inner(),
            op: op(row.op.into_inner()),
            label: text(row.label),
        })
    }
}

impl Plain for Thread {
    type Row = table::ThreadRow;
    fn plain(index: u32, row: table::ThreadRow) -> Option<Thread> {
        let state = row.state.into_inner();
        let (generation, state) = (table::generation(state), RowState::from_word(state));
        if matches!(state, RowState::Free | RowState::Claimed) {
            return None;
        }
        Some(Thread {
            row: index,
            state,
            generation,
            pthread: row.pthread.into_inner(),
            acquired: row.acquired.into_inner(),
            ended: row.ended.into_inner(),
            site: row.site.into_inner(),
            tid: row.tid.into_inner(),
            start: row.start.into_inner(),
            blocked_op: op(row.blocked_op.into_inner()),
            blocked_on: row.blocked_on.into_inner(),
            blocked_since: row.blocked_since.into_inner(),
            creator: row.creator.into_inner(),
            name: text(row.name),
        })
    }
}

impl Plain for Child {
    type Row = table::ChildRow;
    fn plain(index: u32, row: table::ChildRow) -> Option<Child> {
        let state = RowState::from_word(row.state.into_inner());
        if matches!(state, RowState::Free | RowState::Claimed) {
            return None;
        }
        Some(Child {
            row: index,
            state,
            pid: row.pid.into_inner(),
            site: row.site.into_inner(),
            acquired: row.acquired.into_inner(),
            fork: row.fork.into_inner(),
            op: op(row.op.into_inner()),
            status: row.status.into_inner(),
        })
    }
}

impl Plain for HeapBlock {
    type Row = table::HeapRow;
    fn plain(_: u32, row: table::HeapRow) -> Option<HeapBlock> {
        let address = row.address.into_inner();
        (address != 0).then(|| HeapBlock {
            address,
            size: row.size.into_inner(),
            acquired: row.acquired.into_inner(),
            site: row.site.into_inner(),
            weight: row.weight.into_inner(),
        })
    }
}

impl Plain for Mapping {
    type Row = table::MappingRow;
    fn plain(_: u32, row: table::MappingRow) -> Option<Mapping> {
        let address = row.address.into_inner();
        (address != 0).then(|| Mapping {
            address,
            length: row.length.into_inner(),
            acquired: row.acquired.into_inner(),
            args: row.args.into_inner(),
            site: row.site.into_inner(),
        })
    }
}

impl Plain for Annotated {
    type Row = table::AnnotatedRow;
    fn plain(_: u32, row: table::AnnotatedRow) -> Option<Annotated> {
        let state = RowState::from_word(row.state.into_inner());
        if matches!(state, RowState::Free | RowState::Claimed) {
            return None;
        }
        Some(Annotated {
            state,
            handle: row.handle.into_inner(),
            acquired: row.acquired.into_inner(),
            kind: row.kind.into_inner(),
            site: row.site.into_inner(),
            named_state: text(row.named_state),
            label: text(row.label),
        })
    }
}

/// A kind's name with its row.
pub(super) struct KindName(pub u32, pub String);
impl Plain for KindName {
    type Row = table::KindRow;
    fn plain(index: u32, row: table::KindRow) -> Option<KindName> {
        let name = text(row.name);
        (!name.is_empty()).then_some(KindName(index, name))
    }
}

impl Plain for Module {
    type Row = table::ModuleRow;
    fn plain(index: u32, row: table::ModuleRow) -> Option<Module> {
        let start = row.start.into_inner();
        if start == 0 {
            return None;
        }
        let length = (row.build_id_bytes.into_inner() as usize).min(20);
        let build_id: Vec<u8> =
            row.build_id.into_iter().flat_map(|word| word.into_inner().to_le_bytes()).collect();
        Some(Module {
            row: index,
            start,
            end: row.end.into_inner(),
            bias: row.bias.into_inner(),
            epoch: row.epoch.into_inner(),
            build_id: build_id[..length].to_vec(),
            inode: row.inode.into_inner(),
            path: PathBuf::from(OsString::from_vec(bytes(row.path))),
        })
    }
}

impl Plain for Code {
    type Row = table::CodeRow;
    fn plain(index: u32, row: table::CodeRow) -> Option<Code> {
        (row.key.into_inner() != 0).then(|| Code {
            row: index,
            runtime: Runtime::from_number(row.runtime.into_inner()),
            first_line: row.first_line.into_inner(),
            name: text(row.name),
            file: text(row.file),
        })
    }
}

impl Plain for Failure {
    type Row = table::FailureRow;
    fn plain(_: u32, row: table::FailureRow) -> Option<Failure> {
        let key = row.key.into_inner();
        (key != 0).then(|| Failure {
            op: op((key >> 48) as u32),
            errno: (key >> 32) as u16,
            stack: key as u32,
            count: row.count.into_inner(),
            first: row.first.into_inner(),
            last: row.last.into_inner(),
            kind: row.kind.into_inner(),
        })
    }
}
