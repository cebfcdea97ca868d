//! What there is to say of code that was made at run time: what `run` did for its names, what they cost,
//! where there are none.

use resshim_format::header::FACT_OWN_MAP;

use super::names::TraceNames;
use crate::collect::code_maps::MOST_BYTES;
use crate::model::Model;
use crate::model::runtimes::has_perf_map;
use crate::report::Diagnostic;
use crate::source::trace::Trace;
use crate::symbols::user::interpreter_name;
use crate::view::quantity::{bytes, plural};

/// A map that is larger costs more than most would think.
const LARGE_BYTES: u64 = 64 << 20;

/// Sentences of a report.
pub(super) fn diagnostics(trace: &Trace, model: &Model) -> Vec<Diagnostic> {
    let mut out = Vec::new();
    let mut say = |level: &str, text| out.push(Diagnostic { level: level.to_owned(), text });
    let hooks = trace.manifest.iter().flat_map(|manifest| &manifest.runtime_hooks);
    for hook in hooks {
        // Set for every process, of use to some: who runs none of it need not know.
        let runs =
            |exe: &str| interpreter_name(exe).is_some_and(|name| name.starts_with(&hook.runtime));
        if model.images.iter().any(|image| image.pid != 0 && runs(&image.exe)) {
            say(if hook.is_on { "info" } else { "warning" }, hook.text.clone());
        }
    }
    for region in &trace.regions {
        let read = region.facts.as_ref().map_or(0, |facts| facts.code_map_bytes);
        if read < LARGE_BYTES {
            continue;
        }
        let header = &region.state.header;
        let off = match header.facts & FACT_OWN_MAP != 0 {
            true => "`run --no-runtime-hooks` switches it off",
            false => "it is the option of the program's own runtime that switches it off",
        };
        let cut = if read >= MOST_BYTES { ", of which no more was read" } else { "" };
        let text = format!(
            "process {} has written {} of names of compiled functions{cut}: one more with each function \
             that is compiled again. They cost that room and the time to write them; {off}, and such \
             functions have no names then",
            header.pid,
            bytes(read)
        );
        say("warning", text);
    }
    out
}

