//! Environment → [`Config`], read once at start from the process's start-up stack.
//!
//! A value that does not parse leaves the default and one line for the report; the traced program
//! never notices. Nothing here allocates.

use resshim_format::header::Level;
use resshim_format::op::{KIND_LEVELS, Kind};

/// Longest value that is kept.
pub const VALUE_BYTES: usize = 256;
/// Bytes of remarks for the report.
const REMARK_BYTES: usize = 512;

/// A short string without allocation.
#[derive(Clone, Copy)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    length: usize,
}
impl<const N: usize> Text<N> {
    /// Nothing.
    pub const EMPTY: Text<N> = Text { bytes: [0; N], length: 0 };
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }
    /// Adds bytes; false if they do not fit (then none is added).
    pub fn push(&mut self, more: &[u8]) -> bool {
        let Some(room) = self.bytes.get_mut(self.length..self.length + more.len()) else {
            return false;
        };
        room.copy_from_slice(more);
        self.length += more.len();
        true
    }
    /// Adds a number in decimal.
    pub fn push_decimal(&mut self, mut number: u64) -> bool {
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            if let Some(digit) = digits.get_mut(at) {
                *digit = b'0' + (number % 10) as u8;
            }
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.push(digits.get(at..).unwrap_or(&[]))
    }
    /// Adds 16 hexadecimal digits.
    pub fn push_hex(&mut self, number: u64) -> bool {
        let mut digits = [0u8; 16];
        for (index, digit) in digits.iter_mut().enumerate() {
            let nibble = (number >> (60 - 4 * index)) as u8 & 15;
            *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        }
        self.push(&digits)
    }
    /// As a C string, if there is room for its end.
    pub fn c_str(&mut self) -> Option<&core::ffi::CStr> {
        let end = self.bytes.get_mut(self.length)?;
        *end = 0;
        core::ffi::CStr::from_bytes_with_nul(self.bytes.get(..=self.length)?).ok()
    }
}

/// What the user asked for.
pub struct Config {
    /// `RESSHIM_OUT`, empty = the default place.
    pub out: Text<VALUE_BYTES>,
    /// `RESSHIM_SERVICE`, empty = the executable's name.
    pub service: Text<VALUE_BYTES>,
    /// Name of the profile.
    pub profile: Text<16>,
    /// `RESSHIM_PROFILE=off`.
    pub off: bool,
    /// Level of each kind at the start.
    pub levels: [u32; KIND_LEVELS],
    /// Uses of descriptors are stamped.
    pub has_uses: bool,
    /// Mean bytes between heap samples, 1 = every block.
    pub heap_mean: u64,
    /// Frames kept per stack.
    pub stack_depth: usize,
    /// Event history per process in bytes, 0 = by the machine's memory.
    pub ring_bytes: u64,
    /// Bytes of all files in the directory, 0 = by memory and file system.
    pub max_bytes: u64,
    /// Store all arguments.
    pub all_arguments: bool,
    /// `RESSHIM_HOOKS` names `node`: `resshim run` has extended `NODE_OPTIONS`.
    pub is_hooked: bool,
    /// Frames of generated code that belong to a stack, 0 = by what runs here.
    pub jit_frames: usize,
    /// Remarks for the report, one a line.
    pub remarks: Text<REMARK_BYTES>,
}

impl Config {
    /// Nothing asked for.
    pub const DEFAULT: Config = Config {
        out: Text::EMPTY,
        service: Text::EMPTY,
        profile: Text::EMPTY,
        off: false,
        levels: [Level::Full as u32; KIND_LEVELS],
        has_uses: true,
        heap_mean: 512 << 10,
        stack_depth: 64,
        ring_bytes: 0,
        max_bytes: 0,
        all_arguments: false,
        is_hooked: false,
        jit_frames: 0,
        remarks: Text::EMPTY,
    };

