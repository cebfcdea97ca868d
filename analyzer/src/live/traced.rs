//! What a traced process says of what it holds: its region, with the call sites.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use resshim_format::op::Kind;
use resshim_format::table::RowState;

use crate::collect::code_maps::CodeMaps;
use crate::collect::proc::monotonic_ns;
use crate::live::scan::targets::Target;
use crate::report::Site;
use crate::source::clock::{Clock, ClockFacts};
use crate::source::open::Access;
use crate::source::region::{Region, RegionFile, parse_file_name};
use crate::symbols::generated::GeneratedCode;
use crate::symbols::{Image, ResolvedSite, Symbols};

/// What one site holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Held {
    /// Word of the kind.
    pub kind: String,
    /// Stack id in the region: the same at each look.
    pub stack: u32,
    /// How many are live (heap: estimated, unless every block is recorded).
    pub count: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Age of the oldest, seconds.
    pub oldest_s: f64,
    /// Its call stack.
    pub site: Site,
}

/// A look at a region.
#[derive(Debug)]
pub struct Traced {
    /// What sites hold, most first.
    pub held: Vec<Held>,
    /// Of a descriptor: index in `held`, and its age.
    pub descriptors: HashMap<u32, (usize, f64)>,
    /// State, for who wants more of it.
    pub region: Region,
}

/// The region that a process writes to: it is among its mappings.
pub fn region_file(pid: u32) -> Option<PathBuf> {
    let maps = std::fs::read(format!("/proc/{pid}/maps")).ok()?;
    let maps = String::from_utf8_lossy(&maps);
    let mut paths = maps.lines().filter_map(|line| Some(&line[line.find('/')?..]));
    let found = paths.find(|path| {
        let name = path.rsplit('/').next().unwrap_or_default();
        // A child that has just been forked has its parent's mapped.
        parse_file_name(name).is_some_and(|(of, _)| of == pid)
    })?;
    Some(PathBuf::from(found))
}

/// What a traced process holds by its own account; `None`: it is not traced, or that cannot be read.
pub fn of(pid: u32) -> Option<Traced> {
    let file = RegionFile::open(&region_file(pid)?, Access::Read).ok()?;
    let region = file.read().ok()?;
    let age = ages(&region);
    let mut all = Sum::default();
    let mut descriptors = Vec::new();
    for fd in region.fds().filter(|fd| fd.state == RowState::Live && fd.site != 0) {
        let age = age(fd.acquired);
        if let Some(key) = all.add(&region, fd.site, u32::from(fd.args.kind), 1.0, 0, age) {
            descriptors.push((fd.number, key, age));
        }
    }
    for thread in region.threads().filter(|t| matches!(t.state, RowState::Live | RowState::Ended)) {
        all.add(&region, thread.site, Kind::Thread as u32, 1.0, 0, age(thread.acquired));
    }
    for child in region.children().filter(|child| child.state == RowState::Live) {
        all.add(&region, child.site, Kind::Process as u32, 1.0, 0, age(child.acquired));
    }
    for block in region.heap() {
        let weight = f64::from(block.weight) / 256.0;
        let bytes = (block.size as f64 * weight) as u64;
        all.add(&region, block.site, Kind::Heap as u32, weight, bytes, age(block.acquired));
    }
    for mapping in region.mappings() {
        let age = age(mapping.acquired);
        all.add(&region, mapping.site, Kind::Mapping as u32, 1.0, mapping.length, age);
    }
    let (held, order) = all.named(&region);
    let descriptors = descriptors
        .into_iter()
        .filter_map(|(number, key, age)| Some((number, (*order.get(&key)?, age))))
        .collect();
    Some(Traced { held, descriptors, region })
}

/// Seconds since a moment of the region's counter.
fn ages(region: &Region) -> impl Fn(u64) -> f64 + use<> {
    let header = &region.header;
    let clock = Clock::fit(&[ClockFacts {
        start_ticks: header.start_tsc,
        start_ns: header.start_monotonic_ns,
        end_ticks: header.end_tsc,
        end_ns: header.end_monotonic_ns,
        hz: header.tsc_hz,
        is_monotonic: header.clock == 1,
    }]);
    let now = clock.of_monotonic(monotonic_ns());
    move |ticks: u64| now.saturating_sub(clock.ns(ticks)) as f64 / 1e9
}

/// What a scan found, by the call sites that acquired it; most first.
pub fn by_site(region: &Region, found: &[Target]) -> Vec<Held> {
    let age = ages(region);
    let mut all = Sum::default();
    for target in found {
        let bytes = if target.is_stream { 0.0 } else { target.bytes as f64 * target.weight };
        let key = (target.kind, target.stack);
        all.add_at(key, target.weight, bytes as u64, age(target.acquired));
    }
    all.named(region).0
}

type Key = (u32, u32);

/// Sums by kind and stack: count, bytes, oldest.
#[derive(Default)]
struct Sum {
    by: BTreeMap<Key, (f64, u64, f64)>,
    stacks: HashMap<u32, Option<u32>>,
}

impl Sum {
    fn add(
        &mut self,
        region: &Region,
        site: u32,
        kind: u32,
        count: f64,
        bytes: u64,
        age: f64,
    ) -> Option<Key> {
        let stack = self.stacks.entry(site).or_insert_with(|| Some(region.site(site)?.stack));
        let key = (kind, (*stack)?);
        self.add_at(key, count, bytes, age);
        Some(key)
    }

    fn add_at(&mut self, key: Key, count: f64, bytes: u64, age: f64) {
        let sum = self.by.entry(key).or_default();
        sum.0 += count;
        sum.1 = sum.1.saturating_add(bytes);
        sum.2 = sum.2.max(age);
    }

    /// With the names of their stacks, most first; and where each of them is.
    fn named(self, region: &Region) -> (Vec<Held>, HashMap<Key, usize>) {
        let id = region.header.region_id;
        let mut symbols = Symbols::open(None);
        symbols.set_image(id, Image::of(region));
        // Of code made at run time what stands in its maps now.
        let mut batches = Vec::new();
        CodeMaps::of(&region.header).close(region, &mut |batch| {
            batches.push(batch.clone());
            true
        });
        if !batches.is_empty() {
            symbols.set_generated(id, Arc::new(GeneratedCode::of(&batches, |ns| ns)));
        }
        let stacks: Vec<_> = self.by.keys().filter_map(|(_, stack)| region.stack(*stack)).collect();
        symbols.prepare(stacks.iter().map(|stack| (id, stack)));
        let names: HashMap<u32, String> = region.kind_names().collect();
        let mut held: Vec<(Key, Held)> = self
            .by
            .into_iter()
            .map(|(key, (count, bytes, oldest_s))| {
                let stack = region.stack(key.1);
                let site: ResolvedSite =
                    stack.map_or_else(Default::default, |stack| symbols.site(id, &stack));
                let kind = match Kind::from_number(key.0) {
                    Some(kind) => kind.name().to_owned(),
                    None => names.get(&key.0).cloned().unwrap_or_default(),
                };
                let count = count.round() as u64;
                (key, Held { kind, stack: key.1, count, bytes, oldest_s, site: site.site })
            })
            .collect();
        // A hundred sites of the heap must not hide the one that leaks sockets.
        held.sort_by_key(|(_, held)| {
            let is_memory = matches!(held.kind.as_str(), "heap" | "mapping");
            (is_memory, std::cmp::Reverse(held.count))
        });
        let order = held.iter().enumerate().map(|(at, (key, _))| (*key, at)).collect();
        (held.into_iter().map(|(_, held)| held).collect(), order)
    }
}
