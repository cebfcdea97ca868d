//! How one frame is left: the unwind rule of an address, and the forms in which rules are stored.
//!
//! A rule says where the frame's CFA is (the caller's stack pointer) and where the caller's frame
//! pointer was saved; the return address is always the word below the CFA. Nothing else is followed:
//! the walk carries pc, sp and bp only.
//!
//! ```text
//! code, 20 bits   kind:3 | a:13 | b:4
//!   SP, BP        CFA = base + 8·a; the caller's bp is at CFA − 8·(b + 1), or unchanged if b = 0
//!   WIDE          a = index of a 64-bit rule in a side table (large frames, expressions)
//!   PLT           a = n of the PLT's expression
//!   other         no operands
//! wide, 64 bits   1 | base:1 | deref:1 | offset:24 | addend:11 | saved:2 | place:24
//! ```

use super::apart;
use core::sync::atomic::{AtomicU64, Ordering};

/// Bits of a code.
pub const CODE_BITS: u32 = 20;

/// CFA = sp + …
pub const SP: u32 = 0;
/// CFA = bp + …
pub const BP: u32 = 1;
const WIDE: u32 = 2;
const SIGNAL: u32 = 3;
const PLT: u32 = 4;
const OUTERMOST: u32 = 5;
const NO_DATA: u32 = 6;
const UNSUPPORTED: u32 = 7;

/// What an address is relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The stack pointer.
    Sp,
    /// The frame pointer.
    Bp,
}

/// Where the caller's frame pointer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// Still in the register.
    Same,
    /// At CFA + n.
    Cfa(i32),
    /// At bp + n.
    Bp(i32),
}

/// How to leave a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// CFA = base + offset.
    Plain { base: Base, offset: i32, bp: Saved },
    /// CFA = *(base + offset) + addend: realigned frames (addend 0), stacks linked to another one.
    Deref { base: Base, offset: i32, addend: i32, bp: Saved },
    /// CFA = sp + 8, or sp + 16 from byte `threshold` of a 16-byte slot on.
    Plt { threshold: u8 },
    /// The return point of a signal handler: the interrupted registers are in the kernel's frame.
    Signal,
    /// Nothing called this.
    Outermost,
    /// A module without unwind data for this address.
    NoData,
    /// No module has this address.
    Unknown,
    /// Unwind data that this walker does not follow.
    Unsupported,
}

impl Rule {
    /// The rule's code, if it has one: [`Rule::Unknown`] has none (the next library may be mapped there
    /// without notice), and the side table may be full.
    pub fn encode(self) -> Option<u32> {
        match self {
            Rule::Plain { base, offset, bp } => match short(offset, bp) {
                Some(operands) => Some(operands | if base == Base::Bp { BP } else { SP }),
                None => wide(self),
            },
            Rule::Deref { .. } => wide(self),
            Rule::Plt { threshold } => Some(PLT | u32::from(threshold) << 3),
            Rule::Signal => Some(SIGNAL),
            Rule::Outermost => Some(OUTERMOST),
            Rule::NoData => Some(NO_DATA),
            Rule::Unsupported => Some(UNSUPPORTED),
            Rule::Unknown => None,
        }
    }

    /// The rule of a code.
    pub fn decode(code: u32) -> Rule {
        let bytes = operand_a_bytes(code);
        let a = bytes / 8;
        match code & 7 {
            kind @ (SP | BP) => Rule::Plain {
                base: if kind == BP { Base::Bp } else { Base::Sp },
                offset: bytes as i32,
                bp: match operand_b(code) {
                    0 => Saved::Same,
                    n => Saved::Cfa(-8 * (n as i32 + 1)),
                },
            },
            WIDE => WIDE_RULES
                .get(a)
                .map_or(Rule::Unsupported, |word| unpack(word.load(Ordering::Relaxed))),
            SIGNAL => Rule::Signal,
            PLT => Rule::Plt { threshold: a as u8 },
            OUTERMOST => Rule::Outermost,
            NO_DATA => Rule::NoData,
            _ => Rule::Unsupported,
        }
    }
}

/// Operand a of a code, times eight.
#[inline(always)]
pub fn operand_a_bytes(code: u32) -> usize {
    (code & 0xfff8) as usize
}
/// Operand b of a code.
#[inline(always)]
pub fn operand_b(code: u32) -> u32 {
    code >> 16 & 0xf
}

