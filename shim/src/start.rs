//! The beginning and the end of an image: configuration, identity, original functions, the index.
//!
//! The constructor runs first of all (`-z initfirst`), but a `preinit_array` or ld.so itself can
//! call a hook earlier; so starting is a function that anyone may call, and that runs once. Whoever
//! comes while another thread starts goes on untracked instead of waiting.
//!
//! With `-z initfirst`, libc's `environ` is not set yet and the constructor of the `ctor` crate gets
//! no arguments: both are read from the start-up stack that the kernel made.
#![allow(unsafe_code, reason = "reads the start-up stack, registers the exit handler")]

use crate::config::{Config, Text};
use crate::index::hash;
use crate::label::without_credentials;
use crate::private::PRIVATE;
use crate::{hooks, real, region, seal, sys};
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use resshim_format::arguments::{Arguments, Kept};
use resshim_format::header::{End, Tag};
use resshim_format::index::{INDEX_FILE, IndexEvent, IndexRow};
use resshim_format::op::Op;
use resshim_format::table::{ChildRow, FailureRow, SiteRow};
use rustix::fd::{AsFd, BorrowedFd};
use zerocopy::IntoBytes;

const NOT_STARTED: u32 = 0;
const STARTING: u32 = 1;
const STARTED: u32 = 2;
const OFF: u32 = 3;

static STATE: AtomicU32 = AtomicU32::new(NOT_STARTED);
static INCARNATIONS: AtomicU32 = AtomicU32::new(0);
static IMAGE_PID: AtomicU32 = AtomicU32::new(0);
static IMAGE_EUID: AtomicU32 = AtomicU32::new(0);
static IMAGE_TICKS: AtomicU64 = AtomicU64::new(0);
static IMAGE_NAME: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
static IMAGE_REGION: AtomicU64 = AtomicU64::new(0);
static PARENT_REGION: AtomicU64 = AtomicU64::new(0);
static PARENT_FORK: AtomicU32 = AtomicU32::new(0);
static ARGUMENTS: AtomicUsize = AtomicUsize::new(0);
static PRIVATE_DIRECTORY: AtomicPtr<c_char> = AtomicPtr::new(core::ptr::null_mut());
/// `malloc` where calls of it do not reach us, 0 where they do.
static MALLOC_OF_OTHERS: AtomicUsize = AtomicUsize::new(0);

struct Settings(UnsafeCell<Config>);
// SAFETY: written by the one thread that starts, read only after `STATE` says so.
unsafe impl Sync for Settings {}
static SETTINGS: Settings = Settings(UnsafeCell::new(Config::DEFAULT));

unsafe extern "C" {
    /// Where the kernel put `argc` (ld.so; `GLIBC_2.2.5`).
    static __libc_stack_end: *const usize;
}

/// Stops for good: hooks only pass on. For what would make our own instructions fatal.
pub fn stop() {
    STATE.store(OFF, Ordering::Release);
}

/// What the user asked for. Only after start.
pub fn settings() -> &'static Config {
    // SAFETY: nobody writes any more once `STATE` is `STARTED`; callers run after that.
    unsafe { &*SETTINGS.0.get() }
}

#[ctor::ctor(unsafe)]
fn constructor() {
    is_on();
}

/// Whether events are to be recorded; starts the shim if nobody did.
#[inline(always)]
pub fn is_on() -> bool {
    match STATE.load(Ordering::Acquire) {
        STARTED => true,
        NOT_STARTED => start(),
        _ => false,
    }
}

/// Whether start is over and recording is on; never starts anything.
#[inline(always)]
pub fn has_started() -> bool {
    STATE.load(Ordering::Acquire) == STARTED
}

/// Whether the program's calls come to our hooks: not where the library was only loaded by it later on.
pub fn is_preloaded() -> bool {
    // A name that nobody else defines but libc, which would come first.
    let first = crate::stack::module_of(real::find(c"inotify_init1") as usize);
    let own = crate::stack::module_of(is_preloaded as *const () as usize);
    first.zip(own).is_some_and(|(first, own)| first.start == own.start)
}

