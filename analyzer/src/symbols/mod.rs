//! Names of call sites: from addresses in a process to functions, files and lines.
//!
//! Names last: they are resolved when a trace is closed or first read, only for stacks that
//! somebody asks for, and stored in the trace by build id and offset ([`stored`]), so that a report
//! says the same after a rebuild, on another machine, with the binary deleted. A binary that is not
//! the one that ran gives no names, and that is said.
//!
//! Where no module holds an address, it is that of code made at run time: [`generated`] knows its names.

mod bridge;
mod demangle;
mod depth;
mod elf;
pub mod file;
pub mod generated;
pub mod managed;
pub mod normalise;
mod parts;
mod resolve;
#[cfg(test)]
pub(crate) mod scratch;
pub mod source_line;
pub mod stored;
pub mod user;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::report::{Diagnostic, Frame, Site};
use crate::source::region::Region;
use crate::source::rows::{Module, Stack};
use generated::GeneratedCode;
use resolve::{Binary, Name, Problem, Wanted};
use resshim_format::table::FRAME_MANAGED;
use stored::Names;
use user::Origin;

/// Binaries that are held open with their debug information at a time.
const MAX_OPEN: usize = 8;
/// Frames that a stack can have; the format allows 65 535.
const MAX_FRAMES: usize = 4096;

/// What names of one process image depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Effective user when its region was made.
    pub user: u32,
    /// Path of the executable.
    pub exe: PathBuf,
    /// Working directory at the start.
    pub cwd: PathBuf,
    /// Nanoseconds since 1970 when it began.
    pub started_ns: u64,
    /// Its modules, in any order.
    pub modules: Vec<Module>,
    /// Functions of managed languages.
    pub codes: managed::Codes,
}

impl Image {
    /// Of a region.
    pub fn of(region: &Region) -> Image {
        Image {
            user: region.header.euid,
            exe: PathBuf::from(&region.strings.exe),
            cwd: PathBuf::from(&region.strings.cwd),
            started_ns: region.header.start_realtime_ns,
            modules: region.modules().collect(),
            codes: region.codes().map(|code| (code.row, code)).collect(),
        }
    }
}

/// A site with what its ids are made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResolvedSite {
    /// For the report.
    pub site: Site,
    /// Whether every frame that the finding's id is made from has a name.
    pub id_stable: bool,
    /// Hash of the whole stack.
    pub site_id: String,
    /// The innermost acquiring function, normalised.
    pub acquiring: String,
    /// The first frames of the program's own code, normalised.
    pub own: Vec<String>,
    /// It leads through an interpreter whose frames are not known: many lines of the program are this site.
    pub is_blind: bool,
    /// Of each frame of a function that was compiled at run time: where its code begins, and where in it
    /// the call is.
    pub codes: Vec<(u64, u64)>,
    /// A mapping acquired here is memory for a runtime's own objects.
    pub is_managed_mapping: bool,
    /// So is a heap block.
    pub is_managed_block: bool,
    /// An interpreter acquires here by itself, in a line of the program.
    pub is_interpreters: bool,
    /// The memory that is acquired here is held by libc or a sanitizer for as long as the process lives.
    pub is_kept: bool,
}
impl ResolvedSite {
    /// The finding's id.
    pub fn finding_id(&self, rule: &str, kind: &str) -> String {
        normalise::finding_id(rule, kind, &self.acquiring, &self.own)
    }
    /// What tells this site from others whose stacks lead through code made at run time: such code moves
    /// when it is compiled again, and one line of the program has then several stacks. `None`: no such code.
    pub fn likeness(&self) -> Option<String> {
        let frames = &self.site.frames;
        frames.iter().any(generated::is_told).then(|| generated::likeness(frames))
    }
    /// Whether it is of a thread that works for the program elsewhere, such as those of node's pool, in a process of
    /// this executable: the stack does not begin where the process does, and leads through nothing of the program.
    pub fn is_for_others(&self, exe: &str) -> bool {
        let outermost = self.site.frames.last();
        let is_main = |frame: &Frame| user::file_name(&frame.module) == user::file_name(exe);
        self.is_blind && outermost.is_some_and(|frame| !frame.module.is_empty() && !is_main(frame))
    }
    /// The first frame of the program's own code.
    pub fn user_frame(&self) -> Option<&Frame> {
        self.site.frames.get(self.site.user)
    }
}

