//! The names of a trace: from its tables, from the files on this machine, from what it has stored.
//!
//! They are resolved when a trace is closed, whoever reads it later and whatever is asked then: the
//! program may be another one by that time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use resshim_format::op::{Kind, Op};

use crate::analysis::{Names, StackRef};
use crate::collect::code_maps::CodeMaps;
use crate::error::Result;
use crate::model::Model;
use crate::model::kind::KindId;
use crate::model::resource::SiteStats;
use crate::report::Diagnostic;
use crate::source::generated;
use crate::source::rows::Stack;
use crate::source::trace::{Trace, TraceRegion};
use crate::symbols::generated::GeneratedCode;
use crate::symbols::{self, ResolvedSite, Symbols};

/// Stacks whose names are stored without anybody asking for them.
const MOST_STACKS: usize = 100_000;

/// Resolves the names of a trace that was closed just now, and stores them in it.
///
/// # Errors
/// Where it is no trace, or nothing of it can be read.
pub fn store_names(path: &Path) -> Result<()> {
    let trace = Trace::open(path)?;
    TraceNames::of(path, &trace).keep(true);
    Ok(())
}

/// Gives names to the stacks of a trace.
pub(super) struct TraceNames<'t> {
    symbols: Symbols,
    regions: &'t [TraceRegion],
    /// When each stack was seen first, where code made at run time has names: by region and stack.
    first_seen: HashMap<(u64, u32), u64>,
    /// The trace has stored names.
    has_stored: bool,
    /// Descriptors that threads of a runtime's own acquired for the program, by image.
    for_others: HashMap<u32, u64>,
}

impl<'t> TraceNames<'t> {
    /// Of the trace at `path`.
    pub(super) fn of(path: &Path, trace: &'t Trace) -> TraceNames<'t> {
        let has_store = trace.manifest.is_some();
        let mut symbols = Symbols::open(has_store.then_some(path));
        for region in &trace.regions {
            symbols.set_image(region.state.header.region_id, symbols::Image::of(&region.state));
        }
        let has_stored = has_store && path.join(symbols::stored::FILE).exists();
        let regions = &trace.regions;
        let (first_seen, for_others) = Default::default();
        let mut names = TraceNames { symbols, regions, first_seen, has_stored, for_others };
        names.take_generated(path, trace);
        names
    }

    /// Names of code that was made at run time: those that a collector stored, else, of processes that no
    /// collector looks after, those that stand in their maps now.
    fn take_generated(&mut self, path: &Path, trace: &Trace) {
        let mut known: HashMap<u64, Arc<GeneratedCode>> = HashMap::new();
        for region in &trace.regions {
            let header = &region.state.header;
            let mut batches = generated::read(path, header.region_id);
            if batches.is_empty() && region.file.is_some() {
                CodeMaps::of(header).close(&region.state, &mut |batch| {
                    batches.push(batch.clone());
                    true
                });
            }
            let code = match batches.is_empty() {
                // A fork child runs what its parent had compiled.
                true => known.get(&header.parent_region).cloned(),
                false => {
                    let time = |ns| trace.clock.of_monotonic(ns);
                    Some(Arc::new(GeneratedCode::of(&batches, time)))
                }
            };
            let Some(code) = code else { continue };
            for site in region.state.sites() {
                let first = trace.clock.ns(site.first);
                let seen = self.first_seen.entry((header.region_id, site.stack)).or_insert(first);
                *seen = first.min(*seen);
            }
            self.symbols.set_generated(header.region_id, code.clone());
            known.insert(header.region_id, code);
        }
    }

    /// Whether code made at run time in an image has names; of one that told nothing, nobody asks.
    pub(super) fn has_generated(&self, image: usize) -> bool {
        let region = self.regions.get(image);
        region.is_none_or(|region| self.symbols.has_generated(region.state.header.region_id))
    }

    /// For each site the first that is the same line of the program, by the names of its frames.
    pub(super) fn same_sites(&mut self, model: &Model) -> Vec<u32> {
        let mut same: Vec<u32> = (0..model.sites.len() as u32).collect();
        let is_asked = |names: &Self, site: &SiteStats| {
            let region = names.regions.get(site.image as usize);
            let id = region.map_or(0, |region| region.state.header.region_id);
            site.stack != 0 && names.symbols.has_generated(id)
        };
        let asked: Vec<usize> =
            (0..model.sites.len()).filter(|index| is_asked(self, &model.sites[*index])).collect();
        let at = |index: &usize| {
            let site = &model.sites[*index];
            StackRef { image: site.image, stack: site.stack }
        };
        self.prepare(&asked.iter().map(at).collect::<Vec<_>>());
        let mut alike: HashMap<(u32, KindId, Option<Op>, String), Vec<Placed>> = HashMap::new();
        for index in &asked {
            let site = &model.sites[*index];
            let resolved = self.site(at(index));
            let exe = model.images.get(site.image as usize).map_or("", |image| &image.exe);
            let kind = Kind::from_name(model.kind_names.name(site.kind));
            let is_asked_for = matches!(kind, Some(Kind::File | Kind::Dir));
            if is_asked_for && resolved.is_for_others(exe) {
                *self.for_others.entry(site.image).or_default() += site.acquired;
            }
            if let Some(likeness) = resolved.likeness() {
                let (codes, calls) = resolved.codes.into_iter().unzip();
                let key = (site.image, site.kind, site.op, likeness);
                alike.entry(key).or_default().push(Placed { index: *index as u32, codes, calls });
            }
        }
        for placed in alike.into_values() {
            put_together(placed, &mut same);
        }
        same
    }

    /// How many files and directories threads of a runtime's own opened in an image, none of whose functions is
    /// then on the stack: what else such threads acquire (loops and their wake-ups) nobody has asked for. Known after [`TraceNames::same_sites`].
    pub(super) fn acquired_for_others(&self, image: usize) -> u64 {
        self.for_others.get(&(image as u32)).copied().unwrap_or(0)
    }

    /// What kept binaries from giving names.
    pub(super) fn diagnostics(&self) -> Vec<Diagnostic> {
        self.symbols.diagnostics()
    }

    /// Stores what was resolved; of a trace that is closed and has no names yet, all of its stacks.
    pub(super) fn keep(&mut self, is_closed: bool) {
        if is_closed && !self.has_stored {
            let regions = self.regions;
            let known = |region: &'t TraceRegion, id| {
                Some((region.state.header.region_id, region.state.stack(id)?))
            };
            // Where there are too many, those that acquired something come first.
            let mut seen = HashSet::new();
            let sites = regions.iter().flat_map(|r| r.state.sites().map(move |s| (r, s.stack)));
            let all = regions.iter().flat_map(|r| r.state.stack_ids().map(move |id| (r, id)));
            let stacks: Vec<(u64, Stack)> = sites
                .chain(all)
                .filter(|(region, id)| seen.insert((region.state.header.region_id, *id)))
                .filter_map(|(region, id)| known(region, id))
                .take(MOST_STACKS)
                .collect();
            self.symbols.prepare(stacks.iter().map(|(region, stack)| (*region, stack)));
        }
        self.symbols.save();
    }

