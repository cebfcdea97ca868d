//! The part of the trail that is about images: what a fork child or the next image of a process begins
//! with, and what ends with an image.

use std::collections::HashMap;

use resshim_format::op::Op;

use super::descriptors::FdSlot;
use super::{Step, Trail, What};
use crate::model::image::Image;
use crate::model::process::{Ending, Life};
use crate::model::resource::Handle;
use crate::source::events::Event;

/// Who comes from whom, and who has begun.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    /// Fork children by their parent's region and its fork.
    by_fork: HashMap<(u64, u32), u32>,
    /// First images that came by exec, by pid, in the order of their start: their parent's fork names it.
    by_pid: HashMap<u32, Vec<u32>>,
    by_region: HashMap<u64, u32>,
    begun: Vec<bool>,
    /// Ends of images, latest first.
    ends: Vec<(u64, u32)>,
    ended: Vec<bool>,
    /// Latest image of each pid that has begun.
    latest: HashMap<u32, u32>,
    /// The image of the same process before one.
    before: HashMap<u32, u32>,
    /// Descriptors of fork children that were quicker than their parent's record: number and resource, and
    /// when they began.
    unannounced: HashMap<u32, (u64, Vec<(u64, FdSlot)>)>,
    /// Who called exec last in an image: stack, thread.
    exec: HashMap<u32, (u32, u32)>,
}

impl Lineage {
    pub fn of(images: &[Image], lives: &[Life]) -> Lineage {
        let all = vec![false; images.len()];
        let mut of = Lineage { begun: all.clone(), ended: all, ..Lineage::default() };
        let follow = lives.iter().enumerate();
        of.before = follow.filter_map(|(index, life)| Some((life.next?, index as u32))).collect();
        let mut order: Vec<u32> = (0..images.len() as u32).collect();
        order.sort_by_key(|index| images[*index as usize].clock.start_ns);
        for index in order {
            let image = &images[index as usize];
            if image.region == 0 {
                continue;
            }
            of.by_region.insert(image.region, index);
            if image.is_fork_child() {
                of.by_fork.insert((image.parent_region, image.parent_fork), index);
            } else if image.image == 1 {
                of.by_pid.entry(image.pid).or_default().push(index);
            }
        }
        let ends = lives.iter().enumerate();
        of.ends = ends.filter_map(|(index, life)| Some((life.ended_ns?, index as u32))).collect();
        of.ends.sort_unstable_by(|a, b| b.cmp(a));
        of
    }
}

