//! Images in order: which of them are one process, when each began and ended, and how.
//!
//! Images of one process are linked by (pid, start ticks), never by pid alone: a pid is used again
//! within a trace.

use std::collections::HashMap;

use resshim_format::header::End;

use super::image::Image;
use crate::source::clock::Clock;

/// How an image ended, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Exit status.
    Exit(u32),
    /// Killed by this signal.
    Signal(u32),
    /// Another image of the process followed.
    Exec,
    /// It runs.
    Running,
    /// Nobody saw.
    Unknown,
}

impl Ending {
    /// As the report shows it.
    pub fn text(self) -> String {
        match self {
            Ending::Exit(status) => format!("exit:{status}"),
            Ending::Signal(signal) => format!("signal:{signal}"),
            Ending::Exec => "exec".to_owned(),
            Ending::Running => "running".to_owned(),
            Ending::Unknown => "unknown".to_owned(),
        }
    }

    /// What [`Ending::text`] wrote; `None` for other words.
    pub fn from_text(text: &str) -> Option<Ending> {
        let (how, number) = text.split_once(':')?;
        match (how, number.parse().ok()?) {
            ("exit", status) => Some(Ending::Exit(status)),
            ("signal", signal) => Some(Ending::Signal(signal)),
            _ => None,
        }
    }

    /// The process is over: what it held was never released by it.
    pub fn is_over(self) -> bool {
        matches!(self, Ending::Exit(_) | Ending::Signal(_))
    }

    /// What a wait status says.
    pub fn from_wait(status: u32) -> Ending {
        match status & 0x7f {
            0 => Ending::Exit(status >> 8 & 0xff),
            signal => Ending::Signal(signal),
        }
    }
}

/// Life of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Nanoseconds since the start of the trace.
    pub started_ns: u64,
    /// Nanoseconds since the start of the trace, if it has ended and the moment is known.
    pub ended_ns: Option<u64>,
    /// How.
    pub ending: Ending,
    /// Next image of the same process: index.
    pub next: Option<u32>,
    /// Whether it ignored `SIGCHLD` when the collector last looked, and when that was.
    pub ignored_sigchld: Option<(bool, u64)>,
}

/// Lives of the images as they say themselves.
pub fn lives(images: &[Image], clock: &Clock) -> Vec<Life> {
    let mut chains: HashMap<(u32, u64), Vec<u32>> = HashMap::new();
    for (index, image) in images.iter().enumerate() {
        chains.entry((image.pid, image.start_ticks)).or_default().push(index as u32);
    }
    let mut next = vec![None; images.len()];
    for chain in chains.values_mut() {
        chain.sort_by_key(|index| images[*index as usize].clock.start_ns);
        for pair in chain.windows(2) {
            next[pair[0] as usize] = Some(pair[1]);
        }
    }
    let life = |(index, image): (usize, &Image)| {
        let started_ns = clock.of_monotonic(image.clock.start_ns);
        let said = image.end.filter(|end| *end != End::Running).and_then(|_| {
            (image.clock.end_ns >= image.clock.start_ns && image.clock.end_ns > 0)
                .then(|| clock.of_monotonic(image.clock.end_ns))
        });
        let next: Option<u32> = next[index];
        let follower = next.and_then(|next| images.get(next as usize));
        // A fork child has its parent's start ticks only if the clock tick is the same: pid differs.
        let (ending, ended_ns) = match (follower, image.end) {
            (Some(follower), _) => {
                (Ending::Exec, Some(clock.of_monotonic(follower.clock.start_ns)))
            }
            (None, Some(End::Exited | End::QuickExited)) => {
                (Ending::Exit(image.end_status & 0xff), said)
            }
            (None, Some(End::Aborted)) => (Ending::Signal(libc::SIGABRT as u32), said),
            (None, _) if image.alive == Some(true) => (Ending::Running, None),
            // Nobody said how, but the collector found it gone.
            (None, _) if image.found_ended_ns > 0 => {
                (Ending::Unknown, Some(clock.of_monotonic(image.found_ended_ns)))
            }
            (None, _) => (Ending::Unknown, None),
        };
        let ignored_sigchld =
            image.ignored_sigchld.map(|(ignored, at)| (ignored, clock.of_monotonic(at)));
        Life { started_ns, ended_ns, ending, next, ignored_sigchld }
    };
    images.iter().enumerate().map(life).collect()
}