    fn stack(&self, at: StackRef) -> Option<(u64, Stack)> {
        let region = self.regions.get(at.image as usize)?;
        Some((region.state.header.region_id, region.state.stack(at.stack)?))
    }
}

/// A site whose stack leads through code made at run time.
struct Placed {
    /// Of the model's sites.
    index: u32,
    /// Where the code of each frame begins.
    codes: Vec<u64>,
    /// Where in its code each frame's call is.
    calls: Vec<u64>,
}

/// Of sites with the same names, which are the same. Two calls at different places of the same codes are
/// two, however alike their names: one of a function and one of another that was compiled into it, or two
/// lines of one. When all is compiled again, as many calls are the same ones, in their order.
fn put_together(placed: Vec<Placed>, same: &mut [u32]) {
    let mut compilations: HashMap<Vec<u64>, BTreeMap<Vec<u64>, Vec<u32>>> = HashMap::new();
    for site in placed {
        let calls = compilations.entry(site.codes).or_default();
        calls.entry(site.calls).or_default().push(site.index);
    }
    let mut ranked: HashMap<(usize, usize), Vec<u32>> = HashMap::new();
    for calls in compilations.into_values() {
        let count = calls.len();
        for (rank, indices) in calls.into_values().enumerate() {
            ranked.entry((count, rank)).or_default().extend(indices);
        }
    }
    for indices in ranked.into_values() {
        let first = indices.iter().min().copied().unwrap_or(0);
        indices.iter().for_each(|index| same[*index as usize] = first);
    }
}

impl Names for TraceNames<'_> {
    fn prepare(&mut self, stacks: &[StackRef]) {
        let found: Vec<_> = stacks.iter().filter_map(|at| self.stack(*at)).collect();
        self.symbols.prepare(found.iter().map(|(region, stack)| (*region, stack)));
    }

    fn site(&mut self, at: StackRef) -> ResolvedSite {
        match self.stack(at) {
            Some((region, stack)) => {
                let seen = self.first_seen.get(&(region, at.stack)).copied();
                self.symbols.site_seen(region, &stack, seen)
            }
            None => ResolvedSite::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_at_different_places_of_one_code_stay_apart_when_it_is_compiled_again() {
        let of = |index, codes: &[u64], calls: &[u64]| Placed {
            index,
            codes: codes.to_vec(),
            calls: calls.to_vec(),
        };
        let together = |placed: Vec<Placed>| {
            let mut same: Vec<u32> = (0..placed.len() as u32).collect();
            put_together(placed, &mut same);
            same
        };
        // One call, compiled three times, once with another native way to it.
        let once = vec![of(0, &[1, 9], &[4, 4]), of(1, &[2, 9], &[8, 4]), of(2, &[1, 9], &[4, 4])];
        assert_eq!(together(once), [0, 0, 0]);
        // Two calls, compiled twice.
        let twice =
            vec![of(0, &[1], &[4]), of(1, &[1], &[8]), of(2, &[5], &[30]), of(3, &[5], &[7])];
        assert_eq!(together(twice), [0, 1, 1, 0]);
        // Which of the two it is that was met in the first code is not known.
        let unknown = vec![of(0, &[1], &[4]), of(1, &[2], &[4]), of(2, &[2], &[8])];
        assert_eq!(together(unknown), [0, 1, 2]);
    }
}
