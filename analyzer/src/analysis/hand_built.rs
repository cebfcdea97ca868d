//! Lifecycles made by hand, for tests of the rules: what programs do, told as a story. Tables and
//! events are made of it as the shim would make them.

use std::collections::BTreeMap;

use resshim_format::header::End;
use resshim_format::op::{FIRST_ANNOTATED_KIND, Kind, Op};
use resshim_format::record::{FD_INHERITED, Failure, FdArgs, FdHandle};
use resshim_format::table::{BUCKETS, RowState};

use super::{Names, Options, StackRef, run};
use crate::model::fold::Fold;
use crate::model::image::Image;
use crate::model::process::lives;
use crate::report::{Finding, Frame, Site, Verdict};
use crate::source::clock::{Clock, ClockFacts};
use crate::source::events::Event;
use crate::source::rows;
use crate::symbols::ResolvedSite;

/// Nanoseconds of a millisecond: stories are told in milliseconds.
pub const MS: u64 = 1_000_000;

struct Told {
    at: u64,
    image: usize,
    tid: u32,
    op: Op,
    stack: u32,
    words: Vec<u64>,
    label: &'static str,
}

#[derive(Clone, Copy)]
struct Open {
    stack: u32,
    kind: Kind,
    at: u64,
    generation: u32,
    stream: u64,
}

#[derive(Default)]
struct SiteTotals {
    first: u64,
    acquired: Vec<u64>,
    released: Vec<u64>,
    longest: u64,
}

/// A story of processes.
pub struct Story {
    images: Vec<Image>,
    told: Vec<Told>,
    open: BTreeMap<(usize, u32), Open>,
    generations: BTreeMap<(usize, u32), u32>,
    sites: BTreeMap<(usize, u32, u8), SiteTotals>,
    threads: Vec<(usize, rows::Thread)>,
    /// By image, kind and handle: stack, time, label.
    named: BTreeMap<(usize, u32, u64), (u32, u64, &'static str)>,
    last: u64,
}

impl Story {
    /// One process, with pid 100.
    pub fn new() -> Story {
        let mut story = Story {
            images: Vec::new(),
            told: Vec::new(),
            open: BTreeMap::new(),
            generations: BTreeMap::new(),
            sites: BTreeMap::new(),
            threads: Vec::new(),
            named: BTreeMap::new(),
            last: 0,
        };
        story.image(0, 0);
        story
    }

    /// One more image; `parent` is the region of the process that forked it.
    pub fn image(&mut self, at: u64, parent: u64) -> usize {
        let index = self.images.len();
        self.images.push(Image {
            region: index as u64 + 1,
            parent_region: parent,
            pid: 100 + index as u32,
            image: 1,
            start_ticks: 5,
            heap_mean: 1,
            end: Some(End::Running),
            alive: Some(true),
            clock: ClockFacts { start_ns: at * MS, is_monotonic: true, ..ClockFacts::default() },
            ..Image::default()
        });
        index
    }

    /// Changes an image.
    pub fn change(&mut self, image: usize, change: impl FnOnce(&mut Image)) {
        change(&mut self.images[image]);
    }

    /// The image ends.
    pub fn end(&mut self, at: u64, image: usize, end: End) {
        self.last = self.last.max(at);
        let image = &mut self.images[image];
        image.end = Some(end);
        image.alive = Some(false);
        image.clock.end_ns = at * MS;
    }

    /// Anything.
    pub fn tell(&mut self, at: u64, image: usize, tid: u32, op: Op, stack: u32, words: &[u64]) {
        self.last = self.last.max(at);
        let words = words.to_vec();
        self.told.push(Told { at: at * MS, image, tid, op, stack, words, label: "" });
    }

    /// The program names a phase.
    pub fn phase(&mut self, at: u64, image: usize, name: &'static str) {
        self.tell(at, image, 1, Op::Phase, 0, &[]);
        if let Some(told) = self.told.last_mut() {
            told.label = name;
        }
    }

