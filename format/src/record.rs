//! Records: groups of 8-byte words.
//!
//! ```text
//!  63            38 37    34 33        24 23                     0
//! ┌────────────────┬────────┬────────────┬────────────────────────┐
//! │ dt: 26         │words: 4│ op: 10     │ stack: 24              │  header word, never 0
//! ├────────────────┴────────┴────────────┴────────────────────────┤
//! │ words 1 … words-1, by class and effect of the operation       │
//! └───────────────────────────────────────────────────────────────┘
//! ```
//!
//! `dt` is `(tsc - base) >> 6`, where `base` is that of the chunk or of the last `Time` or
//! `Context` record before it. `words` counts the header. `stack` is an id of the stack table, 0 = none.
//!
//! | class, effect | word 1 | word 2 | word 3 |
//! |---|---|---|---|
//! | Fd Acquire | [`FdHandle`] | [`FdArgs`] | optional: [`FdHandle`] it came from (listener, other end of a pair) |
//! | Fd Alias | new [`FdHandle`] | [`FdArgs`] | source [`FdHandle`] |
//! | Fd Release | [`FdHandle`] | optional: address of the stream it belonged to | |
//! | Fd Transfer | [`FdHandle`] | [`FdHandle`] of the socket that it left by | |
//! | Fd State | [`FdHandle`] | by operation | optional: second [`FdHandle`] |
//! | Thread Acquire | [`ThreadHandle`] | pthread_t | start routine |
//! | Thread State, Release | [`ThreadHandle`] | by operation (tid; 1 = by `tryjoin`) | |
//! | Process Fork | pid | fork sequence number | |
//! | Process Release | pid | wait status | |
//! | Process Exec, Exit | 0, or status | | |
//! | Heap Acquire | address | size in bytes | optional: weight as f64 bits (none = 1) |
//! | Heap Release | address | | |
//! | Mapping Acquire | address | length | prot:8, flags:24, fd:32 |
//! | Mapping Release | address | length | |
//! | Annotated Acquire, Release, State | handle | kind | |
//!
//! Strings follow as `Text` records: first the label (path, address, state name), field 0.

use crate::op::Op;

/// A record has at most this many words, header included (`words` has 4 bits).
pub const MAX_WORDS: usize = 15;
/// Payload bytes of one `Text` record: all words but the header and the length word.
pub const TEXT_BYTES: usize = (MAX_WORDS - 2) * 8;
/// Time stamps are kept in units of `1 << TIME_SHIFT` ticks of the time stamp counter.
pub const TIME_SHIFT: u32 = 6;
/// First value that no longer fits `dt`.
pub const DT_LIMIT: u64 = 1 << 26;
/// Largest stack id plus one.
pub const STACK_LIMIT: u32 = 1 << 24;

/// The first word of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderWord {
    /// Time since the base in units of `1 << TIME_SHIFT` ticks, below [`DT_LIMIT`].
    pub dt: u32,
    /// Length of the record in words, this one included: 1 to [`MAX_WORDS`].
    pub words: u8,
    /// Number of the operation, below 1024.
    pub op: u16,
    /// Stack id, 0 = none.
    pub stack: u32,
}

impl HeaderWord {
    /// A header for `op`; values out of range are cut to their fields.
    #[inline(always)]
    pub const fn new(op: Op, words: usize, stack: u32, dt: u64) -> HeaderWord {
        HeaderWord {
            dt: (dt & (DT_LIMIT - 1)) as u32,
            words: words as u8 & 15,
            op: op.number(),
            stack: stack & (STACK_LIMIT - 1),
        }
    }
    /// Its 64 bits.
    #[inline(always)]
    pub const fn pack(self) -> u64 {
        (self.dt as u64) << 38
            | (self.words as u64) << 34
            | (self.op as u64) << 24
            | self.stack as u64
    }
    /// The fields of these bits; any bits are a value, the reader decides whether it is a sensible one.
    #[inline(always)]
    pub const fn unpack(bits: u64) -> HeaderWord {
        HeaderWord {
            dt: (bits >> 38) as u32,
            words: (bits >> 34) as u8 & 15,
            op: (bits >> 24) as u16 & 0x3ff,
            stack: bits as u32 & (STACK_LIMIT - 1),
        }
    }
}

