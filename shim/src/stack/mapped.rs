//! Modules by the kernel's list of mappings: before glibc 2.35 the loader has no `_dl_find_object`.
//!
//! `dl_iterate_phdr` takes the loader's lock: a thread that holds a lock of the program's and allocates
//! would wait for one that is loading a library whose constructor waits for that lock. The list takes none.
//! It is read where an address is met that no known module holds, a few times in a process's life;
//! addresses that no file is behind (generated code) are remembered, so that they do not read it each time.

use super::apart;
use super::executable;
use super::modules::{LOAD, Object};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Gives the list piece by piece to the function that it is handed, which says whether it wants more.
type Reader = fn(&mut dyn FnMut(&[u8]) -> bool);
static READER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Who reads `/proc/self/maps`: it runs where the walk runs, and must not allocate, block or panic.
pub fn set_reader(reader: Reader) {
    READER.store(reader as *mut (), Ordering::Release);
}

const UNWIND_TABLES: u32 = 0x6474_e550;
const MOST_MODULES: usize = 256;
const PATH_WORDS: usize = 24;
/// Blocks of 64 KiB without a module.
const MOST_MISSES: usize = 64;
/// A known miss is looked at again after so many: a library may have come there.
const PATIENCE: u32 = 1024;

/// A module that was met; `start` 0 ends the list.
struct Known {
    start: AtomicUsize,
    end: AtomicUsize,
    bias: AtomicUsize,
    eh_frame_hdr: AtomicUsize,
    /// 1 + epoch in which it was last seen there, 0 = not complete.
    seen: AtomicU64,
    path: [AtomicU64; PATH_WORDS],
}
apart! { static KNOWN: [Known; MOST_MODULES] = "resshim_mapped_modules"; }
apart! { static MISSES: [AtomicUsize; MOST_MISSES] = "resshim_mapped_misses"; }
static PATIENTLY: AtomicU32 = AtomicU32::new(0);

impl Known {
    fn object(&self) -> Object {
        Object {
            start: self.start.load(Ordering::Relaxed),
            end: self.end.load(Ordering::Relaxed),
            bias: self.bias.load(Ordering::Relaxed),
            name: self.path.as_ptr().expose_provenance(),
            eh_frame_hdr: self.eh_frame_hdr.load(Ordering::Relaxed),
            is_executable: false,
        }
    }

    fn is_named(&self, path: &[u8; PATH_WORDS * 8]) -> bool {
        let (words, _) = path.as_chunks::<8>();
        let mut pairs = self.path.iter().zip(words);
        pairs.all(|(known, word)| known.load(Ordering::Relaxed) == u64::from_le_bytes(*word))
    }
}

/// The module that an address lies in.
pub(super) fn find(pc: usize) -> Option<Object> {
    if let Some((start, end)) = executable::range_around(pc) {
        return of_executable(start, end);
    }
    let stamp = u64::from(super::epoch()) + 1;
    let stands = |known: &&Known| {
        let start = known.start.load(Ordering::Acquire);
        start <= pc && pc < known.end.load(Ordering::Acquire)
    };
    let present = KNOWN.iter().take_while(|known| known.start.load(Ordering::Acquire) != 0);
    let mut found = present.filter(stands);
    if let Some(known) = found.find(|known| known.seen.load(Ordering::Acquire) == stamp) {
        return Some(known.object());
    }
    let block = pc >> 16;
    let miss = MISSES.get(block % MOST_MISSES)?;
    if miss.load(Ordering::Relaxed) == block
        && PATIENTLY.fetch_add(1, Ordering::Relaxed) % PATIENCE != PATIENCE - 1
    {
        return None;
    }
    let object = Mapping::around(pc).and_then(|mapping| remember(&mapping, stamp));
    miss.store(if object.is_some() { 0 } else { block }, Ordering::Relaxed);
    object.filter(|object| object.start <= pc && pc < object.end)
}