    /// Number of the kind of this word in an image, made if it is new.
    fn kind_number(&mut self, image: usize, kind: &str) -> u32 {
        if let Some(kind) = Kind::from_name(kind) {
            return kind as u32;
        }
        let names = &mut self.images[image].tables.kind_names;
        let known = names.iter().find(|(_, name)| *name == kind).map(|(number, _)| *number);
        // Other numbers in other images: the same word is the same kind.
        let next = FIRST_ANNOTATED_KIND + (names.len() + image) as u32;
        names.entry(known.unwrap_or(next)).or_insert_with(|| kind.to_owned());
        known.unwrap_or(next)
    }

    /// The program acquires something of its own.
    pub fn acquire(
        &mut self,
        at: u64,
        image: usize,
        stack: u32,
        (kind, handle): (&str, u64),
        label: &'static str,
    ) {
        let kind = self.kind_number(image, kind);
        self.tell(at, image, 1, Op::Annotate, stack, &[handle, kind as u64]);
        if let Some(told) = self.told.last_mut() {
            told.label = label;
        }
        let site = self.sites.entry((image, stack, kind as u8)).or_default();
        if site.acquired.is_empty() {
            site.first = at * MS;
        }
        site.acquired.push(at * MS);
        self.named.insert((image, kind, handle), (stack, at * MS, label));
    }

    /// The program releases something of its own.
    pub fn release(&mut self, at: u64, image: usize, stack: u32, (kind, handle): (&str, u64)) {
        let kind = self.kind_number(image, kind);
        self.tell(at, image, 1, Op::AnnotateRelease, stack, &[handle, kind as u64]);
        let (stack, since, _) = self.named.remove(&(image, kind, handle)).unwrap();
        let site = self.sites.get_mut(&(image, stack, kind as u8)).unwrap();
        site.released.push(at * MS);
        site.longest = site.longest.max(at * MS - since);
    }

    /// Acquires the lowest free number from 3 on.
    pub fn open(&mut self, at: u64, image: usize, stack: u32, kind: Kind) -> u32 {
        let number = (3..).find(|number| !self.open.contains_key(&(image, *number))).unwrap_or(3);
        let generation = self.generations.entry((image, number)).or_default();
        *generation += 1;
        let generation = *generation;
        let args = FdArgs { kind: kind as u8, ..FdArgs::default() };
        let handle = FdHandle { number, generation };
        self.tell(at, image, 1, Op::Open, stack, &[handle.pack(), args.pack()]);
        let site = self.sites.entry((image, stack, kind as u8)).or_default();
        if site.acquired.is_empty() {
            site.first = at * MS;
        }
        site.acquired.push(at * MS);
        self.open.insert((image, number), Open { stack, kind, at: at * MS, generation, stream: 0 });
        number
    }

    /// A stream owns the descriptor from now on.
    pub fn fdopen(&mut self, at: u64, image: usize, number: u32, stream: u64) {
        let open = self.open.get_mut(&(image, number)).unwrap();
        open.stream = stream;
        let handle = FdHandle { number, generation: open.generation };
        self.tell(at, image, 1, Op::Fdopen, 0, &[handle.pack(), stream]);
    }

    /// Closes an open number.
    pub fn close(&mut self, at: u64, image: usize, tid: u32, stack: u32, number: u32) {
        let open = self.open.remove(&(image, number)).unwrap();
        let handle = FdHandle { number, generation: open.generation };
        let words = [handle.pack(), open.stream];
        self.tell(at, image, tid, Op::Close, stack, &words[..1 + (open.stream != 0) as usize]);
        let site = self.sites.get_mut(&(image, open.stack, open.kind as u8)).unwrap();
        site.released.push(at * MS);
        site.longest = site.longest.max(at * MS - open.at);
    }

    /// Closes a number that is not open, for the `count`-th time at this stack.
    pub fn close_again(
        &mut self,
        at: u64,
        image: usize,
        tid: u32,
        stack: u32,
        number: u32,
        count: u32,
    ) {
        self.fails_at(at, image, (tid, stack), Op::Close, number, count);
    }

    /// A call fails since nothing is open at this number, for the `count`-th time at this stack.
    pub fn fails_at(
        &mut self,
        at: u64,
        image: usize,
        (tid, stack): (u32, u32),
        op: Op,
        number: u32,
        count: u32,
    ) {
        let generation = self.generations.get(&(image, number)).copied().unwrap_or(0);
        let failure = Failure { op: op.number(), errno: libc::EBADF as u16, count };
        let handle = FdHandle { number, generation };
        self.tell(at, image, tid, Op::Failed, stack, &[failure.pack(), handle.pack(), 0]);
    }