/// Resolves call sites of a trace.
pub struct Symbols {
    /// Where names are stored.
    trace: Option<PathBuf>,
    images: HashMap<u64, Image>,
    /// By region.
    generated: HashMap<u64, Arc<GeneratedCode>>,
    names: Names,
    /// Least recently used first.
    open: Vec<(String, Binary)>,
    /// By the module's path: said once.
    problems: BTreeMap<String, Problem>,
    debug_directories: Vec<PathBuf>,
}

/// An address that a module holds.
struct Place<'a> {
    module: &'a Module,
    /// Key of the stored names.
    key: String,
    /// Absolute path of the module.
    path: PathBuf,
    /// Of the call, as the file has it.
    offset: u64,
}

impl Symbols {
    /// Of a trace that is a directory; its stored names come first. Without one nothing is stored.
    pub fn open(trace: Option<&Path>) -> Symbols {
        Symbols {
            trace: trace.map(Path::to_owned),
            images: HashMap::new(),
            generated: HashMap::new(),
            names: trace.map(Names::read).unwrap_or_default(),
            open: Vec::new(),
            problems: BTreeMap::new(),
            debug_directories: resolve::DEBUG_DIRECTORIES.map(PathBuf::from).to_vec(),
        }
    }

    /// Looks for debug files here too, before the system's.
    pub fn add_debug_directory(&mut self, directory: &Path) {
        self.debug_directories.insert(0, directory.to_owned());
    }

    /// Makes an image known, or known better, by the id of its region.
    pub fn set_image(&mut self, region: u64, image: Image) {
        self.images.insert(region, image);
    }

    /// Makes known what a compiler made at run time in the image of a region.
    pub fn set_generated(&mut self, region: u64, code: Arc<GeneratedCode>) {
        self.generated.insert(region, code);
    }

    /// Whether names of code made at run time are known of the image of a region.
    pub fn has_generated(&self, region: u64) -> bool {
        self.generated.get(&region).is_some_and(|code| !code.is_empty())
    }

    /// Resolves many stacks at once: each binary is opened once, asked once and closed again.
    pub fn prepare<'a>(&mut self, stacks: impl IntoIterator<Item = (u64, &'a Stack)>) {
        let mut wanted: BTreeMap<String, (u64, usize, HashSet<u64>)> = BTreeMap::new();
        for (region, stack) in stacks {
            let Some(image) = self.images.get(&region) else {
                continue;
            };
            for address in calls(stack) {
                let Some((index, place)) = find(image, address, stack.epoch) else {
                    continue;
                };
                let known = self.names.modules.get(&place.key);
                if known.is_some_and(|m| m.places.contains_key(&place.offset)) {
                    continue;
                }
                let entry = wanted.entry(place.key);
                let (_, _, offsets) = entry.or_insert_with(|| (region, index, HashSet::new()));
                offsets.insert(place.offset);
            }
        }
        for (key, (region, index, offsets)) in wanted {
            self.resolve(&key, region, index, offsets.into_iter().collect());
        }
    }

    /// The site of a stack.
    pub fn site(&mut self, region: u64, stack: &Stack) -> ResolvedSite {
        self.site_seen(region, stack, None)
    }

    /// The site of a stack that was seen first at `seen_ns` in the trace's time, if that is known: at an
    /// address that had been another code's before, or was later, it is the one of that time.
    pub fn site_seen(&mut self, region: u64, stack: &Stack, seen_ns: Option<u64>) -> ResolvedSite {
        self.prepare([(region, stack)]);
        let empty = Image::default();
        let image = self.images.get(&region).unwrap_or(&empty);
        let generated = self.generated.get(&region);
        let mut native = Vec::new();
        for address in calls(stack) {
            // Hostile debug information can claim a thousand inlined calls at each address.
            if native.len() >= MAX_FRAMES {
                break;
            }
            let frames = frames_at(image, &self.names, address, stack.epoch);
            native.extend(frames.unwrap_or_else(|| {
                let found = generated.and_then(|code| code.name(address, seen_ns));
                vec![generated_frame(address, found)]
            }));
        }
        let (frames, keys): (Vec<Frame>, Vec<FrameKey>) =
            managed::weave(stack, &image.codes, native).into_iter().unzip();
        for key in keys.iter().filter_map(|key| key.module.as_ref()) {
            if let Some(module) = self.names.modules.get_mut(key) {
                module.used = true;
            }
        }
        finish(image, frames, keys)
    }

    /// The function at an address that is no return address: a thread's start routine.
    pub fn function(&mut self, region: u64, address: u64, epoch: u32) -> Frame {
        let stack = stack_of(address.wrapping_add(1), epoch);
        self.prepare([(region, &stack)]);
        let Some(image) = self.images.get(&region) else {
            return Frame::default();
        };
        // The outermost: what is inlined at its first instruction is no name for it.
        let frames = frames_at(image, &self.names, address, epoch).unwrap_or_default();
        frames.into_iter().next_back().unwrap_or_default().0
    }

    /// What kept binaries from giving names.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        self.problems
            .iter()
            .map(|(path, problem)| Diagnostic {
                level: "warning".to_owned(),
                text: format!("no names of {path}: it {problem}"),
            })
            .collect()
    }

    /// Stores what was resolved in the trace. One that cannot be written to stays as it is.
    pub fn save(&mut self) {
        if let Some(trace) = &self.trace {
            self.names.write(trace);
        }
    }

    fn resolve(&mut self, key: &str, region: u64, index: usize, offsets: Vec<u64>) {
        let Some(image) = self.images.get(&region) else {
            return;
        };
        let module = &image.modules[index];
        let path = module_path(image, module);
        let shown = path.to_string_lossy().into_owned();
        if self.problems.contains_key(&shown) {
            return;
        }
        let found = match self.open.iter().position(|(open, _)| open == key) {
            Some(at) => Ok(self.open.remove(at).1),
            None => Binary::open(
                &Wanted {
                    path: &path,
                    build_id: &module.build_id,
                    inode: module.inode,
                    started_ns: image.started_ns,
                    user: image.user,
                },
                &self.debug_directories,
            ),
        };
        let binary = match found {
            Ok(binary) => binary,
            Err(problem) => {
                // The kernel's own code is no file.
                if path.is_absolute() {
                    self.problems.insert(shown, problem);
                }
                return;
            }
        };
        let names = binary.names(&offsets);
        if self.open.len() >= MAX_OPEN {
            self.open.remove(0);
        }
        self.open.push((key.to_owned(), binary));
        let stored = self.names.modules.entry(key.to_owned()).or_default();
        stored.path = shown;
        stored.used = true;
        stored.places.extend(offsets.into_iter().zip(names));
        self.names.changed = true;
    }
}