fn of_executable(start: usize, end: usize) -> Option<Object> {
    let bias = executable::bias()?;
    let tables = executable::headers().iter().find(|header| header.kind == UNWIND_TABLES);
    let eh_frame_hdr = tables.map_or(0, |header| bias.wrapping_add(header.address));
    Some(Object { start, end, bias, name: 0, eh_frame_hdr, is_executable: true })
}

/// Puts a module that was found among the known ones, if it is not there from an earlier epoch.
fn remember(mapping: &Mapping, stamp: u64) -> Option<Object> {
    let start = mapping.start;
    let here = Object {
        start,
        end: mapping.end,
        bias: start,
        name: 0,
        eh_frame_hdr: 0,
        is_executable: false,
    };
    let headers = here.headers();
    let mut loads = headers.iter().filter(|header| header.kind == LOAD);
    let first = loads.next()?.address & !0xfff;
    let last = headers.iter().filter(|header| header.kind == LOAD).map(|h| h.address + h.bytes);
    let bias = start.wrapping_sub(first);
    let end = bias.wrapping_add(last.max()?).next_multiple_of(0x1000);
    let tables = headers.iter().find(|header| header.kind == UNWIND_TABLES);
    let eh_frame_hdr = tables.map_or(0, |header| bias.wrapping_add(header.address));
    for known in &KNOWN {
        let claim =
            known.start.compare_exchange(0, start, Ordering::AcqRel, Ordering::Acquire).err();
        match claim {
            None => {
                known.bias.store(bias, Ordering::Relaxed);
                known.eh_frame_hdr.store(eh_frame_hdr, Ordering::Relaxed);
                let (words, _) = mapping.path.as_chunks::<8>();
                for (place, word) in known.path.iter().zip(words) {
                    place.store(u64::from_le_bytes(*word), Ordering::Relaxed);
                }
                known.end.store(end, Ordering::Release);
                known.seen.store(stamp, Ordering::Release);
                return Some(known.object());
            }
            Some(stands)
                if stands == start
                    && known.end.load(Ordering::Acquire) == end
                    && known.is_named(&mapping.path) =>
            {
                known.seen.store(stamp, Ordering::Release);
                return Some(known.object());
            }
            Some(_) => {}
        }
    }
    None
}

/// A file that is mapped round an address, from its beginning on.
struct Mapping {
    start: usize,
    end: usize,
    path: [u8; PATH_WORDS * 8],
}

impl Mapping {
    fn around(pc: usize) -> Option<Mapping> {
        let reader = READER.load(Ordering::Acquire);
        if reader.is_null() {
            return None;
        }
        // SAFETY: `set_reader` stored a function of this type.
        let read = unsafe { core::mem::transmute::<*mut (), Reader>(reader) };
        let mut parser = Parser::new(pc);
        read(&mut |bytes| {
            bytes.iter().for_each(|byte| parser.take(*byte));
            parser.found.is_none()
        });
        parser.found
    }
}

/// Reads lines `start-end perms offset device inode   path`.
struct Parser {
    pc: usize,
    /// Field of the line at hand that is being read.
    field: u32,
    in_blank: bool,
    numbers: [usize; 4],
    is_readable: bool,
    path: [u8; PATH_WORDS * 8],
    path_bytes: usize,
    /// Beginning of the file whose mappings follow one another, and its inode.
    run: Option<(usize, usize)>,
    found: Option<Mapping>,
}
/// The last field of a line; before it stand start, end, permissions, offset, device and inode.
const PATH: u32 = 6;
const START: usize = 0;
const END: usize = 1;
const OFFSET: usize = 2;
const INODE: usize = 3;

impl Parser {
    fn new(pc: usize) -> Parser {
        Parser {
            pc,
            field: 0,
            in_blank: false,
            numbers: [0; 4],
            is_readable: false,
            path: [0; PATH_WORDS * 8],
            path_bytes: 0,
            run: None,
            found: None,
        }
    }