#[cold]
fn start() -> bool {
    let claimed =
        STATE.compare_exchange(NOT_STARTED, STARTING, Ordering::AcqRel, Ordering::Acquire);
    if claimed.is_err() {
        return false;
    }
    // SAFETY: this thread won the claim: nobody else reads or writes the settings now.
    let config = unsafe { &mut *SETTINGS.0.get() };
    // SAFETY: the start-up stack is as the kernel made it; ld.so set the pointer before any code of ours runs.
    let random = unsafe { read_start_stack(config) };
    if config.off {
        STATE.store(OFF, Ordering::Release);
        return false;
    }
    real::resolve_all(hooks::all().map(|hook| hook.real));
    for hook in hooks::all() {
        if let Some(settle) = hook.settle.filter(|_| !hook.real.is_missing()) {
            settle();
        }
    }
    crate::stack::set_find_object(real::find(c"_dl_find_object"));
    crate::stack::set_maps_reader(sys::read_maps);
    crate::stack::set_module_hook(crate::state::modules::met);
    crate::stack::skip_own_module();
    // SAFETY: ld.so's variable.
    crate::stack::set_first_stack_end(unsafe { __libc_stack_end } as usize);
    MALLOC_OF_OTHERS.store(hooks::heap::malloc_of_others(), Ordering::Relaxed);
    let pid = sys::pid();
    IMAGE_PID.store(pid, Ordering::Relaxed);
    IMAGE_EUID.store(sys::euid(), Ordering::Relaxed);
    let id = hash(random ^ sys::counter() ^ (pid as u64) << 32).max(1);
    IMAGE_REGION.store(id, Ordering::Relaxed);
    register_exit();
    crate::hooks::thread::prepare();
    crate::stack::set_generated_frames(crate::generated::frames(config.jit_frames));
    STATE.store(STARTED, Ordering::Release);
    append_index(IndexEvent::Begin, id, 0);
    true
}

/// Reads arguments, environment and the kernel's random bytes.
///
/// # Safety
/// `__libc_stack_end` points at `argc, argv…, 0, envp…, 0, auxv…` (System V ABI, 3.4.1).
unsafe fn read_start_stack(config: &mut Config) -> u64 {
    // SAFETY: by the layout of the start-up stack, each of the three lists ends with a zero.
    unsafe {
        let stack = __libc_stack_end;
        if stack.is_null() {
            return 0;
        }
        ARGUMENTS.store(stack as usize, Ordering::Relaxed);
        for index in 1..=*stack {
            let argument = *stack.add(index) as *const c_char;
            if index > 1 && !argument.is_null() {
                crate::generated::note_argument(CStr::from_ptr(argument).to_bytes());
            }
        }
        let mut at = stack.add(1 + *stack + 1);
        let mut file: *const c_char = core::ptr::null();
        let first = at;
        while *at != 0 {
            if let Some((name, value)) = variable(*at as *const c_char)
                && name == b"CONFIG"
            {
                file = value.as_ptr().cast();
            }
            at = at.add(1);
        }
        // The file first: what the environment says wins.
        if !file.is_null() {
            read_config_file(config, CStr::from_ptr(file));
        }
        at = first;
        while *at != 0 {
            let text = *at as *const c_char;
            if let Some((name, value)) = variable(text) {
                config.set(name, value);
            } else if let Some(value) =
                CStr::from_ptr(text).to_bytes().strip_prefix(b"XDG_RUNTIME_DIR=")
            {
                PRIVATE_DIRECTORY.store(value.as_ptr() as *mut c_char, Ordering::Relaxed);
            } else if let Some(value) =
                CStr::from_ptr(text).to_bytes().strip_prefix(b"NODE_OPTIONS=")
            {
                crate::generated::note_options(value);
            }
            at = at.add(1);
        }
        at = at.add(1);
        let (mut random, mut headers, mut count) = (0, 0, 0);
        while *at != 0 {
            let value = *at.add(1);
            match *at as u64 {
                libc::AT_RANDOM if value != 0 => {
                    random = u64::from_ne_bytes(*(value as *const [u8; 8]));
                }
                libc::AT_PHDR => headers = value,
                libc::AT_PHNUM => count = value,
                _ => {}
            }
            at = at.add(2);
        }
        crate::stack::set_program_headers(headers, count);
        random
    }
}

