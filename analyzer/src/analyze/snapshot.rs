//! From looks at a live process to a snapshot: groups, growth between the looks, and what is worth acting on.

use std::collections::{BTreeMap, HashSet};

use crate::live::Look;
use crate::live::identity::Identity;
use crate::live::scan::Found;
use crate::live::traced::Traced;
use crate::model::kind::noun;
use crate::report::Limit;
use crate::snapshot::{
    Descriptor, Group, Growth, SCHEMA, Scan, Sign, SiteHeld, Snapshot, Thread, Waiting,
};
use crate::view::quantity::{bytes, count, growth, share};

/// Numbers that a group names.
const NUMBERS: usize = 8;
/// Names of threads that a wait names.
const NAMES: usize = 4;
/// From this share of a limit on it is a sign.
const NEAR: f64 = 0.8;

/// One look, with what the process says of itself if it is traced.
pub type Seen = (Look, Option<Traced>);

/// The snapshot that these looks give; there is at least one.
pub fn snapshot(process: &Identity, looks: &[Seen]) -> Snapshot {
    let (Some((first, _)), Some((last, traced))) = (looks.first(), looks.last()) else {
        return Snapshot::default();
    };
    let watched_s = last.at.duration_since(first.at).as_secs_f64();
    let mut snapshot = Snapshot {
        schema: SCHEMA.to_owned(),
        pid: process.id.pid,
        name: process.name.clone(),
        exe: process.exe.clone(),
        traced: traced.is_some(),
        watched_s: if looks.len() > 1 { (watched_s * 1e3).round() / 1e3 } else { 0.0 },
        looks: looks.len() as u32,
        children: last.children.0,
        zombies: last.children.1.clone(),
        limits: last.limits.clone(),
        memory: last.memory.clone(),
        unseen: last.unseen.clone(),
        ..Snapshot::default()
    };
    let empty = Vec::new();
    let open = last.descriptors.as_ref().unwrap_or(&empty);
    if last.descriptors.is_none() {
        snapshot.unseen.push("its descriptors".to_owned());
    }
    let held = traced.as_ref().map(|traced| &traced.held);
    snapshot.sites = held.into_iter().flatten().map(to_site).collect();
    for descriptor in open {
        let by_site = traced.as_ref().and_then(|t| t.descriptors.get(&descriptor.number));
        *snapshot.kinds.entry(descriptor.kind.name().to_owned()).or_default() += 1;
        snapshot.descriptors.push(Descriptor {
            handle: format!("fd:{}", descriptor.number),
            kind: descriptor.kind.name().to_owned(),
            label: descriptor.label(),
            deleted: descriptor.is_deleted,
            age_s: by_site.map(|(_, age)| *age),
            idle_s: None,
            site: by_site.map(|(site, _)| *site),
        });
    }
    snapshot.groups = groups(last);
    (snapshot.waits, snapshot.threads) = waits(last);
    snapshot.growth = growths(looks, watched_s);
    for limit in &mut snapshot.limits {
        limit.eta_s = eta(limit, &snapshot.growth);
    }
    snapshot.signs = signs(&snapshot, looks.len());
    snapshot
}

fn to_site(held: &crate::live::traced::Held) -> SiteHeld {
    SiteHeld {
        kind: held.kind.clone(),
        count: held.count,
        bytes: held.bytes,
        oldest_s: held.oldest_s,
        site: held.site.clone(),
    }
}