/// What is not visible of an image because nothing names the code that its runtime makes.
pub(super) fn not_visible(image: usize, exe: &str, names: &TraceNames) -> Option<String> {
    let name = interpreter_name(exe).filter(|name| has_perf_map(name))?;
    if !names.has_generated(image) {
        return Some(format!(
            "frames: functions of the program that {name} runs are not known: it wrote no perf map"
        ));
    }
    let count = names.acquired_for_others(image);
    let what = plural(count, "descriptor was", "descriptors were");
    (count > 0).then(|| {
        format!(
            "frames: {what} acquired in {name}'s own threads; which functions asked is not known"
        )
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use resshim_format::header::{End, Tag};
    use resshim_format::op::{Kind, Op};
    use resshim_format::table::{FdRow, RowState, SiteRow, TableType};

    use super::super::{Options, analyze};
    use super::*;
    use crate::source::generated::{Batch, append};
    use crate::source::manifest::{Manifest, ProcessFacts, RuntimeHook, region_path};
    use crate::source::open::Access;
    use crate::source::region::RegionFile;
    use crate::source::region::fixture::{Fixture, directory};

    const REGION: u64 = 0x77;
    /// A pid that no process has.
    const DEAD: u32 = (1 << 22) - 1;

    /// A node that has opened six files in a function that was compiled in between, three before and three
    /// behind that, and holds two.
    fn trace(name: &str, codes: &[(u64, &str)], facts: ProcessFacts) -> PathBuf {
        let trace = directory(name);
        let live = trace.join("live");
        fs::create_dir_all(&live).unwrap();
        fs::create_dir(trace.join("regions")).unwrap();
        let mut fixture = Fixture::new(DEAD, REGION);
        fixture.string(Tag::Exe, "/usr/bin/node");
        fixture.header(|header| {
            header.start_tsc = 1000;
            header.start_monotonic_ns = 1000;
            *header.end.get_mut() = End::Exited as u32;
            *header.end_tsc.get_mut() = 9_000_000;
            *header.end_monotonic_ns.get_mut() = 9_000_000;
        });
        for (index, address) in [(1, 0x10_0010), (2, 0x20_0010)] {
            let stack = fixture.stack(&[address, 0x30_0010]);
            fixture.row(TableType::Sites, index, |row: &mut SiteRow| {
                *row.stack.get_mut() = stack;
                *row.kind.get_mut() = Kind::File as u32;
                *row.acquired.get_mut() = 3;
                *row.released.get_mut() = 2;
                *row.first_tsc.get_mut() = 2000;
                *row.bucket_shift.get_mut() = 22;
            });
            fixture.row(TableType::Fds, 10 + index, |row: &mut FdRow| {
                *row.state.get_mut() = RowState::Live.word(1);
                *row.args.get_mut() = Kind::File as u64;
                *row.op.get_mut() = Op::Open.number() as u32;
                *row.site.get_mut() = index;
            });
        }
        let file = RegionFile::open(&fixture.write(&live), Access::Read).unwrap();
        let mut state = Vec::new();
        file.read().unwrap().store(&mut state).unwrap();
        fs::write(region_path(&trace, REGION), state).unwrap();
        fs::remove_dir_all(live).unwrap();
        let batch = Batch {
            strings: codes.iter().map(|code| code.1.to_owned()).collect(),
            starts: codes.iter().map(|code| code.0).collect(),
            sizes: codes.iter().map(|_| 0x100).collect(),
            names: (0..codes.len() as u32).collect(),
            ..Batch::default()
        };
        append(&trace, REGION, &batch).unwrap();
        ProcessFacts { region: REGION, ..facts }.write(&trace).unwrap();
        let hook = |runtime: &str| RuntimeHook {
            runtime: runtime.into(),
            is_on: true,
            text: format!("{runtime} was asked"),
        };
        let manifest = Manifest {
            format_version: 1,
            complete: true,
            runtime_hooks: vec![hook("node"), hook("java")],
            ..Manifest::default()
        };
        manifest.write(&trace).unwrap();
        trace
    }

    const COMPILED: &[(u64, &str)] = &[
        (0x10_0000, "JS:~leaky /srv/app.js:7:3"),
        (0x20_0000, "JS:*leaky /srv/app.js:7:3"),
        (0x30_0000, "JS:~tick /srv/app.js:20:1"),
    ];

    #[test]
    fn a_function_that_was_compiled_again_is_one_site() {
        let trace = trace("generated-again", COMPILED, ProcessFacts::default());
        let report =
            analyze(&trace, &Options { at_exit: true, pid: None, ..Default::default() }).unwrap();
        assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
        let finding = &report.findings[0];
        assert!(finding.title.contains("leaky (app.js:7)"), "{}", finding.title);
        assert_eq!((finding.count, &finding.evidence["acquired"]), (2, &6.into()));
        assert!(finding.id_stable && report.processes[0].not_visible.is_empty());
        fs::remove_dir_all(trace).unwrap();
    }

    #[test]
    fn functions_of_other_names_are_other_sites() {
        let mut codes = COMPILED.to_vec();
        codes[1].1 = "JS:*other /srv/app.js:9:3";
        let trace = trace("generated-other", &codes, ProcessFacts::default());
        let report =
            analyze(&trace, &Options { at_exit: true, pid: None, ..Default::default() }).unwrap();
        let counts: Vec<u64> = report.findings.iter().map(|finding| finding.count).collect();
        assert_eq!(counts, [1, 1]);
        assert_eq!(report.findings[0].evidence["acquired"], 3);
        fs::remove_dir_all(trace).unwrap();
    }

    #[test]
    fn a_hook_is_told_where_its_runtime_ran_and_a_large_map_what_it_costs() {
        let large = ProcessFacts { code_map_bytes: LARGE_BYTES, ..ProcessFacts::default() };
        let trace = trace("generated-told", COMPILED, large);
        let report = analyze(&trace, &Options::default()).unwrap();
        let texts: Vec<&str> = report.diagnostics.iter().map(|one| one.text.as_str()).collect();
        assert!(
            texts.contains(&"node was asked") && !texts.contains(&"java was asked"),
            "{texts:?}"
        );
        assert!(texts.iter().any(|text| text.contains("64 MiB of names")), "{texts:?}");
        fs::remove_dir_all(trace).unwrap();
    }

    #[test]
    fn a_node_without_a_map_is_said_to_tell_no_functions() {
        let trace = trace("generated-none", &[], ProcessFacts::default());
        let report = analyze(&trace, &Options::default()).unwrap();
        let not_visible = &report.processes[0].not_visible;
        assert!(not_visible.iter().any(|text| text.contains("no perf map")), "{not_visible:?}");
        assert!(!report.diagnostics.iter().any(|one| one.text.contains("of names")));
        fs::remove_dir_all(trace).unwrap();
    }
}