/// `RESSHIM_NAME=value` → name, value.
///
/// # Safety
/// `text` is a C string.
unsafe fn variable<'a>(text: *const c_char) -> Option<(&'a [u8], &'a [u8])> {
    // SAFETY: by the caller's promise.
    let text = unsafe { CStr::from_ptr(text) }.to_bytes().strip_prefix(b"RESSHIM_")?;
    let at = text.iter().position(|byte| *byte == b'=')?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

fn read_config_file(config: &mut Config, path: &CStr) {
    let mut buffer = [0; 4096];
    match sys::read_file(path, &mut buffer) {
        Ok(length) => config.set_file(buffer.get(..length).unwrap_or(&[])),
        Err(_) => {
            let _ = config.remarks.push(b"RESSHIM_CONFIG: the file cannot be read\n");
        }
    }
}

/// Who this process image is.
pub struct Identity {
    image_pid: u32,
    image_region: u64,
    parent_region: u64,
    parent_fork: u32,
}

/// As it stands now.
pub fn identity() -> Identity {
    Identity {
        image_pid: IMAGE_PID.load(Ordering::Relaxed),
        image_region: IMAGE_REGION.load(Ordering::Relaxed),
        parent_region: PARENT_REGION.load(Ordering::Relaxed),
        parent_fork: PARENT_FORK.load(Ordering::Relaxed),
    }
}

impl Identity {
    /// Whether this process came by fork from the one that began the image.
    pub fn is_fork_child(&self, pid: u32) -> bool {
        pid != self.image_pid
    }
    /// Id of this process's region.
    pub fn region_for(&self, pid: u32) -> u64 {
        let id = if self.is_fork_child(pid) {
            hash(self.parent_region ^ sys::counter() ^ (pid as u64) << 32).max(1)
        } else {
            self.image_region
        };
        // Whoever this process forks names it as its parent.
        PARENT_REGION.store(id, Ordering::Relaxed);
        PARENT_FORK.store(0, Ordering::Relaxed);
        id
    }
    /// Region of the process that forked this one, 0 = it came by exec.
    pub fn parent_region(&self, pid: u32) -> u64 {
        if self.is_fork_child(pid) { self.parent_region } else { 0 }
    }
    /// Which fork of the parent's.
    pub fn parent_fork(&self, pid: u32) -> u32 {
        if self.is_fork_child(pid) { self.parent_fork } else { 0 }
    }
}

/// The number of the fork that comes now; the child reads it as its own.
pub fn note_fork(sequence: u32) {
    PARENT_FORK.store(sequence, Ordering::Relaxed);
}

/// Number of the next incarnation of the private state: another one in every process, since a fork
/// child counts on from its parent's.
pub fn next_incarnation() -> u32 {
    INCARNATIONS.fetch_add(1, Ordering::Relaxed) + 1
}

/// Start of this process, `pid`; asked for once by the one that began the image.
pub fn ticks_of(pid: u32) -> u64 {
    if pid != IMAGE_PID.load(Ordering::Relaxed) {
        return start_ticks();
    }
    match IMAGE_TICKS.load(Ordering::Relaxed) {
        0 => {
            let ticks = start_ticks();
            IMAGE_TICKS.store(ticks, Ordering::Relaxed);
            ticks
        }
        ticks => ticks,
    }
}

