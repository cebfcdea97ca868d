//! The one table of operations: everything else that knows an operation is generated from it.
//!
//! A row is: number, variant (CamelCase of the libc symbol that stands for the meaning), name,
//! class, effect. Numbers are part of the trace format: they are never reused and never changed.
//! Symbols that mean the same (`open`, `open64`, `__open_2`) share one row; which symbols map to
//! which row is said once, in the shim's hook table.

/// What an operation works on; says how the words of its record are read (see [`crate::record`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// Bookkeeping of the trace itself.
    Meta,
    /// A file descriptor: handle = number and generation.
    Fd,
    /// A thread: handle = row of the thread table and its generation.
    Thread,
    /// A child process: handle = pid.
    Process,
    /// A heap block: handle = address.
    Heap,
    /// A memory mapping: handle = start address.
    Mapping,
    /// What the program named itself: handle = its own number, with a kind.
    Annotated,
}

/// What an operation does to the lifecycle of its resource. The model acts on (class, effect).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Effect {
    /// A new resource begins.
    Acquire,
    /// The resource ends (for a descriptor: this descriptor ends; the open file description when its last one does).
    Release,
    /// One more handle of the same open file description.
    Alias,
    /// The resource leaves to another process.
    Transfer,
    /// The resource goes to another state of its kind's state machine.
    State,
    /// The resource was used.
    Use,
    /// The thread began or ended to wait for the resource.
    Wait,
    /// The thread let somebody else go on.
    Wake,
    /// A new process with a copy of this one's descriptors.
    Fork,
    /// This process image is replaced.
    Exec,
    /// This process ends.
    Exit,
    /// A point in time, nothing acquired or released.
    Mark,
}