fn short(offset: i32, bp: Saved) -> Option<u32> {
    let a = u32::try_from(offset).ok().filter(|o| o % 8 == 0 && o / 8 < 1 << 13)? / 8;
    let b = match bp {
        Saved::Same => 0,
        Saved::Cfa(place) if place % 8 == 0 && (-128..=-16).contains(&place) => {
            (place / -8 - 1) as u32
        }
        _ => return None,
    };
    Some(a << 3 | b << 16)
}

apart! {
    /// Rules too large for a code. Distinct ones are few: a program of a million functions has some dozens.
    static WIDE_RULES: [AtomicU64; 512] = "resshim_wide_rules";
}

fn wide(rule: Rule) -> Option<u32> {
    let word = pack(rule)?;
    for (index, slot) in WIDE_RULES.iter().enumerate() {
        let stands = match slot.compare_exchange(0, word, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => word,
            Err(stands) => stands,
        };
        if stands == word {
            return Some(WIDE | (index as u32) << 3);
        }
    }
    None
}

/// The low `bits` of a signed number, if it fits.
fn field(value: i32, bits: u32) -> Option<u64> {
    let half = 1i32 << (bits - 1);
    (-half..half).contains(&value).then_some(value as u32 as u64 & ((1 << bits) - 1))
}
/// The signed number in `bits` bits from `shift` on.
fn signed(word: u64, shift: u32, bits: u32) -> i32 {
    ((word << (64 - bits - shift)) as i64 >> (64 - bits)) as i32
}

fn pack(rule: Rule) -> Option<u64> {
    let (base, deref, offset, addend, bp) = match rule {
        Rule::Plain { base, offset, bp } => (base, 0, offset, 0, bp),
        Rule::Deref { base, offset, addend, bp } => (base, 1, offset, addend, bp),
        _ => return None,
    };
    let (saved, place) = match bp {
        Saved::Same => (0, 0),
        Saved::Cfa(place) => (1, place),
        Saved::Bp(place) => (2, place),
    };
    Some(
        1 << 63
            | u64::from(base == Base::Bp) << 62
            | deref << 61
            | field(offset, 24)? << 37
            | field(addend, 11)? << 26
            | saved << 24
            | field(place, 24)?,
    )
}

fn unpack(word: u64) -> Rule {
    if word >> 63 == 0 {
        return Rule::Unsupported;
    }
    let base = if word >> 62 & 1 == 1 { Base::Bp } else { Base::Sp };
    let (offset, addend, place) = (signed(word, 37, 24), signed(word, 26, 11), signed(word, 0, 24));
    let bp = match word >> 24 & 3 {
        0 => Saved::Same,
        1 => Saved::Cfa(place),
        _ => Saved::Bp(place),
    };
    match word >> 61 & 1 {
        0 => Rule::Plain { base, offset, bp },
        _ => Rule::Deref { base, offset, addend, bp },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_keep_every_rule() {
        let mut rules = vec![
            Rule::Signal,
            Rule::Outermost,
            Rule::NoData,
            Rule::Unsupported,
            Rule::Plt { threshold: 11 },
            Rule::Plain { base: Base::Sp, offset: 65_528, bp: Saved::Cfa(-16) },
            Rule::Plain { base: Base::Sp, offset: 65_536, bp: Saved::Cfa(-16) },
            Rule::Plain { base: Base::Sp, offset: 8_000_000, bp: Saved::Cfa(-8_000_000) },
            Rule::Plain { base: Base::Bp, offset: -16, bp: Saved::Same },
            Rule::Deref { base: Base::Bp, offset: -8, addend: 0, bp: Saved::Bp(0) },
            Rule::Deref { base: Base::Sp, offset: 40, addend: -1024, bp: Saved::Cfa(-24) },
        ];
        for offset in (8..400).step_by(8) {
            for place in (-160..-8).step_by(4) {
                rules.push(Rule::Plain { base: Base::Sp, offset, bp: Saved::Cfa(place) });
            }
        }
        for rule in rules {
            match rule.encode() {
                Some(code) => assert_eq!(Rule::decode(code), rule, "{code:x}"),
                // The side table is full: that is allowed for wide rules only.
                None => assert!(pack(rule).is_some()),
            }
        }
    }

    #[test]
    fn a_rule_out_of_range_has_no_code() {
        let far = Rule::Plain { base: Base::Sp, offset: 1 << 24, bp: Saved::Same };
        assert_eq!(far.encode(), None);
        assert_eq!(Rule::Unknown.encode(), None);
    }
}