/// Start of this process in clock ticks since boot; 0 where `/proc` is not there.
fn start_ticks() -> u64 {
    let mut buffer = [0; 512];
    let stat = sys::open_read(c"/proc/self/stat").and_then(|file| sys::read(&file, &mut buffer));
    let Ok(length) = stat else { return 0 };
    let text = buffer.get(..length).unwrap_or(&[]);
    // The name may hold spaces and parentheses: fields are counted from the last one.
    let Some(close) = text.iter().rposition(|byte| *byte == b')') else { return 0 };
    let mut fields = text.get(close + 1..).unwrap_or(&[]).split(|byte| *byte == b' ');
    // `starttime` is field 22 (proc(5)); the split gives an empty one first, then field 3.
    fields.nth(20).and_then(crate::config::parse_decimal).unwrap_or(0)
}

/// The directory for traces, if there is one that is ours alone.
pub fn directory() -> Option<sys::Descriptor> {
    let euid = sys::euid();
    let mut path: Text<512> = Text::EMPTY;
    let asked = settings().out.bytes();
    if !asked.is_empty() && path.push(asked) {
        if let Some(directory) = open_private(&mut path, euid) {
            return Some(directory);
        }
        path = Text::EMPTY;
    }
    let _ = path.push(b"/dev/shm/resshim-") && path.push_decimal(euid as u64);
    if let Some(directory) = open_private(&mut path, euid) {
        return Some(directory);
    }
    let runtime = PRIVATE_DIRECTORY.load(Ordering::Relaxed);
    if runtime.is_null() {
        return None;
    }
    path = Text::EMPTY;
    // SAFETY: points into the start-up stack, at the end of a C string.
    let runtime = unsafe { CStr::from_ptr(runtime) };
    let _ = path.push(runtime.to_bytes()) && path.push(b"/resshim");
    open_private(&mut path, euid)
}

fn open_private(path: &mut Text<512>, euid: u32) -> Option<sys::Descriptor> {
    let path = path.c_str()?;
    let directory = match sys::open_directory(path) {
        Ok(directory) => directory,
        Err(_) => {
            sys::make_directory(path).ok()?;
            sys::open_directory(path).ok()?
        }
    };
    sys::is_private(directory.as_fd(), euid).then_some(directory)
}

/// Most bytes of an index, where nothing else was asked for: a quarter million of rows.
const INDEX_MOST: u64 = 16 << 20;
/// Rows that others may append between a look at the index and a row of ours.
const INDEX_MARGIN: u64 = 1 << 20;

/// Appends a row to the index. Failures are silent: the region tells the same, where there is one.
pub fn append_index(event: IndexEvent, region: u64, status: u32) {
    append_end(event, region, End::Running, status);
}

fn append_end(event: IndexEvent, region: u64, end: End, status: u32) {
    if let Some(directory) = same_directory() {
        append_row(directory.as_fd(), event, region, end, status);
    }
}

/// The directory in which this image began. A process that has become another user would begin one of
/// its own, where nobody looks for the end of this image.
pub fn same_directory() -> Option<sys::Descriptor> {
    if sys::euid() == IMAGE_EUID.load(Ordering::Relaxed) { directory() } else { None }
}

fn append_row(
    directory: BorrowedFd,
    event: IndexEvent,
    region: u64,
    end: End,
    status: u32,
) -> Option<()> {
    let index = c_name(INDEX_FILE, |name| sys::append(directory, name)).ok()?;
    // A row beyond the limit for files would raise SIGXFSZ. Others append between the look and the
    // row, but not thousands.
    let length = sys::length(&index).ok()?;
    let most = match settings().max_bytes {
        0 => INDEX_MOST,
        bytes => bytes / 4,
    };
    if length > most || length + INDEX_MARGIN > sys::file_size_limit() {
        return None;
    }
    let pid = sys::pid();
    if IMAGE_NAME[0].load(Ordering::Relaxed) == 0 {
        note_name();
    }
    let known = if region::was_made() { PRIVATE.start_ticks.load(Ordering::Relaxed) } else { 0 };
    let mut row = IndexRow {
        check: 0,
        pid,
        parent_pid: sys::parent_pid(),
        start_ticks: if known != 0 { known } else { ticks_of(pid) },
        region,
        monotonic_ns: sys::monotonic_ns(),
        event: event as u16,
        end: end as u16,
        status,
        name: [0; 16],
    };
    for (to, word) in row.name.chunks_exact_mut(8).zip(&IMAGE_NAME) {
        to.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
    }
    sys::write(&index, row.sealed().as_bytes()).ok().map(drop)
}

