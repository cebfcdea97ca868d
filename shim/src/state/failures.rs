//! Failing calls, which come in storms: each is counted, an event is written at powers of two.

use crate::emit::Inside;
use crate::index::hash;
use crate::private::PRIVATE;
use crate::start;
use core::sync::atomic::Ordering;
use resshim_format::op::{Effect, Kind, Op};
use resshim_format::record::Failure;
use resshim_format::table::FailureRow;

/// A call of `op` failed with the errno that `inside` keeps. `words` are those of its record.
pub fn failed(inside: &Inside, op: Op, kind: Kind, words: [u64; 2], label: &[u8]) {
    failed_with(inside, inside.errno, op, kind, words, label);
}

/// The same where the call returns its error number instead of setting errno.
pub fn failed_with(inside: &Inside, errno: i32, op: Op, kind: Kind, words: [u64; 2], label: &[u8]) {
    let region = inside.region;
    let stack = inside.stack(start::settings().stack_depth);
    let key = (op.number() as u64) << 48 | (errno as u64 & 0xffff) << 32 | stack as u64;
    let same = |index: u32| {
        region.row::<FailureRow>(index).is_some_and(|row| row.key.load(Ordering::Relaxed) == key)
    };
    let row = PRIVATE.failures.find_or_insert(hash(key), same, || {
        let (index, row) = region.next_row::<FailureRow>()?;
        row.first.store(inside.now, Ordering::Relaxed);
        row.kind.store(kind as u32, Ordering::Relaxed);
        row.key.store(key, Ordering::Release);
        Some(index)
    });
    let mut count = 1;
    if let Some(row) = row.and_then(|index| region.row::<FailureRow>(index)) {
        count = row.count.fetch_add(1, Ordering::Relaxed) + 1;
        row.last.store(inside.now, Ordering::Relaxed);
    }
    if !count.is_power_of_two() {
        return;
    }
    let failure = Failure { op: op.number(), errno: errno as u16, count: count as u32 };
    inside.write(Op::Failed, stack, &[failure.pack(), words[0], words[1]], &[label]);
    let shortage = match errno {
        libc::EMFILE | libc::ENFILE | libc::ENOMEM => true,
        // For descriptors it only means "not now".
        libc::EAGAIN => !matches!(kind.class(), resshim_format::op::Class::Fd),
        _ => false,
    };
    if count == 1
        && shortage
        && matches!(op.effect(), Effect::Acquire | Effect::Alias | Effect::Fork)
    {
        super::freeze(region, kind);
    }
}