/// What `run` says of the command that it waited for, which may have ended without a word of its own (Go's
/// runtime ends by a system call of its own); `at_ns` is when.
pub fn apply_command(lives: &mut [Life], images: &[Image], pid: u32, ending: Ending, at_ns: u64) {
    for (life, image) in lives.iter_mut().zip(images) {
        if image.pid == pid && life.next.is_none() && life.ending == Ending::Unknown {
            life.ending = ending;
            life.ended_ns = life.ended_ns.or(Some(at_ns.max(life.started_ns)));
        }
    }
}

/// What the parents' waits say of images that did not say it themselves; `statuses` are
/// (pid, time, status). Gives the index of each child that is over.
pub fn apply_waits(lives: &mut [Life], images: &[Image], statuses: &[(u32, u64, u32)]) {
    let mut by_pid: HashMap<u32, Vec<(u64, u32)>> = HashMap::new();
    for (pid, at_ns, status) in statuses {
        by_pid.entry(*pid).or_default().push((*at_ns, *status));
    }
    for (life, image) in lives.iter_mut().zip(images) {
        if life.next.is_some() || life.ending == Ending::Running {
            continue;
        }
        let waits = by_pid.get(&image.pid).map_or(&[][..], Vec::as_slice);
        // The first wait after its start: later ones are of later processes with this pid.
        let Some((at_ns, status)) = waits.iter().find(|(at_ns, _)| *at_ns >= life.started_ns)
        else {
            continue;
        };
        // A signal can still come after `exit` was called: the kernel's word counts.
        life.ending = Ending::from_wait(*status);
        life.ended_ns = life.ended_ns.or(Some(*at_ns));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::clock::ClockFacts;

    fn image(pid: u32, number: u32, start_ns: u64, end: End, end_ns: u64) -> Image {
        Image {
            region: (pid * 100 + number) as u64,
            pid,
            image: number,
            start_ticks: 5,
            end: Some(end),
            clock: ClockFacts { start_ns, end_ns, is_monotonic: true, ..ClockFacts::default() },
            ..Image::default()
        }
    }

    #[test]
    fn an_exec_counts_only_if_a_new_image_followed() {
        let images = [
            image(1, 1, 10, End::Exec, 20),
            image(1, 2, 25, End::Exited, 40),
            image(2, 1, 15, End::Exec, 30),
        ];
        let facts: Vec<_> = images.iter().map(|image| image.clock).collect();
        let lives = lives(&images, &Clock::fit(&facts));
        assert_eq!(
            (lives[0].ending, lives[0].ended_ns, lives[0].next),
            (Ending::Exec, Some(15), Some(1))
        );
        assert_eq!((lives[1].ending, lives[1].ended_ns), (Ending::Exit(0), Some(30)));
        assert_eq!(lives[2].ending, Ending::Unknown);
    }

    #[test]
    fn run_tells_how_the_command_ended_if_it_did_not_say_so_itself() {
        let images = [image(7, 1, 100, End::Running, 0), image(8, 1, 100, End::Running, 0)];
        let clock = Clock::fit(&[ClockFacts { is_monotonic: true, ..ClockFacts::default() }]);
        let mut known = lives(&images, &clock);
        let ending = Ending::from_text("exit:3").expect("an ending");
        apply_command(&mut known, &images, 7, ending, 900);
        assert_eq!((known[0].ending, known[0].ended_ns), (Ending::Exit(3), Some(900)));
        assert_eq!(known[1].ending, Ending::Unknown);
        assert_eq!(Ending::from_text("signal:9"), Some(Ending::Signal(9)));
        assert_eq!(Ending::from_text("exit:x").or(Ending::from_text("lost")), None);
    }

    #[test]
    fn a_wait_tells_how_a_killed_child_ended_and_a_reused_pid_does_not() {
        let images = [image(7, 1, 100, End::Running, 0)];
        let clock = Clock::fit(&[ClockFacts { is_monotonic: true, ..ClockFacts::default() }]);
        let mut known = lives(&images, &clock);
        apply_waits(&mut known, &images, &[(7, 50, 0)]);
        assert_eq!(known[0].ending, Ending::Unknown);
        apply_waits(&mut known, &images, &[(7, 50, 0), (7, 150, 9)]);
        assert_eq!((known[0].ending, known[0].ended_ns), (Ending::Signal(9), Some(150)));
    }
}
