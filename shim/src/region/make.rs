//! Makes the region: picks a layout, maps the file, writes the header.
//!
//! What went wrong is a status, an index row and a count in the quota page, never an error of the
//! traced program.

use super::{Region, live};
use crate::config::{Text, parse_decimal};
use crate::layout::{CHUNKS, LARGE, PAGE, SMALL, TABLES, numbered};
use crate::private::{PRIVATE, Status};
use crate::{quota, start, sys};
use core::sync::atomic::{AtomicU32, Ordering};
use resshim_format::header::{
    DIRECTORY_OFFSET, Header, MAGIC, STATES_OFFSET, STRINGS_END, STRINGS_OFFSET, Table, Tag,
    VERSION,
};
use resshim_format::index::{IndexEvent, REGION_SUFFIX};
use resshim_format::ring::CHUNK_BYTES;
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::process::Resource;

/// Set before anything is stored in the private state.
pub(super) static WAS_BEGUN: AtomicU32 = AtomicU32::new(0);

/// Events that go unseen before a region that could not be had for want of a descriptor is tried for again.
const PATIENCE: u64 = 16;

#[cold]
pub(super) fn make() -> Option<Region> {
    WAS_BEGUN.store(1, Ordering::Relaxed);
    let status = PRIVATE.status();
    if status != Status::Live && crate::seal::is_sealed() {
        // A fork child behind a seccomp filter: asking for anything could kill it.
        PRIVATE.unseen.fetch_add(1, Ordering::Relaxed);
        return None;
    }
    if status != Status::None {
        // Another thread makes it (nobody waits), or it cannot be had.
        if status == Status::Live {
            return live();
        }
        let unseen = PRIVATE.unseen.fetch_add(1, Ordering::Relaxed) + 1;
        let again = status == Status::Refused
            && PRIVATE.may_come_later.load(Ordering::Relaxed) != 0
            && unseen >= PATIENCE
            && unseen.is_power_of_two();
        if !again {
            return None;
        }
    }
    let (from, to) = (status as u32, Status::Making as u32);
    let claimed =
        PRIVATE.status.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok();
    if !claimed {
        return live();
    }
    let status = match create() {
        Ok(()) => Status::Live,
        Err(errno) => {
            refused(errno);
            Status::Refused
        }
    };
    PRIVATE.status.store(status as u32, Ordering::Release);
    let region = live();
    if let Some(region) = region {
        crate::state::begin(region);
    }
    region
}

fn refused(errno: i32) {
    let later = errno == libc::EMFILE || errno == libc::ENFILE;
    PRIVATE.may_come_later.store(u32::from(later), Ordering::Relaxed);
    quota::note_refused();
    start::append_index(IndexEvent::Refused, 0, errno as u32);
}

/// The layout that the limits of this process have room for.
fn layout() -> Option<u32> {
    let file = sys::file_size_limit();
    let memory = match sys::limit(Resource::As) {
        u64::MAX => u64::MAX,
        // The program was given this limit for itself: most of what is left stays its own.
        limit => limit.saturating_sub(address_space()?) / 4,
    };
    let room = file.min(memory);
    [LARGE, SMALL].into_iter().find(|number| numbered(*number).reserve as u64 <= room)
}

/// Bytes of address space in use.
fn address_space() -> Option<u64> {
    let mut buffer = [0; 128];
    let length = sys::read_file(c"/proc/self/statm", &mut buffer).ok()?;
    let pages = buffer.get(..length)?.split(|byte| *byte == b' ').next()?;
    parse_decimal(pages)?.checked_mul(PAGE as u64)
}

/// Name of the file of region `id` of process `pid`.
pub fn file_name(pid: u32, id: u64) -> Text<64> {
    let mut name: Text<64> = Text::EMPTY;
    let _ = name.push_decimal(pid as u64)
        && name.push(b"-")
        && name.push_hex(id)
        && name.push(REGION_SUFFIX.as_bytes());
    name
}