macro_rules! ops {
    ($($(#[$doc:meta])* $number:literal $variant:ident $name:literal $class:ident $effect:ident;)*) => {
        /// An operation of the trace. See the module's documentation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        #[allow(missing_docs, reason = "a variant is the libc function of its name; only the others have more to say")]
        pub enum Op { $($(#[$doc])* $variant = $number,)* }

        impl Op {
            /// Every operation, in the order of the table.
            pub const ALL: &'static [Op] = &[$(Op::$variant,)*];
            /// The operation with this number, if this version of the format has it.
            pub const fn from_number(number: u16) -> Option<Op> {
                match number { $($number => Some(Op::$variant),)* _ => None }
            }
            /// Name shown to people: that of the libc function which stands for the meaning.
            pub const fn name(self) -> &'static str { match self { $(Op::$variant => $name,)* } }
            /// What it works on.
            pub const fn class(self) -> Class { match self { $(Op::$variant => Class::$class,)* } }
            /// What it does.
            #[inline]
            pub const fn effect(self) -> Effect { match self { $(Op::$variant => Effect::$effect,)* } }
            /// Its number in a record.
            #[inline]
            pub const fn number(self) -> u16 { self as u16 }
        }
    };
}

ops! {
    // Meta: 1-31.
    /// Full time stamp counter, where a record's 26 bits would overflow: `[tsc]`.
    1 Time "time" Meta Mark;
    /// The following records are of another thread: `[tsc][tid]`. First word group of every shared slot.
    2 Context "context" Meta Mark;
    /// Bytes of a string that belongs to the record before: `[length:16 more:1 field:8][bytes…]`.
    3 Text "text" Meta Mark;
    /// A failed call: `[op:16 errno:16 count:32][handle][args]`; `count` is how often this (site, op, errno) has failed so far.
    4 Failed "failed" Meta Mark;
    /// What could not be recorded since the last such record: `[acquisitions][releases]`. Not written
    /// yet: the header's counters tell it.
    5 Lost "lost" Meta Mark;
    /// The shim stepped a kind's tracking level: `[kind:8 level:8 reason:16][value]`. Not written
    /// yet.
    6 Step "step" Meta Mark;
    /// A module was registered: `[row of the module table]`. Not written yet: a stack's epoch says which were there.
    7 Module "module" Meta Mark;

    // Descriptors: 32-127.
    32 Open "open" Fd Acquire;
    33 Close "close" Fd Release;
    /// Part of `close_range`, `closefrom`, a sweep.
    34 CloseRange "close_range" Fd Release;
    35 Dup "dup" Fd Alias;
    /// `dup2`, `dup3`: what stood at the number before is released by [`Op::Replaced`].
    36 Dup2 "dup2" Fd Alias;
    37 FcntlDup "fcntl(F_DUPFD)" Fd Alias;
    /// The descriptor that `dup2`, `dup3` or `freopen` put another one in place of.
    38 Replaced "replaced" Fd Release;
    /// `FD_CLOEXEC` set or cleared (`fcntl`, `ioctl`): `[handle][cloexec]`.
    39 SetCloexec "fcntl(F_SETFD)" Fd State;
    40 Pipe "pipe" Fd Acquire;
    41 Socket "socket" Fd Acquire;
    42 Socketpair "socketpair" Fd Acquire;
    43 Bind "bind" Fd State;
    44 Listen "listen" Fd State;
    45 Connect "connect" Fd State;
    46 Accept "accept" Fd Acquire;
    47 Shutdown "shutdown" Fd State;
    48 EpollCreate "epoll_create" Fd Acquire;
    /// `[handle of the set][op:32 events:32][handle of the member]`.
    49 EpollCtl "epoll_ctl" Fd State;
    50 Eventfd "eventfd" Fd Acquire;
    51 TimerfdCreate "timerfd_create" Fd Acquire;
    52 Signalfd "signalfd" Fd Acquire;
    53 InotifyInit "inotify_init" Fd Acquire;
    54 MemfdCreate "memfd_create" Fd Acquire;
    55 Mkstemp "mkstemp" Fd Acquire;
    56 Tmpfile "tmpfile" Fd Acquire;
    57 Fopen "fopen" Fd Acquire;
    /// A stream now owns this descriptor: `[handle][FILE address]`.
    58 Fdopen "fdopen" Fd State;
    59 Fclose "fclose" Fd Release;
    60 Freopen "freopen" Fd Acquire;
    61 Popen "popen" Fd Acquire;
    62 Pclose "pclose" Fd Release;
    63 Opendir "opendir" Fd Acquire;
    64 Fdopendir "fdopendir" Fd State;
    65 Closedir "closedir" Fd Release;
    /// Was open when the image began (census).
    66 Inherited "inherited" Fd Acquire;
    /// Not seen being opened; found by comparison with `/proc`. Not written yet: what a comparison finds
    /// stands in the manifest of the trace.
    67 Reconciled "reconciled" Fd Acquire;
    68 PidfdOpen "pidfd_open" Fd Acquire;
    /// `posix_openpt`, and both ends of `openpty`.
    69 Openpty "openpty" Fd Acquire;
    70 IoUringSetup "io_uring_setup" Fd Acquire;
    /// A descriptor that came with a message (`SCM_RIGHTS`); third word: the socket that it came by.
    71 Received "recvmsg(SCM_RIGHTS)" Fd Acquire;
    /// A copy of the descriptor left with a message: `[handle][handle of the socket]`. The sender still has its own.
    72 Sent "sendmsg(SCM_RIGHTS)" Fd Transfer;
    // What uses a descriptor is not recorded, its row has the time. Only a use of a number at which nothing is
    // open (`EBADF`, `POLLNVAL`) is an event: a `Failed` record of these, with the number's last lifetime.
    73 Read "read" Fd Use;
    74 Write "write" Fd Use;
    75 Recv "recv" Fd Use;
    76 Send "send" Fd Use;
    77 Poll "poll" Fd Use;
    78 EpollWait "epoll_wait" Fd Use;
    79 Sendfile "sendfile" Fd Use;

    // Threads: 128-143.
    128 PthreadCreate "pthread_create" Thread Acquire;
    /// The thread runs: `[handle][tid]`, written by the thread itself.
    129 ThreadStart "thread-start" Thread State;
    /// The thread's start routine has ended: `[handle]`.
    130 ThreadEnd "thread-end" Thread State;
    131 PthreadJoin "pthread_join" Thread Release;
    132 PthreadDetach "pthread_detach" Thread State;
    /// The creation of this handle, written before the call, did not happen: `[handle]`.
    133 ThreadNotCreated "pthread_create failed" Thread State;

    // Processes: 144-175.
    144 Fork "fork" Process Fork;
    145 Vfork "vfork" Process Fork;
    146 PosixSpawn "posix_spawn" Process Fork;
    /// `system`: a child that was made and waited for inside the call: `[pid 0][status]`.
    147 System "system" Process Mark;
    148 Wait "wait" Process Release;
    /// The image is about to be replaced; counts only if a new image follows or nothing more is written. Text: path.
    149 Exec "exec" Process Exec;
    /// `[status as given to exit]`.
    150 Exit "exit" Process Exit;
    151 Daemon "daemon" Process Fork;
    /// The identity or the root of the process changed: `[op-specific]`.
    152 Privilege "setuid" Process Mark;
    153 Abort "abort" Process Exit;

    // Heap: 176-199.
    176 Malloc "malloc" Heap Acquire;
    177 Calloc "calloc" Heap Acquire;
    178 Realloc "realloc" Heap Acquire;
    179 AlignedAlloc "aligned_alloc" Heap Acquire;
    180 Free "free" Heap Release;
    /// The old block of a `realloc`.
    181 ReallocFree "realloc-free" Heap Release;

    // Mappings: 200-215.
    200 Mmap "mmap" Mapping Acquire;
    201 Munmap "munmap" Mapping Release;
    /// `[old address][old length][new address][new length]`.
    202 Mremap "mremap" Mapping State;

    // What the program names itself: 256-271.
    256 Annotate "resshim_acquire" Annotated Acquire;
    257 AnnotateRelease "resshim_release" Annotated Release;
    258 AnnotateState "resshim_state" Annotated State;
    /// `[from handle][to handle][from kind:32 to kind:32]`, Text: relation.
    259 Depends "resshim_depends" Annotated Mark;
    /// Text: name of the phase.
    260 Phase "resshim_phase" Meta Mark;
    /// `[kind][seconds as f64 bits]`.
    261 Expect "resshim_expect" Meta Mark;
}

macro_rules! kinds {
    ($($number:literal $variant:ident $name:literal $class:ident;)*) => {
        /// Kind of a resource. Numbers are part of the format; those from [`FIRST_ANNOTATED_KIND`] on
        /// are rows of the region's table of names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Kind { $(#[doc = $name] $variant = $number,)* }
        impl Kind {
            /// Every kind, in the order of the contract.
            pub const ALL: &'static [Kind] = &[$(Kind::$variant,)*];
            /// The kind with this number.
            pub const fn from_number(number: u32) -> Option<Kind> {
                match number { $($number => Some(Kind::$variant),)* _ => None }
            }
            /// The word of the contract.
            pub const fn name(self) -> &'static str { match self { $(Kind::$variant => $name,)* } }
            /// The kind of this word.
            pub fn from_name(name: &str) -> Option<Kind> {
                match name { $($name => Some(Kind::$variant),)* _ => None }
            }
            /// Which class of operations acquires it.
            pub const fn class(self) -> Class { match self { $(Kind::$variant => Class::$class,)* } }
        }
    };
}

kinds! {
    1 File "file" Fd;
    2 Dir "dir" Fd;
    3 Pipe "pipe" Fd;
    4 Fifo "fifo" Fd;
    5 Tcp "tcp" Fd;
    6 Udp "udp" Fd;
    7 Unix "unix" Fd;
    8 Netlink "netlink" Fd;
    9 Socket "socket" Fd;
    10 Epoll "epoll" Fd;
    11 Eventfd "eventfd" Fd;
    12 Timerfd "timerfd" Fd;
    13 Signalfd "signalfd" Fd;
    14 Inotify "inotify" Fd;
    15 Memfd "memfd" Fd;
    16 Pidfd "pidfd" Fd;
    17 IoUring "io_uring" Fd;
    18 Pty "pty" Fd;
    19 Mqueue "mqueue" Fd;
    20 Shm "shm" Fd;
    21 Thread "thread" Thread;
    22 Process "process" Process;
    23 Heap "heap" Heap;
    24 Mapping "mapping" Mapping;
    25 Lock "lock" Meta;
    26 Curl "curl" Annotated;
    27 Tls "tls" Annotated;
    28 Database "database" Annotated;
    29 Task "task" Annotated;
}

/// Kinds from here on were named by the program; `number - FIRST_ANNOTATED_KIND` is a row of
/// [`crate::table::KindRow`].
pub const FIRST_ANNOTATED_KIND: u32 = 64;
/// Rows of the control page's per-kind levels.
pub const KIND_LEVELS: usize = 64;