/// Reads what every row of this image and of its fork children says alike: the executable's name.
fn note_name() {
    let mut path = [0; 512];
    let length = sys::read_link(c"/proc/self/exe", &mut path).unwrap_or(0);
    let base = path.get(..length).unwrap_or(&[]).rsplit(|byte| *byte == b'/').next().unwrap_or(&[]);
    let mut name = [0; 16];
    for (to, from) in name.iter_mut().zip(base) {
        *to = *from;
    }
    for (word, bytes) in IMAGE_NAME.iter().zip(name.as_chunks::<8>().0) {
        word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
    }
}

/// Calls with a name as C has it.
pub fn c_name<T>(
    name: &str,
    call: impl FnOnce(&CStr) -> Result<T, rustix::io::Errno>,
) -> Result<T, rustix::io::Errno> {
    let mut text: Text<64> = Text::EMPTY;
    let _ = text.push(name.as_bytes());
    text.c_str().map_or(Err(rustix::io::Errno::NAMETOOLONG), call)
}

/// Gives each string of the header to `put`.
pub fn strings(config: &Config, mut put: impl FnMut(Tag, &[u8])) {
    let mut buffer = [0; 1024];
    let length = sys::read_link(c"/proc/self/exe", &mut buffer).unwrap_or(0);
    let exe = buffer.get(..length).unwrap_or(&[]);
    put(Tag::Exe, exe);
    let base = exe.rsplit(|byte| *byte == b'/').next().unwrap_or(&[]);
    let service = config.service.bytes();
    put(Tag::Service, if service.is_empty() { base } else { service });
    let profile = config.profile.bytes();
    put(Tag::Profile, if profile.is_empty() { b"default" } else { profile });
    let mut arguments = Arguments::of(base, config.all_arguments);
    each_argument(|argument| {
        // The user and the password of a URL, whatever its name is.
        let clean = without_credentials(argument);
        let has_url = argument.windows(3).any(|three| three == b"://");
        match arguments.next(if has_url { clean.bytes() } else { argument }) {
            Kept::Nothing => {}
            Kept::Whole(argument) => put(Tag::Arg, argument),
            Kept::Beginning(argument) => {
                let mut text: Text<256> = Text::EMPTY;
                let _ = text.push(argument.get(..200).unwrap_or(argument)) && text.push(b"***");
                put(Tag::Arg, text.bytes());
            }
            Kept::Hidden => put(Tag::Arg, b"***"),
        }
    });
    let length = sys::read_link(c"/proc/self/cwd", &mut buffer).unwrap_or(0);
    put(Tag::Cwd, buffer.get(..length).unwrap_or(&[]));
    for remark in config.remarks.bytes().split(|byte| *byte == b'\n') {
        if !remark.is_empty() {
            put(Tag::Diagnostic, remark);
        }
    }
    let malloc = MALLOC_OF_OTHERS.load(Ordering::Relaxed);
    if malloc != 0 {
        let module = crate::stack::module_of(malloc).map_or(&[][..], |module| module.path);
        let name = module.rsplit(|byte| *byte == b'/').next().unwrap_or(&[]);
        let mut text: Text<256> = Text::EMPTY;
        let _ = text.push(b"heap: ")
            && text.push(if name.is_empty() { b"the executable" } else { name })
            && text.push(b" defines malloc");
        put(Tag::NotVisible, text.bytes());
    } else if let Some(library) = hooks::heap::library_with_own_new() {
        let mut text: Text<256> = Text::EMPTY;
        let _ =
            text.push(b"heap: C++ operator new is ") && text.push(library) && text.push(b"'s own");
        put(Tag::NotVisible, text.bytes());
    }
}