fn stack_of(address: u64, epoch: u32) -> Stack {
    let frames = vec![address];
    Stack { frames, folded: false, cut: false, no_unwind_data: false, epoch }
}

/// Addresses inside the calls that a stack's return addresses come back from: those of native frames.
fn calls(stack: &Stack) -> impl Iterator<Item = u64> {
    let words = stack.frames.iter().take(MAX_FRAMES);
    let addresses = words.filter(|word| *word & FRAME_MANAGED == 0);
    addresses.map(|address| address.wrapping_sub(1))
}

/// What a frame is in ids.
#[derive(Default)]
struct FrameKey {
    /// Key of the module's stored names, if it is in a module.
    module: Option<String>,
    /// Function, or module, build id and offset; empty for code that is nobody's.
    text: String,
    named: bool,
    /// Of code made at run time: where it begins, and where in it the call is.
    code: Option<(u64, u64)>,
}

/// The module of an address: of those that were there at the time, the latest.
fn find(image: &Image, address: u64, epoch: u32) -> Option<(usize, Place<'_>)> {
    let (index, module) = image
        .modules
        .iter()
        .enumerate()
        .filter(|(_, m)| (m.start..m.end).contains(&address) && m.epoch <= epoch)
        .max_by_key(|(_, m)| m.epoch)?;
    let path = module_path(image, module);
    let key = match module.build_id.as_slice() {
        [] => format!("{}#{}", path.display(), module.inode),
        build_id => resolve::hex(build_id),
    };
    let offset = address.wrapping_sub(module.bias);
    Some((index, Place { module, key, path, offset }))
}

fn module_path(image: &Image, module: &Module) -> PathBuf {
    if module.path.as_os_str().is_empty() {
        return resolve::absolute(&image.exe, &image.cwd);
    }
    // `linux-vdso.so.1`, `[vdso]`: a name without a directory was not loaded from a file.
    if !module.path.as_os_str().as_bytes().contains(&b'/') {
        return module.path.clone();
    }
    resolve::absolute(&module.path, &image.cwd)
}

/// The frame of an address that no module holds.
fn generated_frame(address: u64, found: Option<(Name, u64)>) -> (Frame, FrameKey) {
    let code = found.as_ref().map(|(_, start)| (*start, address.wrapping_sub(*start)));
    let (name, _) = found.unwrap_or_default();
    let frame = Frame {
        function: name.function.to_string(),
        file: name.file.to_string(),
        line: name.line,
        offset: address,
        ..Frame::default()
    };
    // Addresses are others in every run. The file is part of it: `handler` is in every other one.
    let named = !frame.function.is_empty();
    let file = frame.file.rsplit('/').next().unwrap_or_default();
    let text = match (named, file) {
        (false, _) => String::new(),
        (true, "") => frame.function.clone(),
        (true, file) => format!("{file}:{}", frame.function),
    };
    (frame, FrameKey { module: None, text, named, code })
}