/// Adds what a scan found.
pub fn add_scan(snapshot: &mut Snapshot, found: &Found, held: &[crate::live::traced::Held]) {
    snapshot.unseen.extend(found.unseen.iter().cloned());
    let verdict = if found.stopped.is_some() { "definite" } else { "probable" };
    let unreachable: Vec<SiteHeld> = held.iter().map(to_site).collect();
    let number: u64 = unreachable.iter().map(|held| held.count).sum();
    if number > 0 {
        let size = unreachable.iter().map(|held| held.bytes).sum();
        let size = if size > 0 { format!(" ({})", bytes(size)) } else { String::new() };
        let what = if number == 1 { "resource is" } else { "resources are" };
        let sign = Sign {
            rule: "unreachable".to_owned(),
            text: format!("{} {what} out of reach{size}: nothing points to them", count(number)),
            advice: "no code can release them any more; who acquired them is below".to_owned(),
        };
        snapshot.signs.insert(0, sign);
    }
    snapshot.scan = Some(Scan {
        looked_for: found.looked_for as u64,
        every_block: found.has_every_block,
        bytes: found.bytes,
        stopped_s: found.stopped.map(|time| time.as_secs_f64()),
        verdict: verdict.to_owned(),
        unreachable,
    });
}

fn groups(look: &Look) -> Vec<Group> {
    let mut by: BTreeMap<(&str, String), Vec<u32>> = BTreeMap::new();
    for descriptor in look.descriptors.iter().flatten() {
        by.entry((descriptor.kind.name(), descriptor.place())).or_default().push(descriptor.number);
    }
    let one = |((kind, place), mut numbers): ((&str, String), Vec<u32>)| {
        let count = numbers.len() as u64;
        let place = common_label(look, &numbers).unwrap_or(place);
        numbers.truncate(NUMBERS);
        Group { kind: kind.to_owned(), place, count, numbers }
    };
    let mut groups: Vec<Group> = by.into_iter().map(one).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

/// What all of these are, if they are the same: one path opened a hundred times.
fn common_label(look: &Look, numbers: &[u32]) -> Option<String> {
    let all = look.descriptors.as_ref()?;
    let label = |number: &u32| {
        let at = all.binary_search_by_key(number, |descriptor| descriptor.number).ok()?;
        let descriptor = all.get(at).filter(|descriptor| descriptor.socket.is_none())?;
        descriptor.target.starts_with('/').then(|| descriptor.label())
    };
    let first = label(numbers.first()?)?;
    numbers.iter().all(|number| label(number).as_ref() == Some(&first)).then_some(first)
}

fn waits(look: &Look) -> (Vec<Waiting>, Vec<Thread>) {
    let known = |number: u32| {
        let all = look.descriptors.as_ref()?;
        let at = all.binary_search_by_key(&number, |descriptor| descriptor.number).ok()?;
        all.get(at)
    };
    let mut by: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    let mut threads = Vec::new();
    for thread in &look.threads {
        let waits_in = match (thread.state, thread.waits_in.as_str(), thread.channel.as_str()) {
            ('R', _, _) => "runs".to_owned(),
            ('T' | 't', _, _) => "is stopped".to_owned(),
            (_, "", "") => "waits".to_owned(),
            (_, "", channel) => format!("waits ({channel})"),
            ('D', call, _) => format!("{call}, uninterruptible"),
            (_, call, _) => call.to_owned(),
        };
        let on = thread.descriptor.map_or(String::new(), |number| match known(number) {
            Some(descriptor) => {
                format!("fd:{number} {} {}", descriptor.kind.name(), descriptor.label())
            }
            None => format!("fd:{number}"),
        });
        by.entry((waits_in, on)).or_default().push(thread.name.clone());
        threads.push(Thread {
            tid: thread.tid,
            name: thread.name.clone(),
            state: thread.state.to_string(),
            waits_in: thread.waits_in.clone(),
            descriptor: thread.descriptor,
            channel: thread.channel.clone(),
        });
    }
    let one = |((waits_in, on), mut names): ((String, String), Vec<String>)| {
        let count = names.len() as u64;
        names.sort_unstable();
        names.dedup();
        names.truncate(NAMES);
        Waiting { count, waits_in, on, names }
    };
    let mut waits: Vec<Waiting> = by.into_iter().map(one).collect();
    waits.sort_by_key(|wait| std::cmp::Reverse(wait.count));
    (waits, threads)
}

/// What there is more of in the last look than in the first.
fn growths(looks: &[Seen], watched_s: f64) -> Vec<Growth> {
    if looks.len() < 2 || watched_s <= 0.0 {
        return Vec::new();
    }
    let mut all = Vec::new();
    let mut push = |what: &str, kind: &str, place: &str, counts: Vec<u64>| -> bool {
        let (Some(first), Some(last)) = (counts.first().copied(), counts.last().copied()) else {
            return false;
        };
        // Of memory a hundredth more is nothing.
        if last <= first || what == "memory" && last - first < first / 100 {
            return false;
        }
        all.push(Growth {
            what: what.to_owned(),
            kind: kind.to_owned(),
            place: place.to_owned(),
            per_hour: ((last - first) as f64 / watched_s * 3600.0).round(),
            is_steady: counts.windows(2).all(|pair| pair[1] > pair[0]) && counts.len() > 2,
            counts,
            new: 0,
            site: None,
        });
        true
    };
    let count_where = |matches: &dyn Fn(&crate::live::descriptors::Descriptor) -> bool| {
        let in_look = |(look, _): &Seen| {
            look.descriptors.iter().flatten().filter(|d| matches(d)).count() as u64
        };
        looks.iter().map(in_look).collect::<Vec<u64>>()
    };
    let Some((last, traced)) = looks.last() else { return Vec::new() };
    let open = || last.descriptors.iter().flatten();
    let kinds: HashSet<_> = open().map(|descriptor| descriptor.kind).collect();
    for kind in kinds {
        push("kind", kind.name(), "", count_where(&|descriptor| descriptor.kind == kind));
    }
    // By place in one walk a look: a process can hold a million.
    let mut places: BTreeMap<(&str, String), Vec<u64>> = BTreeMap::new();
    for (at, (look, _)) in looks.iter().enumerate() {
        for descriptor in look.descriptors.iter().flatten() {
            let key = (descriptor.kind.name(), descriptor.place());
            let counts = places.entry(key).or_insert_with(|| vec![0; looks.len()]);
            counts[at] += 1;
        }
    }
    for ((kind, place), counts) in places {
        if !place.is_empty() {
            push("place", kind, &place, counts);
        }
    }
    push("threads", "thread", "", looks.iter().map(|(l, _)| l.threads.len() as u64).collect());
    push("memory", "memory", "", looks.iter().map(|(l, _)| l.memory.anonymous).collect());
    push("mappings", "mapping", "", looks.iter().map(|(l, _)| l.memory.mappings).collect());
    push("zombies", "process", "", looks.iter().map(|(l, _)| l.children.1.len() as u64).collect());
    let before: HashSet<(u32, &str)> = looks
        .first()
        .and_then(|(look, _)| look.descriptors.as_ref())
        .into_iter()
        .flatten()
        .map(|descriptor| (descriptor.number, descriptor.target.as_str()))
        .collect();
    for growth in &mut all {
        let is_of = |d: &&crate::live::descriptors::Descriptor| {
            growth.kind == d.kind.name() && (growth.place.is_empty() || growth.place == d.place())
        };
        let is_new = |d: &&crate::live::descriptors::Descriptor| {
            !before.contains(&(d.number, d.target.as_str()))
        };
        growth.new = open().filter(is_of).filter(is_new).count() as u64;
    }
    for held in traced.iter().flat_map(|traced| &traced.held) {
        let counts: Vec<u64> = looks
            .iter()
            .map(|(_, traced)| {
                let all = traced.iter().flat_map(|traced| &traced.held);
                let same = all.filter(|h| h.stack == held.stack && h.kind == held.kind);
                same.map(|held| held.count).sum()
            })
            .collect();
        let (first, last) = (counts.first().copied(), counts.last().copied());
        if let (Some(first), Some(last)) = (first, last)
            && last > first
        {
            all.push(Growth {
                what: "site".to_owned(),
                kind: held.kind.clone(),
                per_hour: ((last - first) as f64 / watched_s * 3600.0).round(),
                is_steady: counts.windows(2).all(|pair| pair[1] > pair[0]) && counts.len() > 2,
                counts,
                site: Some(held.site.clone()),
                ..Growth::default()
            });
        }
    }
    // Bytes are no number of things.
    all.sort_by(|a, b| {
        let is_memory = |growth: &Growth| growth.what == "memory";
        is_memory(a).cmp(&is_memory(b)).then(b.per_hour.total_cmp(&a.per_hour))
    });
    all
}

/// Seconds until a limit is reached, if what fills it grows on as it did.
fn eta(limit: &Limit, growths: &[Growth]) -> Option<f64> {
    let is_fd = |growth: &&Growth| growth.what == "kind";
    let per_hour: f64 = match limit.name.as_str() {
        "RLIMIT_NOFILE" => growths.iter().filter(is_fd).map(|growth| growth.per_hour).sum(),
        "vm.max_map_count" => of_what(growths, "mappings"),
        "RLIMIT_NPROC" | "pids.max" => of_what(growths, "threads"),
        "memory.max" => of_what(growths, "memory"),
        _ => 0.0,
    };
    (per_hour > 0.0).then(|| (limit.limit - limit.used).max(0.0) / per_hour * 3600.0)
}

fn of_what(growths: &[Growth], what: &str) -> f64 {
    growths.iter().filter(|growth| growth.what == what).map(|growth| growth.per_hour).sum()
}

fn signs(snapshot: &Snapshot, looks: usize) -> Vec<Sign> {
    let mut signs = Vec::new();
    let mut say = |rule: &str, text: String, advice: &str| {
        signs.push(Sign { rule: rule.to_owned(), text, advice: advice.to_owned() });
    };
    for limit in &snapshot.limits {
        let full = limit.used / limit.limit;
        if full >= NEAR {
            let text = format!("{} is {} full", limit.name, share(full));
            say("limit", text, "what fills it is below; a higher limit only buys time");
        }
    }
    // Between two looks all kinds of things come and go: only what rises at each look is a sign.
    for grown in snapshot.growth.iter().filter(|growth| growth.is_steady) {
        let (first, last) = (grown.counts[0], grown.counts[grown.counts.len() - 1]);
        let is_bytes = grown.what == "memory";
        let amount = |number: u64| if is_bytes { bytes(number) } else { count(number) };
        let name = if is_bytes { "anonymous memory" } else { noun(&grown.kind, 2) };
        if grown.what == "place" || grown.what == "site" {
            continue;
        }
        let text = format!(
            "{name} grew at each of {looks} looks: {} to {} ({})",
            amount(first),
            amount(last),
            growth(grown.per_hour, is_bytes)
        );
        let advice = match (snapshot.traced, is_bytes) {
            (true, _) => "the call sites that hold more are below",
            (false, true) => "started with `resshim run` it would name the line that allocates",
            (false, false) => "started with `resshim run` it would name the line that opens them",
        };
        say("growth", text, advice);
    }
    let close_wait = |group: &&Group| group.kind == "tcp" && group.place.ends_with(" CLOSE_WAIT");
    let waiting: u64 = snapshot.groups.iter().filter(close_wait).map(|group| group.count).sum();
    if waiting > 0 {
        let text = format!(
            "{} in CLOSE_WAIT: the other side has closed, this one has not",
            noun_of(waiting, "tcp")
        );
        say("close-wait", text, "close the connection when a read returns 0");
    }
    let deleted = snapshot.descriptors.iter().filter(|d| d.deleted && d.kind == "file").count();
    if deleted > 0 {
        let text = format!(
            "{} removed and still open: their disk space is not free",
            noun_of(deleted as u64, "file")
        );
        say("deleted-open", text, "reopen logs after rotation; close what is no longer written");
    }
    if !snapshot.zombies.is_empty() {
        let number = snapshot.zombies.len() as u64;
        let text = format!("{} ended and nobody has waited for it", noun_of(number, "process"));
        let text = if number > 1 { text.replace("for it", "for them") } else { text };
        say("zombies", text, "call waitpid for each child, or ignore SIGCHLD");
    }
    signs
}

fn noun_of(number: u64, kind: &str) -> String {
    format!("{} {}", count(number), noun(kind, number))
}