fn each_argument(mut each: impl FnMut(&[u8])) {
    let stack = ARGUMENTS.load(Ordering::Relaxed) as *const usize;
    if stack.is_null() {
        return;
    }
    // SAFETY: the start-up stack; a program that rewrites its arguments keeps them readable and ended
    // by the zeros behind them.
    unsafe {
        for index in 0..(*stack).min(256) {
            let argument = *stack.add(1 + index) as *const c_char;
            if !argument.is_null() {
                each(CStr::from_ptr(argument).to_bytes());
            }
        }
    }
}

/// `on_exit` handlers registered in the first constructor run last, after all destructors, and know
/// the status.
fn register_exit() {
    type OnExit = unsafe extern "C" fn(extern "C" fn(c_int, *mut c_void), *mut c_void) -> c_int;
    let on_exit = real::find(c"on_exit");
    if on_exit.is_null() {
        return;
    }
    // SAFETY: glibc's prototype (on_exit(3)).
    unsafe {
        let on_exit: OnExit = core::mem::transmute(on_exit);
        on_exit(at_exit, core::ptr::null_mut());
    }
}

extern "C" fn at_exit(status: c_int, _: *mut c_void) {
    finish(End::Exited, status as u32);
}

/// Whether nothing was acquired in this image and nothing failed.
fn has_nothing_to_tell(region: region::Region) -> bool {
    region.used::<SiteRow>() == 0
        && region.used::<FailureRow>() == 0
        && region.used::<ChildRow>() == 0
        && region.header().nested.load(Ordering::Relaxed) == 0
}

/// Writes how this image ends. Nothing is torn down: destructors may still call hooks.
pub fn finish(end: End, status: u32) {
    if !has_started() {
        return;
    }
    let errno = real::errno();
    let region = if region::was_made() { region::live() } else { None };
    if let Some(region) = region {
        let op = if end == End::Aborted { Op::Abort } else { Op::Exit };
        crate::emit::plain(op, &[status as u64], &[]);
        let header = region.header();
        header.end_status.store(status, Ordering::Relaxed);
        if !seal::is_sealed() {
            header.end_cpu_ns.store(sys::cpu_ns(), Ordering::Relaxed);
        }
        header.end_tsc.store(sys::counter(), Ordering::Relaxed);
        header.end_monotonic_ns.store(sys::monotonic_ns(), Ordering::Relaxed);
        header.unseen.store(PRIVATE.unseen.load(Ordering::Relaxed), Ordering::Relaxed);
        header.end.store(end as u32, Ordering::Release);
    }
    if seal::is_sealed() {
        // The region says it all; the index would ask for system calls.
        real::set_errno(errno);
        return;
    }
    let own = sys::pid() == IMAGE_PID.load(Ordering::Relaxed);
    if let Some(region) = region {
        let id = PRIVATE.region_id.load(Ordering::Relaxed);
        if let Some(directory) = same_directory() {
            let empty = has_nothing_to_tell(region);
            let told = if empty { 0 } else { id };
            let row = append_row(directory.as_fd(), IndexEvent::End, told, end, status);
            // Without the row nobody would know that there was a region.
            if empty && row.is_some() {
                let mut name = region::file_name(PRIVATE.pid.load(Ordering::Relaxed), id);
                if let Some(name) = name.c_str() {
                    let _ = sys::unlink(directory.as_fd(), name);
                    crate::quota::give_back();
                }
            }
        }
    } else if own {
        append_end(IndexEvent::End, 0, end, status);
    }
    real::set_errno(errno);
}
