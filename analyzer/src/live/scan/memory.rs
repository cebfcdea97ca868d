//! The memory of another process, read without stopping it: `/proc/PID/{maps,pagemap,mem}`.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Read at a time.
const PIECE: usize = 1 << 18;
/// Bytes below a stack pointer that a function may use (System V ABI, the red zone).
const RED_ZONE: u64 = 128;
/// Larger mappings are no stacks of threads.
const LARGEST_STACK: u64 = 64 << 20;

const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const SOFT_DIRTY: u64 = 1 << 55;

/// A mapping that can hold pointers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// Whether a stack pointer in it says that what lies below is over.
    pub is_stack: bool,
    /// Of libc: its list of all streams is in it.
    pub is_libc: bool,
}

/// Where pointers can be: what is writable, and anonymous memory that was. The shim's own memory is none of
/// the program's: it knows every block.
pub fn ranges(maps: &str) -> Vec<Range> {
    let mut all = Vec::new();
    let mut guard_end = 0;
    let mut shim_end = 0;
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let Some((start, end)) = fields.next().and_then(|range| range.split_once('-')) else {
            continue;
        };
        let hex = |text: &str| u64::from_str_radix(text, 16).ok();
        let (Some(start), Some(end)) = (hex(start), hex(end)) else { continue };
        let rights = fields.next().unwrap_or("");
        let path = line.find(['/', '[']).map_or("", |at| &line[at..]);
        if rights.starts_with("---") {
            guard_end = end;
            continue;
        }
        let name = path.trim_end_matches(" (deleted)");
        let is_shim = name.ends_with(".region") || name.contains("/libresshim.so");
        // What is zero at first lies behind the file's own part, without a name.
        if is_shim || path.is_empty() && start == shim_end {
            shim_end = end;
            continue;
        }
        let is_kernels = ["[vvar", "[vdso", "[vsyscall"].iter().any(|name| path.starts_with(name));
        let is_device = path.starts_with("/dev/")
            && !path.starts_with("/dev/shm/")
            && !path.starts_with("/dev/zero");
        let holds = rights.starts_with("rw") || rights.starts_with('r') && path.is_empty();
        if !holds || is_kernels || is_device || end <= start {
            continue;
        }
        let is_small = end - start <= LARGEST_STACK;
        all.push(Range {
            start,
            end,
            is_stack: is_small
                && (path == "[stack]" || path.is_empty() && guard_end == start && start != 0),
            is_libc: name.rsplit('/').next().is_some_and(|name| name.starts_with("libc.so")),
        });
    }
    all
}

/// The files.
#[derive(Debug)]
pub struct Memory {
    pid: u32,
    memory: File,
    pages: Option<File>,
    page: u64,
}

impl Memory {
    /// Of a process.
    ///
    /// # Errors
    /// Without ptrace rights.
    pub fn open(pid: u32) -> std::io::Result<Memory> {
        let memory = File::open(format!("/proc/{pid}/mem"))?;
        let pages = File::open(format!("/proc/{pid}/pagemap")).ok();
        Ok(Memory { pid, memory, pages, page: rustix::param::page_size() as u64 })
    }

    /// Its mappings now.
    pub fn ranges(&self) -> Vec<Range> {
        let maps = std::fs::read(format!("/proc/{}/maps", self.pid)).unwrap_or_default();
        ranges(&String::from_utf8_lossy(&maps))
    }

    /// From now on the kernel notes which pages are written to; false: it cannot.
    pub fn note_writes(&self) -> bool {
        can_note_writes() && std::fs::write(format!("/proc/{}/clear_refs", self.pid), "4").is_ok()
    }

    /// Gives each piece that is there (with `written_only`: that was written to since) to `take`, with its
    /// first address. What was never touched is not read. Bytes read.
    pub fn read(&self, range: &Range, written_only: bool, take: &mut dyn FnMut(u64, &[u8])) -> u64 {
        let mut buffer = vec![0; PIECE];
        let mut read = 0;
        for (start, end) in self.present(range, written_only) {
            let mut at = start;
            while at < end {
                let length = PIECE.min((end - at) as usize);
                let got = match self.memory.read_at(&mut buffer[..length], at) {
                    Ok(got) if got > 0 => got,
                    // Gone meanwhile, or never to be read.
                    _ => {
                        at = at.saturating_add(self.page);
                        continue;
                    }
                };
                take(at, &buffer[..got]);
                read += got as u64;
                at += got as u64;
            }
        }
        read
    }