/// The frames of one address, innermost first; `None` where no module holds it.
fn frames_at(
    image: &Image,
    names: &Names,
    address: u64,
    epoch: u32,
) -> Option<Vec<(Frame, FrameKey)>> {
    let (_, place) = find(image, address, epoch)?;
    let module = place.path.to_string_lossy().into_owned();
    let nameless = [Name::default()];
    let known = names
        .modules
        .get(&place.key)
        .and_then(|m| m.places.get(&place.offset))
        .filter(|names| !names.is_empty())
        .map_or(&nameless[..], Vec::as_slice);
    let last = known.len() - 1;
    let frame = |(i, name): (usize, &Name)| {
        let frame = Frame {
            function: name.function.to_string(),
            file: name.file.to_string(),
            line: name.line,
            module: module.clone(),
            offset: place.offset,
            inlined: i < last,
        };
        let named = !frame.function.is_empty();
        let text = match named {
            true => normalise::function(&frame.function),
            false => format!(
                "{}@{}+{:#x}",
                place.path.file_name().unwrap_or_default().display(),
                resolve::hex(&place.module.build_id),
                place.offset
            ),
        };
        let key = FrameKey { module: Some(place.key.clone()), text, named, code: None };
        (frame, key)
    };
    Some(known.iter().enumerate().map(frame).collect())
}

/// Drops what is innermost and nobody's, finds the user's frame, makes the ids.
fn finish(image: &Image, mut frames: Vec<Frame>, mut keys: Vec<FrameKey>) -> ResolvedSite {
    let dropped = user::dropped(&frames);
    let by_libc = user::is_kept_by_libc(&frames[..dropped.min(frames.len())]);
    frames.drain(..dropped);
    keys.drain(..dropped);
    let exe = resolve::absolute(&image.exe, &image.cwd);
    let exe = exe.to_string_lossy();
    let origins: Vec<Origin> = frames.iter().map(|f| user::origin(f, &exe)).collect();
    let tells = |frame: &Frame| managed::runtime_of(frame).is_some() || generated::is_told(frame);
    if frames.iter().any(tells) {
        // By which functions an interpreter comes from one line to the next is its own affair, and
        // another build's is another.
        for ((frame, key), origin) in frames.iter().zip(&mut keys).zip(&origins) {
            if *origin <= Origin::Runtime && !tells(frame) {
                key.text.clear();
            }
        }
    }
    let first = user::first_own(&frames, &origins);
    let is_blind = user::is_blind(&frames, &origins);
    let is_managed_mapping = user::is_managed_memory(&frames, &origins, true);
    let is_managed_block = user::is_managed_memory(&frames, &origins, false);
    let is_interpreters = user::is_interpreters(&frames, &origins);
    let own_rank = origins.get(first).copied().unwrap_or(Origin::Unknown);
    // Code without a module has addresses that no other run has.
    let text = |key: &FrameKey| key.text.clone();
    let own_keys = || {
        let of_rank = origins.iter().zip(&keys).filter(|(o, _)| **o == own_rank);
        of_rank.map(|(_, key)| key).filter(|k| !k.text.is_empty())
    };
    let acquiring = keys.iter().find(|key| !key.text.is_empty());
    let own: Vec<String> = own_keys().map(text).collect();
    let own: Vec<String> = normalise::collapse(&own)
        .into_iter()
        .take(normalise::OWN_FRAMES)
        .map(str::to_owned)
        .collect();
    let used = |key: &&FrameKey| own.contains(&key.text);
    let id_stable =
        acquiring.is_some_and(|key| key.named) && own_keys().filter(used).all(|key| key.named);
    let whole: Vec<String> = keys.iter().filter(|k| !k.text.is_empty()).map(text).collect();
    ResolvedSite {
        codes: keys.iter().filter_map(|key| key.code).collect(),
        site_id: normalise::site_id(&whole),
        id_stable,
        acquiring: acquiring.map(text).unwrap_or_default(),
        own,
        is_blind,
        is_managed_mapping,
        is_managed_block,
        is_interpreters,
        is_kept: by_libc
            || own_rank != Origin::Own && frames.first().is_some_and(user::is_language_runtime),
        site: Site { user: first, own: own_rank == Origin::Own, frames },
    }
}

#[cfg(test)]
mod tests;