fn create() -> Result<(), i32> {
    let began = (sys::counter(), sys::monotonic_ns());
    let identity = start::identity();
    let seen = start::settings();
    // SAFETY: `PRIVATE` is whole pages of our own zero-initialised memory. Where the kernel has no
    // such advice, only children of raw `clone` would be mistaken for their parent.
    let _ = unsafe {
        sys::wipe_on_fork((&raw const PRIVATE).cast_mut().cast(), core::mem::size_of_val(&PRIVATE))
    };
    let pid = sys::pid();
    let ticks = start::ticks_of(pid);
    PRIVATE.pid.store(pid, Ordering::Relaxed);
    PRIVATE.start_ticks.store(ticks, Ordering::Relaxed);

    let directory = start::directory().ok_or(libc::EACCES)?;
    quota::open(directory.as_fd());
    // A longer file would raise SIGXFSZ, a larger mapping would take what the program needs.
    let number = layout().ok_or(libc::ENOMEM)?;
    let layout = numbered(number);
    if !quota::make_room(directory.as_fd()) {
        return Err(libc::ENOMEM);
    }
    let id = identity.region_for(pid);
    PRIVATE.region_id.store(id, Ordering::Relaxed);
    let mut name = file_name(pid, id);
    let name = name.c_str().ok_or(libc::ENAMETOOLONG)?;
    let mut file = sys::create(directory.as_fd(), name).map_err(Errno::raw_os_error)?;
    // The lock lives as long as the mapping: who finds the file asks it whether its owner lives. Who
    // found it before the lock was there may have taken it for a dead one's.
    if sys::lock_shared(&file).is_err() {
        let _ = sys::unlink(directory.as_fd(), name);
        file = sys::create(directory.as_fd(), name).map_err(Errno::raw_os_error)?;
        let _ = sys::lock_shared(&file);
    }
    let mapped = sys::set_length(&file, layout.reserve as u64)
        .and_then(|()| sys::map_shared(&file, layout.reserve));
    let base = mapped.map_err(|errno| {
        let _ = sys::unlink(directory.as_fd(), name);
        errno.raw_os_error()
    })?;
    PRIVATE.layout.store(number, Ordering::Relaxed);
    PRIVATE.base.store(base.as_ptr() as usize, Ordering::Relaxed);
    let region = Region { base: base.as_ptr(), layout };
    let mut fixed = false;
    let begun = region.ensure(0, HEAD_BYTES) || {
        // SAFETY: the first page of the mapping.
        fixed = unsafe { sys::populate(base.as_ptr(), PAGE) } == Err(Errno::INVAL);
        fixed && region.reserve(&file)
    };
    drop(file);
    if !begun {
        // SAFETY: nobody has seen this mapping yet.
        unsafe { sys::unmap(base, layout.reserve) };
        let _ = sys::unlink(directory.as_fd(), name);
        // What was found there holds for this file alone.
        PRIVATE.no_growth.store(0, Ordering::Relaxed);
        return Err(libc::ENOSPC);
    }
    let most = if fixed { FIXED_CHUNKS } else { layout.chunks } as u64;
    let chunk_limit = match seen.ring_bytes {
        0 => most,
        bytes => (bytes / CHUNK_BYTES as u64).clamp(4, most),
    } as u32;
    PRIVATE.chunk_limit.store(chunk_limit, Ordering::Relaxed);
    PRIVATE.incarnation.store(start::next_incarnation(), Ordering::Relaxed);
    region.write_head(&identity, (pid, ticks), id, chunk_limit, began);
    if !quota::allows_chunks() {
        region.note_refusal(4);
    }
    if fixed {
        region.note_refusal(FIXED);
        PRIVATE.chunks.store(chunk_limit, Ordering::Relaxed);
        region.header().chunks_populated.store(chunk_limit, Ordering::Relaxed);
    }
    if identity.is_fork_child(pid) {
        start::append_index(IndexEvent::Child, id, 0);
    }
    Ok(())
}

/// Header, control page, directory, states of chunks.
const HEAD_BYTES: usize = STATES_OFFSET + CHUNKS * 8;
/// Why a region does not grow: the kernel (before Linux 5.14) can promise nothing once the file is closed.
const FIXED: u32 = 16;
/// Chunks of a region that cannot grow.
const FIXED_CHUNKS: usize = 32;
/// Most bytes of each of its tables.
const FIXED_TABLE: usize = 64 << 10;