    /// A thread begins, and ends if `ended` says when; in the end it is in this state.
    pub fn thread(&mut self, at: u64, stack: u32, ended: Option<u64>, state: RowState) {
        let row = self.threads.len() as u32 + 1;
        let handle = FdHandle { number: row, generation: 1 }.pack();
        self.tell(at, 0, 1, Op::PthreadCreate, stack, &[handle, 0, 0]);
        let site = self.sites.entry((0, stack, Kind::Thread as u8)).or_default();
        if site.acquired.is_empty() {
            site.first = at * MS;
        }
        site.acquired.push(at * MS);
        if let Some(ended) = ended {
            self.tell(ended, 0, row + 1000, Op::ThreadEnd, 0, &[handle]);
        }
        self.threads.push((
            0,
            rows::Thread {
                row,
                state,
                generation: 1,
                pthread: 0,
                acquired: at * MS,
                ended: ended.map_or(0, |ended| ended * MS),
                site: stack,
                tid: row + 1000,
                start: 0,
                blocked_op: None,
                blocked_on: 0,
                blocked_since: 0,
                creator: 1,
                name: String::new(),
            },
        ));
    }

    /// Image 0 forks a child, which ends at `ended` and is never waited for.
    pub fn child(&mut self, at: u64, stack: u32, ended: u64) {
        let child = self.image(at, 1);
        let fork = child as u32;
        self.change(child, |image| image.parent_fork = fork);
        let pid = 100 + child as u32;
        self.tell(at, 0, 1, Op::Fork, stack, &[pid as u64, fork as u64]);
        self.end(ended, child, End::Exited);
        let site = self.sites.entry((0, stack, Kind::Process as u8)).or_default();
        if site.acquired.is_empty() {
            site.first = at * MS;
        }
        site.acquired.push(at * MS);
        self.images[0].tables.children.push(rows::Child {
            row: fork,
            state: RowState::Live,
            pid,
            site: stack * 100 + Kind::Process as u32,
            acquired: at * MS,
            fork,
            op: Some(Op::Fork),
            status: 0,
        });
    }

    fn tables(&mut self) {
        // A row of the site table is named by stack × 100 + kind: unique in these stories.
        let row_of = |stack: u32, kind: u8| stack * 100 + kind as u32;
        for ((image, stack, kind), site) in &self.sites {
            let mut shift = 20;
            while (self.last * MS - site.first) >> shift >= BUCKETS as u64 {
                shift += 1;
            }
            let mut flow = vec![(0, 0); BUCKETS];
            for at in &site.acquired {
                flow[((at - site.first) >> shift) as usize].0 += 1;
            }
            for at in &site.released {
                flow[((at - site.first) >> shift) as usize].1 += 1;
            }
            self.images[*image].tables.sites.push(rows::Site {
                row: row_of(*stack, *kind),
                stack: *stack,
                kind: *kind as u32,
                op: Some(Op::Open),
                acquired: site.acquired.len() as u64,
                released: site.released.len() as u64,
                acquired_bytes: 0,
                released_bytes: 0,
                peak: 0,
                first: site.first,
                last: site.acquired.last().copied().unwrap_or(0),
                longest: site.longest,
                bucket_shift: shift,
                merging: false,
                samples: 0,
                weight_squares: 0,
                flow,
                live: vec![0; BUCKETS],
            });
        }
        for ((image, number), open) in &self.open {
            self.images[*image].tables.fds.push(rows::Fd {
                number: *number,
                state: RowState::Live,
                generation: open.generation,
                args: FdArgs { kind: open.kind as u8, ..FdArgs::default() },
                acquired: open.at,
                last_use: 0,
                site: row_of(open.stack, open.kind as u8),
                released_by: 0,
                description: FdHandle::default(),
                stream: open.stream,
                released_tid: 0,
                op: Some(Op::Open),
                label: format!("label {number}"),
            });
        }
        for (image, thread) in std::mem::take(&mut self.threads) {
            let site = row_of(thread.site, Kind::Thread as u8);
            self.images[image].tables.threads.push(rows::Thread { site, ..thread });
        }
        self.named_rows(row_of);
    }

