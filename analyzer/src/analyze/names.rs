//! The names of a trace: from its tables, from the files on this machine, from what it has stored.
//!
//! They are resolved when a trace is closed, whoever reads it later and whatever is asked then: the
//! program may be another one by that time.

use std::collections::HashSet;
use std::path::Path;

use crate::analysis::{Names, StackRef};
use crate::error::Result;
use crate::report::Diagnostic;
use crate::source::rows::Stack;
use crate::source::trace::{Trace, TraceRegion};
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
    /// The trace has stored names.
    has_stored: bool,
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
        TraceNames { symbols, regions: &trace.regions, has_stored }
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

impl Names for TraceNames<'_> {
    fn prepare(&mut self, stacks: &[StackRef]) {
        let found: Vec<_> = stacks.iter().filter_map(|at| self.stack(*at)).collect();
        self.symbols.prepare(found.iter().map(|(region, stack)| (*region, stack)));
    }

    fn site(&mut self, at: StackRef) -> ResolvedSite {
        match self.stack(at) {
            Some((region, stack)) => self.symbols.site(region, &stack),
            None => ResolvedSite::default(),
        }
    }
}