    /// Runs of pages that are there.
    fn present(&self, range: &Range, written_only: bool) -> Vec<(u64, u64)> {
        let whole = vec![(range.start, range.end)];
        let Some(pages) = &self.pages else { return whole };
        let mut runs: Vec<(u64, u64)> = Vec::new();
        let mut entries = vec![0; 8 * 4096];
        let mut at = range.start;
        while at < range.end {
            let count = ((range.end - at) / self.page).min(4096) as usize;
            if count == 0
                || pages.read_exact_at(&mut entries[..count * 8], at / self.page * 8).is_err()
            {
                return whole;
            }
            for entry in entries[..count * 8].chunks_exact(8) {
                let mut word = [0; 8];
                word.copy_from_slice(entry);
                let word = u64::from_ne_bytes(word);
                let wanted =
                    word & (PRESENT | SWAPPED) != 0 && (!written_only || word & SOFT_DIRTY != 0);
                if wanted {
                    match runs.last_mut().filter(|run| run.1 == at) {
                        Some(run) => run.1 = at + self.page,
                        None => runs.push((at, at + self.page)),
                    }
                }
                at += self.page;
            }
        }
        runs
    }
}

/// Whether the kernel notes writes (`CONFIG_MEM_SOFT_DIRTY`): tried on a page of our own. Without it the bit
/// is never set, and everything would seem unchanged.
fn can_note_writes() -> bool {
    let page = rustix::param::page_size();
    let mut own = vec![1_u8; page * 3];
    let address = own.as_ptr() as usize / page * page + page;
    let is_noted = || -> Option<bool> {
        let mut word = [0; 8];
        let pages = File::open("/proc/self/pagemap").ok()?;
        pages.read_exact_at(&mut word, (address / page * 8) as u64).ok()?;
        Some(u64::from_ne_bytes(word) & SOFT_DIRTY != 0)
    };
    if std::fs::write("/proc/self/clear_refs", "4").is_err() {
        return false;
    }
    let before = is_noted();
    own[page * 3 / 2] = 2;
    std::hint::black_box(&mut own);
    let index = address - own.as_ptr() as usize;
    own[index] = 3;
    std::hint::black_box(&mut own);
    before == Some(false) && is_noted() == Some(true)
}

/// Where what lies below a stack pointer ends, in a range that is a stack.
pub fn live_from(range: &Range, stack_pointers: &[u64]) -> u64 {
    let own = stack_pointers.iter().filter(|sp| (range.start..range.end).contains(*sp));
    match own.min() {
        Some(sp) if range.is_stack => sp.saturating_sub(RED_ZONE).max(range.start),
        _ => range.start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shims_own_memory_is_left_out_and_stacks_are_known_by_their_guard() {
        let maps = "\
1000-2000 r--p 00000000 08:01 1 /srv/program\n\
2000-3000 rw-p 00000000 08:01 1 /srv/program\n\
3000-4000 rw-p 00000000 08:01 2 /opt/libresshim.so\n\
4000-5000 rw-p 00000000 00:00 0 \n\
6000-7000 rw-s 00000000 00:01 3 /dev/shm/resshim-0/7-00000000000000aa.region\n\
8000-9000 ---p 00000000 00:00 0 \n\
9000-a000 rw-p 00000000 00:00 0 \n\
b000-c000 rw-s 00000000 00:01 3 /dev/dri/card0\n\
c000-d000 rw-p 00000000 08:01 4 /lib/libc.so.6\n\
e000-f000 rw-p 00000000 00:00 0 [stack]\n\
f000-ffff r--p 00000000 00:00 0 [vvar]\n";
        let all = ranges(maps);
        let starts: Vec<(u64, bool, bool)> =
            all.iter().map(|range| (range.start, range.is_stack, range.is_libc)).collect();
        let expected = [
            (0x2000, false, false),
            (0x9000, true, false),
            (0xc000, false, true),
            (0xe000, true, false),
        ];
        assert_eq!(starts, expected);
        assert_eq!(live_from(&all[1], &[0x9800]), 0x9800 - RED_ZONE);
        assert_eq!(live_from(&all[0], &[0x2800]), 0x2000, "a stack in other memory hides nothing");
    }

    #[test]
    fn this_process_can_read_itself() {
        let mark = vec![0x5a_u8; 100_000];
        let memory = Memory::open(std::process::id()).expect("ours");
        let address = mark.as_ptr() as u64;
        let ranges = memory.ranges();
        let range = ranges.iter().find(|range| (range.start..range.end).contains(&address));
        let mut found = false;
        memory.read(range.expect("it is writable"), false, &mut |at, bytes| {
            let inside = address.checked_sub(at).and_then(|from| bytes.get(from as usize));
            found |= inside == Some(&0x5a);
        });
        assert!(found);
    }
}
