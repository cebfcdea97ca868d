//! How much memory the shim may take: never so much that the process's cgroup reaches its limit
//! (pages of tmpfs are charged to it, and a full one means an OOM kill, not an error).

use crate::config::{Text, parse_decimal};
use crate::private::PRIVATE;
use crate::sys;
use core::sync::atomic::Ordering;

/// Growth stops when less than this is left below the smallest limit.
const HEADROOM: u64 = 32 << 20;
/// The headroom is looked at each time this much more is wanted.
const LOOK_EVERY: u64 = 1 << 20;
/// Most of the event history.
const RING_MOST: u64 = 16 << 20;

/// Whether the region may grow beyond `promised` bytes.
pub fn allows(promised: u64) -> bool {
    let checked = PRIVATE.headroom_checked.load(Ordering::Relaxed);
    if promised < checked {
        return true;
    }
    PRIVATE.headroom_checked.store(promised + LOOK_EVERY, Ordering::Relaxed);
    // The first MiB is taken without a look: a process with few events does not read `/proc`.
    promised == 0 || is_enough()
}

/// Whether what is left below the smallest limit is enough to go on.
pub fn is_enough() -> bool {
    room().is_none_or(|room| room >= HEADROOM)
}

/// Bytes that the ring may take on this machine: 0.5 % of its, or its cgroup's, memory.
pub fn ring_bytes() -> u64 {
    (memory() / 200).min(RING_MOST)
}

/// Bytes of memory of the machine, or of the cgroup where that has less.
pub fn memory() -> u64 {
    memory_total().unwrap_or(u64::MAX).min(cgroup(|limit, _| limit).unwrap_or(u64::MAX))
}

/// Bytes left below the smallest `memory.max` of this process's cgroup and those above it.
fn room() -> Option<u64> {
    cgroup(|limit, current| limit.saturating_sub(current))
}

fn memory_total() -> Option<u64> {
    let mut buffer = [0; 256];
    let length = sys::read_file(c"/proc/meminfo", &mut buffer).ok()?;
    let line = buffer.get(..length)?.split(|byte| *byte == b'\n').next()?;
    let digits = line.strip_prefix(b"MemTotal:")?.trim_ascii().strip_suffix(b" kB")?;
    parse_decimal(digits.trim_ascii()).map(|kib| kib << 10)
}

/// Smallest `of(limit, current)` over this process's memory cgroup and those above it; `None` where
/// there is no limit that can be read.
fn cgroup(of: impl Fn(u64, u64) -> u64) -> Option<u64> {
    let mut buffer = [0; 1024];
    let length = sys::read_file(c"/proc/self/cgroup", &mut buffer).ok()?;
    let text = buffer.get(..length)?;
    let mut smallest: Option<u64> = None;
    for line in text.split(|byte| *byte == b'\n') {
        let mut fields = line.splitn(3, |byte| *byte == b':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (mount, limit, current): (&[u8], &[u8], &[u8]) = if controllers.is_empty() {
            (b"/sys/fs/cgroup", b"/memory.max", b"/memory.current")
        } else if controllers.split(|byte| *byte == b',').any(|name| name == b"memory") {
            (b"/sys/fs/cgroup/memory", b"/memory.limit_in_bytes", b"/memory.usage_in_bytes")
        } else {
            continue;
        };
        // From the process's own group up to the root.
        let mut path = path;
        for _ in 0..16 {
            path = path.strip_suffix(b"/").unwrap_or(path);
            if let (Some(limit), Some(current)) =
                (number(mount, path, limit), number(mount, path, current))
            {
                let value = of(limit, current);
                smallest = Some(smallest.map_or(value, |least| least.min(value)));
            }
            match path.iter().rposition(|byte| *byte == b'/') {
                Some(at) => path = path.get(..at).unwrap_or(&[]),
                None => break,
            }
        }
    }
    smallest
}

fn number(mount: &[u8], path: &[u8], file: &[u8]) -> Option<u64> {
    let mut name: Text<512> = Text::EMPTY;
    if !(name.push(mount) && name.push(path) && name.push(file)) {
        return None;
    }
    let mut buffer = [0; 32];
    let length = sys::read_file(name.c_str()?, &mut buffer).ok()?;
    // `max` is no number: no limit here.
    parse_decimal(buffer.get(..length)?.trim_ascii())
}