    /// Takes one variable `name` (without `RESSHIM_`) with its value.
    #[inline(always)]
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        let fits = match name {
            b"OUT" => value.first() == Some(&b'/') && self.out.replace(value),
            b"SERVICE" => self.service.replace(value),
            b"PROFILE" => self.set_profile(value),
            b"TRACK" => self.set_track(value),
            b"HEAP_SAMPLE" => parse_bytes(value).is_some_and(|mean| {
                self.heap_mean = mean.max(1);
                mean > 0
            }),
            b"STACK_DEPTH" => parse_decimal(value).is_some_and(|depth| {
                self.stack_depth = (depth as usize).clamp(1, 128);
                (1..=128).contains(&depth)
            }),
            b"RING" => parse_bytes(value).is_some_and(|bytes| {
                self.ring_bytes = bytes.max(1);
                bytes > 0
            }),
            b"MAX_BYTES" => parse_bytes(value).is_some_and(|bytes| {
                self.max_bytes = bytes.max(1);
                bytes > 0
            }),
            b"JIT_FRAMES" => parse_decimal(value).is_some_and(|frames| {
                self.jit_frames = (frames as usize).clamp(1, 128);
                (1..=128).contains(&frames)
            }),
            b"HOOKS" => {
                self.is_hooked = value.split(|byte| *byte == b',').any(|word| word == b"node");
                true
            }
            b"ARGS" => match value {
                b"1" => {
                    self.all_arguments = true;
                    true
                }
                b"0" | b"" => true,
                _ => false,
            },
            // Read elsewhere, or by the command alone.
            b"CONFIG" | b"LIB" | b"BUDGET" | b"REDACT" => true,
            _ => return,
        };
        if !fits {
            let _ = self.remarks.push(b"RESSHIM_")
                && self.remarks.push(name)
                && self.remarks.push(b": value does not parse, the default is used: ")
                && self.remarks.push(value.get(..64).unwrap_or(value))
                && self.remarks.push(b"\n");
        }
    }

    /// Takes the lines `key = value` of a configuration file: the variables' names in lower case
    /// without prefix, values as TOML has them (strings in quotes, numbers, booleans). What is set
    /// in the environment wins, so it is read first.
    pub fn set_file(&mut self, text: &[u8]) {
        for line in text.split(|byte| *byte == b'\n') {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") || line.starts_with(b"[") {
                continue;
            }
            let Some(at) = line.iter().position(|byte| *byte == b'=') else {
                let _ = self.remarks.push(b"RESSHIM_CONFIG: no `key = value`: ")
                    && self.remarks.push(line.get(..64).unwrap_or(line))
                    && self.remarks.push(b"\n");
                continue;
            };
            let key = line.get(..at).unwrap_or(&[]).trim_ascii();
            let value = line.get(at + 1..).unwrap_or(&[]).trim_ascii();
            let value = match value.first() {
                Some(quote @ (b'"' | b'\'')) => {
                    let rest = value.get(1..).unwrap_or(&[]);
                    let end = rest.iter().position(|byte| byte == quote).unwrap_or(rest.len());
                    rest.get(..end).unwrap_or(rest)
                }
                _ => value.split(|byte| *byte == b'#').next().unwrap_or(value).trim_ascii(),
            };
            let value = match value {
                b"true" => b"1",
                b"false" => b"0",
                other => other,
            };
            let mut name = [0u8; 16];
            let Some(upper) = name.get_mut(..key.len()) else { continue };
            for (to, from) in upper.iter_mut().zip(key) {
                *to = from.to_ascii_uppercase();
            }
            let length = key.len();
            self.set(name.get(..length).unwrap_or(&[]), value);
        }
    }

    fn set_profile(&mut self, value: &[u8]) -> bool {
        match value {
            b"default" | b"" => {}
            b"light" => {
                self.level(Kind::Heap, Level::Off);
                self.level(Kind::Lock, Level::Off);
                self.has_uses = false;
            }
            b"full" => self.heap_mean = 1,
            b"off" => self.off = true,
            _ => return false,
        }
        self.profile.replace(value)
    }

    fn level(&mut self, kind: Kind, level: Level) {
        if let Some(to) = self.levels.get_mut(kind as usize) {
            *to = level as u32;
        }
    }

    fn set_track(&mut self, value: &[u8]) -> bool {
        let mut fits = true;
        for word in value.split(|byte| *byte == b',') {
            let word = word.trim_ascii();
            let (level, name) = match word.first() {
                Some(b'+') => (Level::Full, word.get(1..)),
                Some(b'-') => (Level::Off, word.get(1..)),
                None => continue,
                _ => (Level::Full, Some(word)),
            };
            let name = core::str::from_utf8(name.unwrap_or(&[])).unwrap_or("");
            match (Kind::from_name(name), name) {
                (Some(kind), _) => self.level(kind, level),
                (None, "all") => self.levels = [level as u32; KIND_LEVELS],
                _ => fits = false,
            }
        }
        fits
    }
}

impl<const N: usize> Text<N> {
    fn replace(&mut self, value: &[u8]) -> bool {
        // One byte stays for the end of a C string.
        if value.len() >= N {
            return false;
        }
        *self = Text::EMPTY;
        self.push(value)
    }
}

/// A decimal number.
pub fn parse_decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    let mut number: u64 = 0;
    for digit in value {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(digit as u64)?;
    }
    Some(number)
}

/// A number of bytes: `4096`, `512KiB`, `512K`, `16MiB`, `1GiB`.
pub fn parse_bytes(value: &[u8]) -> Option<u64> {
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = parse_decimal(value.get(..digits)?)?;
    let shift = match value.get(digits..)?.trim_ascii() {
        b"" | b"B" => 0,
        b"K" | b"KiB" | b"k" => 10,
        b"M" | b"MiB" | b"m" => 20,
        b"G" | b"GiB" | b"g" => 30,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}
