//! A second process that scribbles over the regions of a running program never hurts it.
//!
//! What is written is random: words, ends of tables, the region's own words at other places. Only
//! pages that are there are written to: the file does not grow by it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use resshim_tests::scratch::Scratch;
use resshim_tests::{artifacts, program};
use rustix::fs::{SeekFrom, seek};

/// Random numbers (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

/// A region's file and the pages of it that are there.
struct Victim {
    path: PathBuf,
    file: File,
    extents: Vec<(u64, u64)>,
}

impl Victim {
    fn open(path: PathBuf) -> Option<Victim> {
        let file = File::options().read(true).write(true).open(&path).ok()?;
        Some(Victim { path, file, extents: Vec::new() })
    }

    /// Data and holes, as the file system knows them.
    fn look(&mut self) {
        self.extents.clear();
        let mut at = 0;
        while let Ok(start) = seek(&self.file, SeekFrom::Data(at)) {
            let Ok(end) = seek(&self.file, SeekFrom::Hole(start)) else { return };
            self.extents.push((start, end));
            at = end;
        }
    }

    fn scribble(&self, random: &mut Random) {
        let Some(&(start, end)) =
            self.extents.get(random.below(self.extents.len() as u64) as usize)
        else {
            return;
        };
        // Every second time into the first pages: header, control, directory, states of chunks.
        let end = if start == 0 && random.below(2) == 0 { end.min(20 << 10) } else { end };
        let at = start + random.below((end - start) / 8) * 8;
        let value = match random.below(6) {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << random.below(64),
            3 => random.below(1 << 16),
            4 => {
                let mut word = [0; 8];
                let from = start + random.below((end - start) / 8) * 8;
                let _ = self.file.read_exact_at(&mut word, from);
                u64::from_ne_bytes(word)
            }
            _ => random.next(),
        };
        let _ = self.file.write_all_at(&value.to_ne_bytes(), at);
    }
}

fn regions(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let shared = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "region") || path.ends_with("quota")
    };
    paths.filter(shared).collect()
}

/// Runs the program for `seconds` while its regions are written to; its output.
fn scribbled(seconds: u64, seed: u64) -> String {
    let program = program::named("scribbled/works_hard");
    let out = Scratch::for_regions("scribble");
    let mut child = Command::new(&program.path)
        .arg(seconds.to_string())
        .env("LD_PRELOAD", artifacts::shim())
        .env("RESSHIM_OUT", out.path())
        .env("RESSHIM_HEAP_SAMPLE", "1")
        .env("RESSHIM_MAX_BYTES", "64MiB")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut random = Random(seed);
    let mut victims: Vec<Victim> = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(seconds + 60);
    let mut written = 0u64;
    while child.try_wait().expect("wait").is_none() {
        assert!(Instant::now() < deadline, "seed {seed}: it hangs");
        // The program's own region, and some of its children's.
        victims.truncate(4);
        for path in regions(out.path()).into_iter().take(64) {
            if victims.len() < 12 && victims.iter().all(|v| v.path != path) {
                victims.extend(Victim::open(path));
            }
        }
        victims.iter_mut().for_each(Victim::look);
        for _ in 0..20_000 {
            let bound = victims.len() as u64;
            if let Some(victim) = victims.get(random.below(bound) as usize) {
                victim.scribble(&mut random);
                written += 1;
            }
        }
    }
    assert!(written > 1000, "seed {seed}: only {written} words were written");
    let output = child.wait_with_output().expect("output");
    format!(
        "{:?} {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn a_program_whose_regions_are_scribbled_on_runs_unchanged() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    // By hand: RESSHIM_TEST_SECONDS=60.
    let seconds = number("RESSHIM_TEST_SECONDS").unwrap_or(2);
    let seed = number("RESSHIM_TEST_SEED").unwrap_or(u64::from(std::process::id()));
    let seen = scribbled(seconds, seed);
    assert!(seen.ends_with("ExitStatus(unix_wait_status(0)) whole\n"), "seed {seed}: {seen}");
}
