//! What a scan looks for: addresses that only pointers in the process's memory can give back.

use resshim_format::op::Kind;
use resshim_format::table::RowState;

use crate::source::region::Region;

/// Of a pointer only so many bits are an address; the rest can be a tag.
const ADDRESS: u64 = 0x0000_ffff_ffff_ffff;
/// Bytes of glibc's `FILE`.
const FILE_BYTES: u64 = 216;
/// Where in a `FILE` the pointer to the next one of libc's own list is.
pub const FILE_CHAIN: u64 = 104;

/// What stands at an address.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// First address.
    pub start: u64,
    /// Bytes.
    pub bytes: u64,
    /// Kind: heap, or that of a stream's descriptor.
    pub kind: u32,
    /// Stack that acquired it.
    pub stack: u32,
    /// Counter when it was acquired: with `start` it names one lifetime.
    pub acquired: u64,
    /// Blocks it stands for.
    pub weight: f64,
    /// `FILE` or `DIR`.
    pub is_stream: bool,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// By first address; blocks do not overlap.
    pub blocks: Vec<Target>,
    /// Streams: each may lie in a block.
    pub streams: Vec<Target>,
    low: u64,
    high: u64,
}

impl Targets {
    /// What a region says is live.
    pub fn of(region: &Region) -> Targets {
        let stack = |site: u32| region.site(site).map_or(0, |site| site.stack);
        let blocks = region.heap().filter(|block| block.address != 0).map(|block| Target {
            start: block.address,
            bytes: block.size,
            kind: Kind::Heap as u32,
            stack: stack(block.site),
            acquired: block.acquired,
            weight: f64::from(block.weight) / 256.0,
            is_stream: false,
        });
        let live = region.fds().filter(|fd| fd.state == RowState::Live && fd.stream != 0);
        let streams = live.map(|fd| Target {
            start: fd.stream,
            bytes: if u32::from(fd.args.kind) == Kind::Dir as u32 { 1 } else { FILE_BYTES },
            kind: fd.args.kind.into(),
            stack: stack(fd.site),
            acquired: fd.acquired,
            weight: 1.0,
            is_stream: true,
        });
        Targets::from(blocks.collect(), streams.collect())
    }

    /// Of these.
    pub fn from(mut blocks: Vec<Target>, mut streams: Vec<Target>) -> Targets {
        let by_start = |a: &Target, b: &Target| a.start.cmp(&b.start);
        blocks.sort_by(by_start);
        blocks.dedup_by_key(|target| target.start);
        streams.sort_by(by_start);
        streams.dedup_by_key(|target| target.start);
        let all = || blocks.iter().chain(&streams);
        let low = all().map(|target| target.start).min().unwrap_or(u64::MAX);
        let high = all().map(|target| target.start.saturating_add(target.bytes)).max();
        Targets { low, high: high.unwrap_or(0), blocks, streams }
    }

    /// How many there are: blocks come first, streams behind them.
    pub fn len(&self) -> usize {
        self.blocks.len() + self.streams.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The target of this index.
    pub fn get(&self, index: usize) -> Option<&Target> {
        self.blocks.get(index).or_else(|| self.streams.get(index.checked_sub(self.blocks.len())?))
    }

    /// Indices of what a word points into, as a block and as a stream. A pointer one past the end counts.
    #[inline]
    pub fn pointed_at(&self, word: u64) -> [Option<usize>; 2] {
        let address = word & ADDRESS;
        if address < self.low || address > self.high {
            return [None; 2];
        }
        let of = |targets: &[Target]| {
            let at = targets.partition_point(|target| target.start <= address).checked_sub(1)?;
            let target = targets.get(at)?;
            (address - target.start <= target.bytes).then_some(at)
        };
        [of(&self.blocks), of(&self.streams).map(|at| at + self.blocks.len())]
    }

    /// The block that an address lies in.
    pub fn block_at(&self, address: u64) -> Option<usize> {
        let at = self.blocks.partition_point(|target| target.start <= address).checked_sub(1)?;
        let target = self.blocks.get(at)?;
        (address - target.start < target.bytes).then_some(at)
    }

    /// Whether this is where libc links a stream to the next one of all.
    pub fn is_chain(&self, address: u64) -> bool {
        let start = address.wrapping_sub(FILE_CHAIN);
        self.streams.binary_search_by_key(&start, |target| target.start).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_inner_addresses_point_at_a_block() {
        let block = |start, bytes| Target {
            start,
            bytes,
            kind: 23,
            stack: 1,
            acquired: 0,
            weight: 1.0,
            is_stream: false,
        };
        let targets = Targets::from(vec![block(0x2000, 0x20), block(0x1000, 0x10)], Vec::new());
        assert_eq!(targets.pointed_at(0x1000)[0], Some(0));
        assert_eq!(targets.pointed_at(0x200f)[0], Some(1), "four low bits");
        assert_eq!(targets.pointed_at(0xabcd_0000_0000_2000)[0], Some(1), "sixteen high bits");
        assert_eq!(targets.pointed_at(0x1010)[0], Some(0), "one past its end");
        assert_eq!(targets.pointed_at(0x1011)[0].or(targets.pointed_at(0)[0]), None);
        assert_eq!((targets.block_at(0x100f), targets.block_at(0x1010)), (Some(0), None));
    }
}