    fn take(&mut self, byte: u8) {
        if self.found.is_some() {
            return;
        }
        match byte {
            b'\n' => return self.end_line(),
            b' ' if self.field < PATH => {
                self.field += u32::from(!self.in_blank);
                self.in_blank = true;
                return;
            }
            b' ' if self.path_bytes == 0 => return,
            b'-' if self.field == 0 => {
                self.field = 1;
                return;
            }
            _ => self.in_blank = false,
        }
        let (number, base) = match self.field {
            0 => (START, 16),
            1 => (END, 16),
            3 => (OFFSET, 16),
            5 => (INODE, 10),
            PATH => {
                if let Some(slot) = self.path.get_mut(self.path_bytes) {
                    *slot = byte;
                    self.path_bytes += 1;
                }
                return;
            }
            field => {
                self.is_readable |= field == 2 && byte == b'r';
                return;
            }
        };
        let digit = (byte as char).to_digit(16).unwrap_or(0) as usize;
        if let Some(value) = self.numbers.get_mut(number) {
            *value = value.wrapping_mul(base).wrapping_add(digit);
        }
    }

    fn end_line(&mut self) {
        let [start, end, offset, inode] = self.numbers;
        // The vDSO is no file, but a module.
        let is_vdso = self.path.starts_with(b"[vdso]");
        if offset == 0 && (inode != 0 || is_vdso) && self.is_readable {
            self.run = Some((start, inode));
        } else if inode != 0 && self.run.is_some_and(|run| run.1 != inode) {
            self.run = None;
        }
        if start <= self.pc
            && self.pc < end
            && let Some((run_start, run_inode)) = self.run
            && run_inode == inode
            && let Some(last) = self.path.last_mut()
        {
            *last = 0;
            self.found = Some(Mapping { start: run_start, end, path: self.path });
        }
        let (pc, run, found) = (self.pc, self.run, self.found.take());
        *self = Parser { run, found, ..Parser::new(pc) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, pc: usize) -> Option<(usize, usize, String)> {
        let mut parser = Parser::new(pc);
        text.bytes().for_each(|byte| parser.take(byte));
        parser.found.map(|found| {
            let path: Vec<u8> = found.path.into_iter().take_while(|byte| *byte != 0).collect();
            (found.start, found.end, String::from_utf8_lossy(&path).into_owned())
        })
    }

    const MAPS: &str = "\
55d0c0000000-55d0c0001000 r--p 00000000 fe:00 77                         /bin/a b
55d0c0001000-55d0c0003000 r-xp 00001000 fe:00 77                         /bin/a b
7f0000000000-7f0000021000 rw-p 00000000 00:00 0 
7f1000000000-7f1000026000 r--p 00000000 fe:00 1234                       /lib/libc.so.6
7f1000026000-7f100017b000 r-xp 00026000 fe:00 1234                       /lib/libc.so.6
7f10001d0000-7f10001dd000 rw-p 00000000 00:00 0 
7f1000200000-7f1000300000 r-xp 00000000 00:00 0 
7ffd1a7fe000-7ffd1a800000 r-xp 00000000 00:00 0                          [vdso]
";

    #[test]
    fn the_file_round_an_address_is_found_from_its_beginning_on() {
        assert_eq!(
            parsed(MAPS, 0x7f10_0010_0000),
            Some((0x7f10_0000_0000, 0x7f10_0017_b000, "/lib/libc.so.6".into()))
        );
        assert_eq!(
            parsed(MAPS, 0x55d0_c000_2000),
            Some((0x55d0_c000_0000, 0x55d0_c000_3000, "/bin/a b".into()))
        );
        assert_eq!(parsed(MAPS, 0x7ffd_1a7f_f000).map(|found| found.2), Some("[vdso]".into()));
        for nobody in [0x7f00_0000_1000, 0x7f10_0020_1000, 0x7f10_001d_1000, 0x1000] {
            assert_eq!(parsed(MAPS, nobody), None, "{nobody:x}");
        }
        for cut in 0..MAPS.len() {
            parsed(&MAPS[..cut], 0x7f10_0010_0000);
        }
    }
}