impl Region {
    /// Promises a megabyte for good: where pages cannot be promised as they are needed.
    fn reserve(self, file: &sys::Descriptor) -> bool {
        let tables = self.layout.offsets.windows(2).filter_map(|ends| match ends {
            [start, end] => Some((*start, (end - start).min(FIXED_TABLE))),
            _ => None,
        });
        let chunks = (self.layout.chunks_offset(), FIXED_CHUNKS * CHUNK_BYTES);
        for (offset, bytes) in tables.chain([(0, HEAD_BYTES), chunks]) {
            if sys::reserve(file, offset as u64, bytes as u64).is_err() {
                return false;
            }
            self.note_promised(offset / PAGE, bytes.div_ceil(PAGE));
        }
        PRIVATE.no_growth.store(FIXED, Ordering::Relaxed);
        true
    }

    /// `began` is counter and monotonic time when the region began to be made: with those of now
    /// they tell the counter's rate, roughly, of a process that is killed right after.
    fn write_head(
        self,
        identity: &start::Identity,
        (pid, ticks): (u32, u64),
        id: u64,
        chunks: u32,
        began: (u64, u64),
    ) {
        for (index, (kind, bytes, _)) in TABLES.iter().enumerate() {
            let (Some(rows), Some(offset)) =
                (self.layout.rows.get(index), self.layout.offsets.get(index))
            else {
                return;
            };
            let table = Table {
                kind: *kind as u32,
                row_bytes: *bytes as u32,
                capacity: *rows as u32,
                populated: AtomicU32::new(0),
                offset: *offset as u64,
                used: AtomicU32::new(0),
                refused: AtomicU32::new(0),
            };
            // SAFETY: inside the promised head; nobody reads before the magic is there.
            unsafe { self.base.add(DIRECTORY_OFFSET).cast::<Table>().add(index).write(table) };
        }
        let settings = start::settings();
        let control = self.control();
        for (to, from) in control.levels.iter().zip(settings.levels) {
            to.store(from, Ordering::Relaxed);
        }
        control.heap_mean.store(settings.heap_mean, Ordering::Relaxed);
        control.next_fill.store(1, Ordering::Relaxed);
        self.write_strings(settings);
        let header = self.base.cast::<Header>();
        // SAFETY: as above; fields are written one by one since the rest is zero already.
        unsafe {
            macro_rules! put {
                ($($field:ident = $value:expr;)*) => { $((&raw mut (*header).$field).write($value);)* };
            }
            put! {
                version = VERSION;
                header_bytes = core::mem::size_of::<Header>() as u32;
                region_id = id;
                parent_region = identity.parent_region(pid);
                parent_fork = identity.parent_fork(pid);
                pid = pid;
                parent_pid = sys::parent_pid();
                start_ticks = ticks;
                start_tsc = began.0;
                start_monotonic_ns = began.1;
                start_realtime_ns = sys::realtime_ns();
                reserve_bytes = self.layout.reserve as u32;
                chunks_offset = self.layout.chunks_offset() as u32;
                chunk_bytes = CHUNK_BYTES as u32;
                chunk_limit = chunks;
                euid = sys::euid();
                heap_mean = settings.heap_mean;
                limit_nofile = sys::limit(rustix::process::Resource::Nofile);
                limit_nproc = sys::limit(rustix::process::Resource::Nproc);
            }
        }
        let header = self.header();
        header.end_tsc.store(sys::counter(), Ordering::Relaxed);
        header.end_monotonic_ns.store(sys::monotonic_ns(), Ordering::Relaxed);
        header.magic.store(MAGIC, Ordering::Release);
    }

    /// Adds a string to the header; what does not fit is left out.
    fn write_strings(self, settings: &crate::config::Config) {
        let mut at = STRINGS_OFFSET;
        start::strings(settings, |tag: Tag, bytes: &[u8]| {
            let bytes = bytes.get(..1024).unwrap_or(bytes);
            if at + 4 + bytes.len() + 4 > STRINGS_END {
                return;
            }
            // SAFETY: between `STRINGS_OFFSET` and `STRINGS_END` in the promised header page.
            unsafe {
                let to = self.base.add(at);
                to.cast::<[u8; 2]>().write((tag as u16).to_le_bytes());
                to.add(2).cast::<[u8; 2]>().write((bytes.len() as u16).to_le_bytes());
                to.add(4).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            }
            at += 4 + bytes.len();
        });
    }
}