/// A descriptor's number and which of the lifetimes of that number is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FdHandle {
    /// The descriptor number.
    pub number: u32,
    /// 1, 2, … per number and image; 0 = not acquired in this image.
    pub generation: u32,
}

impl FdHandle {
    /// Its 64 bits.
    #[inline(always)]
    pub const fn pack(self) -> u64 {
        (self.generation as u64) << 32 | self.number as u64
    }
    /// From 64 bits.
    #[inline(always)]
    pub const fn unpack(bits: u64) -> FdHandle {
        FdHandle { number: bits as u32, generation: (bits >> 32) as u32 }
    }
}

/// A row of the thread table and which of the lifetimes of that row is meant.
pub type ThreadHandle = FdHandle;

/// What was asked for when a descriptor was acquired: `kind:8 | bits:8 | mode:16 | flags:32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FdArgs {
    /// Number of the [`crate::op::Kind`].
    pub kind: u8,
    /// [`FD_CLOEXEC`], [`FD_NONBLOCK`], [`FD_WRITE_END`], [`FD_STREAM`]; in a row also what came later:
    /// [`FD_EOF`], [`FD_WATCHED`], [`FD_MAPPED`].
    pub bits: u8,
    /// Permission bits of `open`, protocol of `socket`, backlog of nothing else.
    pub mode: u16,
    /// Flags of `open`, `domain:16 type:16` of a socket.
    pub flags: u32,
}
/// Closed by exec.
pub const FD_CLOEXEC: u8 = 1;
/// Does not block.
pub const FD_NONBLOCK: u8 = 2;
/// The end of a pipe that is written to.
pub const FD_WRITE_END: u8 = 4;
/// Owned by a `FILE` or `DIR`.
pub const FD_STREAM: u8 = 8;
/// A read of a socket or pipe gave nothing: its other end was closed, or shut down for writing.
pub const FD_EOF: u8 = 16;
/// Came over exec or fork into this image.
pub const FD_INHERITED: u8 = 32;
/// Member of an epoll set: waited for, though not used as long as nothing happens.
pub const FD_WATCHED: u8 = 64;
/// Was mapped into memory, where it is used without a call.
pub const FD_MAPPED: u8 = 128;

impl FdArgs {
    /// Its 64 bits.
    #[inline(always)]
    pub const fn pack(self) -> u64 {
        self.kind as u64
            | (self.bits as u64) << 8
            | (self.mode as u64) << 16
            | (self.flags as u64) << 32
    }
    /// From 64 bits.
    #[inline(always)]
    pub const fn unpack(bits: u64) -> FdArgs {
        FdArgs {
            kind: bits as u8,
            bits: (bits >> 8) as u8,
            mode: (bits >> 16) as u16,
            flags: (bits >> 32) as u32,
        }
    }
}

/// Word 1 of a `Failed` record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Number of the operation that failed.
    pub op: u16,
    /// Its errno.
    pub errno: u16,
    /// How often this (site, operation, errno) has failed up to now; an event is written at powers of two.
    pub count: u32,
}
impl Failure {
    /// Its 64 bits.
    #[inline(always)]
    pub const fn pack(self) -> u64 {
        self.op as u64 | (self.errno as u64) << 16 | (self.count as u64) << 32
    }
    /// From 64 bits.
    #[inline(always)]
    pub const fn unpack(bits: u64) -> Failure {
        Failure { op: bits as u16, errno: (bits >> 16) as u16, count: (bits >> 32) as u32 }
    }
}

/// Word 1 of a `Text` record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextWord {
    /// Bytes in this record, at most [`TEXT_BYTES`].
    pub length: u16,
    /// The next record continues the string.
    pub more: bool,
    /// Which string of the record before: 0 = its label, 1 = its second.
    pub field: u8,
}
impl TextWord {
    /// Its 64 bits.
    #[inline(always)]
    pub const fn pack(self) -> u64 {
        self.length as u64 | (self.more as u64) << 16 | (self.field as u64) << 24
    }
    /// From 64 bits.
    #[inline(always)]
    pub const fn unpack(bits: u64) -> TextWord {
        TextWord { length: bits as u16, more: bits >> 16 & 1 == 1, field: (bits >> 24) as u8 }
    }
}

const _: () = assert!(TEXT_BYTES == 104);

#[cfg(all(test, not(loom)))]
mod tests;
