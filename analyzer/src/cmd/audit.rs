//! `resshim audit`: what happened to each resource, step by step.

use std::io::Write;

use crate::analyze::audit::{Order, audit};
use crate::cli::{Audit as Options, LinesFormat};
use crate::cmd::output::Stream;
use crate::model::trail::filter::Filter;
use crate::symbols::source_line::SourceLines;
use crate::view::progress::Progress;
use crate::view::{Look, audit as view};

/// Prints the trail that the options ask for.
pub fn run(options: &Options) -> anyhow::Result<u8> {
    let filter = Filter {
        pid: options.pid,
        kind: options.kind.clone(),
        handle: options.handle.clone(),
        since_ns: options.since.map_or(0, |since| since.as_nanos().min(u64::MAX.into()) as u64),
    };
    let sources = SourceLines::of(None);
    let look = match options.output {
        Some(_) => Look::plain(options.stacks, sources),
        None => Look::of(std::io::stdout(), options.stacks, sources),
    };
    let mut table = view::Table::new(&look);
    let mut out = Lazy { options, stream: None };
    let mut progress = Some(Progress::start("reading the trace"));
    let order = match options.format {
        LinesFormat::Table => Order::Resources,
        LinesFormat::Json => Order::Steps,
    };
    let summary = audit(&options.trace, &filter, order, &mut |parts| {
        // What is shown is sign of life enough.
        progress = None;
        for part in parts {
            let text = match options.format {
                LinesFormat::Table => table.part(part),
                LinesFormat::Json => view::json(&part)?,
            };
            out.write(&text)?;
        }
        Ok(())
    })?;
    drop(progress);
    match options.format {
        LinesFormat::Table => out.write(&table.end(&summary))?,
        LinesFormat::Json => {
            for remark in view::remarks(&summary) {
                let _ = writeln!(std::io::stderr(), "resshim: unseen: {remark}");
            }
        }
    }
    out.finish()?;
    Ok(0)
}

/// The output, made when there is something to write: a mistake in the command leaves no file.
struct Lazy<'a> {
    options: &'a Options,
    stream: Option<Stream>,
}

impl Lazy<'_> {
    fn stream(&mut self) -> anyhow::Result<&mut Stream> {
        if self.stream.is_none() {
            self.stream = Some(Stream::open(self.options.output.as_deref())?);
        }
        self.stream.as_mut().ok_or_else(|| anyhow::anyhow!("no output"))
    }

    fn write(&mut self, text: &str) -> anyhow::Result<()> {
        self.stream()?.write(text)
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.stream()?;
        self.stream.take().map_or(Ok(()), Stream::finish)
    }
}