impl Trail<'_> {
    /// Ends the images whose time has come before this one.
    pub(super) fn lineage_until(&mut self, at_ns: u64) {
        while self.lineage.ends.last().is_some_and(|(end, _)| *end < at_ns) {
            if let Some((end, image)) = self.lineage.ends.pop() {
                self.end_image(end, image as usize);
            }
        }
    }

    /// An image is seen for the first time.
    pub(super) fn begin_image(&mut self, image: usize, at_ns: u64) {
        if self.lineage.begun.get(image).is_none_or(|begun| *begun) {
            return;
        }
        self.lineage.begun[image] = true;
        self.lineage.latest.insert(self.images[image].pid, image as u32);
        if let Some(before) = self.lineage.before.get(&(image as u32)).copied() {
            self.end_image(at_ns, before as usize);
        }
        let of = &self.images[image];
        // Its parent's record of the fork may come later: it is written when the child runs already.
        let parent = self.lineage.by_region.get(&of.parent_region).filter(|_| of.is_fork_child());
        if let Some(parent) = parent.copied() {
            let slots = self.hand_down(parent as usize, image, false);
            self.lineage.unannounced.insert(image as u32, (at_ns, slots));
        }
    }

    /// A record of a fork: the child has what its parent has.
    pub(super) fn forked(&mut self, event: &Event) {
        let region = self.images[event.image].region;
        let by_fork = self.lineage.by_fork.get(&(region, event.word(2) as u32)).copied();
        let pid = event.word(1) as u32;
        let by_exec = || {
            let candidates = self.lineage.by_pid.get(&pid)?;
            let is_new = |index: &&u32| {
                let begun = self.lineage.begun.get(**index as usize);
                // The record is written after the fork: what the child does may be earlier.
                let ended = self.lives.get(**index as usize).and_then(|life| life.ended_ns);
                begun == Some(&false) && ended.is_none_or(|ended| ended >= event.at_ns)
            };
            candidates.iter().find(is_new).copied()
        };
        let (child, came_by_exec) = match by_fork {
            Some(child) => (child, false),
            None => match by_exec() {
                Some(child) => (child, true),
                None => return,
            },
        };
        let Some(begun) = self.lineage.begun.get_mut(child as usize) else { return };
        let (at_ns, slots) = match std::mem::replace(begun, true) {
            true => match self.lineage.unannounced.remove(&child) {
                Some((at_ns, slots)) => (at_ns.min(event.at_ns), slots),
                None => return,
            },
            false => {
                self.lineage.latest.insert(self.images[child as usize].pid, child);
                (event.at_ns, self.hand_down(event.image, child as usize, came_by_exec))
            }
        };
        for (key, slot) in slots {
            let handle = Handle::Fd { number: key as u32, generation: slot.generation };
            let mut step = Step::derived(at_ns, event.image, What::Forked(child), handle);
            (step.stack, step.tid) = (event.stack, event.tid);
            self.step(slot.resource, step);
        }
    }

    /// Descriptors that came over a fork: those of the parent. What a child did before its exec was not
    /// seen: of those only such are taken that stood there, and were of that kind, when its image began.
    fn hand_down(&mut self, parent: usize, child: usize, came_by_exec: bool) -> Vec<(u64, FdSlot)> {
        let mut slots: Vec<(u64, FdSlot)> = self.live_slots(parent);
        if came_by_exec {
            slots.retain(|(key, slot)| {
                !slot.is_cloexec && self.is_in_census(child, *key, slot.resource)
            });
        }
        for (key, slot) in &slots {
            self.held(slot.resource);
            let generation = if came_by_exec { 1 } else { 0 };
            self.fds[child].insert(*key, FdSlot { generation, ..*slot });
        }
        slots
    }

    fn live_slots(&self, image: usize) -> Vec<(u64, FdSlot)> {
        let live = self.fds[image].iter().filter(|(_, slot)| slot.is_live);
        let mut slots: Vec<(u64, FdSlot)> = live.map(|(key, slot)| (*key, *slot)).collect();
        slots.sort_unstable_by_key(|(key, _)| *key);
        slots
    }

    fn is_in_census(&self, image: usize, number: u64, resource: u32) -> bool {
        let Some(resource) = self.resources.get(&resource.into()) else { return false };
        let rows = &self.images[image].tables.fds;
        rows.iter().any(|row| {
            let is_path = |label: &str| label.starts_with('/');
            u64::from(row.number) == number
                && row.op == Some(Op::Inherited)
                && u16::from(row.args.kind) == resource.kind.0
                && (!is_path(&row.label)
                    || !is_path(&resource.label)
                    || row.label.as_str() == &*resource.label)
        })
    }

    /// Somebody calls exec; whether it happens shows when another image follows.
    pub(super) fn executing(&mut self, event: &Event) {
        self.lineage.exec.insert(event.image as u32, (event.stack, event.tid));
    }

    /// A wait tells how a child ended that did not say it itself.
    pub(super) fn reaped(&mut self, at_ns: u64, pid: u32, status: u32) {
        let Some(image) = self.lineage.latest.get(&pid).copied() else { return };
        let Some(life) = self.lives.get(image as usize).copied() else { return };
        if life.next.is_none() && life.ended_ns.is_none_or(|ended| ended >= at_ns) {
            let life = Life { ending: Ending::from_wait(status), ..life };
            self.end_life(at_ns, image as usize, life);
        }
    }

    fn end_image(&mut self, at_ns: u64, image: usize) {
        if let Some(life) = self.lives.get(image).copied() {
            self.end_life(at_ns, image, life);
        }
    }

    fn end_life(&mut self, at_ns: u64, image: usize, life: Life) {
        if self.lineage.ended.get_mut(image).is_none_or(|ended| std::mem::replace(ended, true)) {
            return;
        }
        self.lineage.unannounced.remove(&(image as u32));
        let (stack, tid) = self.lineage.exec.remove(&(image as u32)).unwrap_or((0, 0));
        let next = life.next.filter(|next| (*next as usize) < self.images.len());
        for (key, slot) in self.live_slots(image) {
            let handle = Handle::Fd { number: key as u32, generation: slot.generation };
            let what = match (next, life.ending) {
                (Some(_), Ending::Exec) if slot.is_cloexec => What::ClosedByExec,
                (Some(next), Ending::Exec) => What::Kept(next),
                (_, ending) => What::Ended(ending),
            };
            let mut step = Step::derived(at_ns, image, what, handle);
            if !matches!(what, What::Ended(_)) {
                (step.stack, step.tid) = (stack, tid);
            }
            self.step(slot.resource, step);
            match what {
                What::Kept(next) => {
                    // It is of the first lifetime there: the new image counts anew.
                    let slot = FdSlot { generation: 1, ..slot };
                    self.fds[next as usize].insert(key, slot);
                }
                _ => self.let_go(slot.resource, at_ns),
            }
        }
        if let Some(next) = next {
            self.lineage.begun[next as usize] = true;
            self.lineage.latest.insert(self.images[image].pid, next);
        }
        self.fds[image].clear();
        self.end_others(at_ns, image, life.ending, next);
    }
}