    fn named_rows(&mut self, row_of: impl Fn(u32, u8) -> u32) {
        for ((image, kind, handle), (stack, acquired, label)) in &self.named {
            self.images[*image].tables.annotated.push(rows::Annotated {
                state: RowState::Live,
                handle: *handle,
                acquired: *acquired,
                kind: *kind,
                site: row_of(*stack, *kind as u8),
                named_state: String::new(),
                label: (*label).to_owned(),
            });
        }
    }

    /// A descriptor that came over exec, by its row alone.
    pub fn inherited(&mut self, number: u32) {
        self.images[0].tables.fds.push(rows::Fd {
            number,
            state: RowState::Live,
            generation: 0,
            args: FdArgs { kind: Kind::File as u8, bits: FD_INHERITED, ..FdArgs::default() },
            acquired: 0,
            last_use: 0,
            site: 0,
            released_by: 0,
            description: FdHandle::default(),
            stream: 0,
            released_tid: 0,
            op: Some(Op::Inherited),
            label: String::new(),
        });
    }

    /// Gives what is made of the story to `look`.
    pub fn model<T>(mut self, look: impl FnOnce(&crate::model::Model) -> T) -> T {
        self.tables();
        self.told.sort_by_key(|told| told.at);
        let facts: Vec<ClockFacts> = self.images.iter().map(|image| image.clock).collect();
        let clock = Clock::fit(&facts);
        let lives = lives(&self.images, &clock);
        let ends: Vec<Option<u64>> = lives.iter().map(|life| life.ended_ns).collect();
        let mut fold = Fold::new(&self.images, &ends);
        for told in &self.told {
            fold.event(&Event {
                image: told.image,
                at_ns: told.at,
                tid: told.tid,
                op: told.op,
                stack: told.stack,
                words: &told.words,
                label: told.label.as_bytes(),
            });
        }
        fold.last_seen(self.last * MS);
        look(&fold.finish(&clock, lives))
    }

    /// What the rules find in it.
    pub fn findings(self, at_exit: bool) -> Vec<Finding> {
        let findings = self.findings_by(Options { at_exit, ..Options::default() });
        for finding in &findings {
            let is_sure = finding.confidence > 0.5;
            // Nothing is lost in a story: the verdict alone says how sure a rule is.
            assert_eq!(is_sure, finding.verdict != Verdict::Possible, "{finding:?}");
        }
        findings
    }

    /// The same with rules of a project.
    pub fn findings_by(self, options: Options) -> Vec<Finding> {
        self.model(|model| run(model, &options, &mut Functions::default()))
    }

    /// The same where all sites lead through an interpreter whose frames are not known.
    pub fn blind_findings(self) -> Vec<Finding> {
        let options = Options::default();
        self.model(|model| run(model, &options, &mut Functions { are_blind: true }))
    }
}

/// Stack 7 is the function `f7`, and so are stacks 1007, 2007 …: other ways to the same line.
#[derive(Default)]
pub struct Functions {
    are_blind: bool,
}

impl Names for Functions {
    fn prepare(&mut self, _: &[StackRef]) {}

    fn site(&mut self, at: StackRef) -> ResolvedSite {
        let function = format!("f{}", at.stack % 1000);
        let frame = Frame { function: function.clone(), ..Frame::default() };
        ResolvedSite {
            site: Site { user: 0, own: true, frames: vec![frame] },
            id_stable: true,
            site_id: format!("f{}", at.stack),
            acquiring: function.clone(),
            own: vec![function, format!("way {}", at.stack / 1000)],
            is_blind: self.are_blind,
            codes: Vec::new(),
            is_managed_mapping: false,
            is_managed_block: false,
            is_interpreters: false,
            is_kept: false,
        }
    }
}

/// Numbers that look random and are the same in every run (Marsaglia's xorshift64).
pub struct Random(pub u64);

impl Random {
    /// Between 0 and 1, neither included.
    pub fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    /// Lognormal with this median (Box-Muller).
    pub fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        let radius = (-2.0 * self.unit().ln()).sqrt();
        median * (sigma * radius * (std::f64::consts::TAU * self.unit()).cos()).exp()
    }
}
