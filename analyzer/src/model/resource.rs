//! One live resource, and the site that acquired it.

use resshim_format::op::Op;
use resshim_format::table::RowState;

use super::kind::KindId;

/// What names a resource within its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Handle {
    /// A descriptor number and which lifetime of it.
    Fd {
        /// The number.
        number: u32,
        /// Which lifetime; 0 = none of this image.
        generation: u32,
    },
    /// A thread: its kernel id.
    Thread(u32),
    /// A child process.
    Process(u32),
    /// Address of a heap block.
    Heap(u64),
    /// Start address of a mapping.
    Mapping(u64),
    /// The program's own number.
    Annotated(u64),
}

impl Handle {
    /// As the report shows it; `kind` is the word of its kind.
    pub fn text(self, kind: &str) -> String {
        match self {
            Handle::Fd { number, .. } => format!("fd:{number}"),
            Handle::Thread(tid) => format!("thread:{tid}"),
            Handle::Process(pid) => format!("pid:{pid}"),
            Handle::Heap(address) => format!("heap:{address:#x}"),
            Handle::Mapping(address) => format!("mapping:{address:#x}"),
            Handle::Annotated(number) => format!("{kind}:{number:#x}"),
        }
    }
}

/// A resource that was not released when its image was last seen.
#[derive(Clone, Debug)]
pub struct Live {
    /// Index of the image.
    pub image: u32,
    /// Index of its site, if it is known.
    pub site: Option<u32>,
    /// Kind.
    pub kind: KindId,
    /// Name within the image.
    pub handle: Handle,
    /// Live, ended (thread, child), detached, closing.
    pub state: RowState,
    /// When it was acquired, ns since the start of the trace.
    pub acquired_ns: u64,
    /// When the thread or the child ended.
    pub ended_ns: Option<u64>,
    /// When it was last used, at the latest; `None` = it was not, or that is not known.
    pub last_use_ns: Option<u64>,
    /// Its uses are seen: without one, it was not used.
    pub use_is_known: bool,
    /// Its other end is gone: a read gave nothing.
    pub has_ended: bool,
    /// An epoll set waits for it.
    pub is_watched: bool,
    /// Bytes that it stands for.
    pub bytes: u64,
    /// Resources that it stands for (1; more for a sampled heap block).
    pub weight: f64,
    /// Came into the image over fork or exec, or was not seen being opened.
    pub is_foreign: bool,
    /// Closed by exec.
    pub is_cloexec: bool,
    /// Went on into the next image of its process, or into the child that lives on in its place.
    pub is_passed_on: bool,
    /// Path, address, name.
    pub label: Box<str>,
}

/// How often a stack released what a site acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleaseSite {
    /// Stack of the release.
    pub stack: u32,
    /// How often.
    pub count: u64,
}

/// A stack of one image that acquires resources of one kind.
#[derive(Clone, Debug)]
pub struct SiteStats {
    /// Index of the image.
    pub image: u32,
    /// Stack, 0 = not known.
    pub stack: u32,
    /// Kind.
    pub kind: KindId,
    /// Operation of the first acquisition.
    pub op: Option<Op>,
    /// The table has a row for it: its totals are exact.
    pub is_exact: bool,
    /// Acquired in all.
    pub acquired: u64,
    /// Released in all.
    pub released: u64,
    /// Bytes acquired.
    pub acquired_bytes: u64,
    /// Bytes released.
    pub released_bytes: u64,
    /// Highest live count.
    pub peak: u64,
    /// Sum of the squares of the samples' weights (heap).
    pub weight_squares: f64,
    /// First acquisition, start of the first bucket.
    pub first_ns: u64,
    /// Last acquisition.
    pub last_ns: u64,
    /// Longest lifetime of a released one.
    pub longest_ns: u64,
    /// Length of a bucket.
    pub bucket_ns: u64,
    /// Acquired and released in each bucket; empty where the table had no row.
    pub flow: Vec<(u64, u64)>,
    /// Where they were released, most first, at most eight.
    pub releases: Vec<ReleaseSite>,
}
