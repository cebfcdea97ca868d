//! From a module's unwind tables to the rule of one address.
//!
//! `gimli` finds the entry in `.eh_frame_hdr` and parses it; the instructions are evaluated here, for
//! the CFA and two columns only. gimli's own evaluation keeps all columns in a context of several
//! kilobytes, which would have to be static, behind a lock that a signal handler can find taken; this
//! one lives in a few hundred bytes of the caller's stack.

use super::arch;
use super::modules::Object;
use super::rule::{Base, Rule, Saved};
use core::ptr::with_exposed_provenance;
use gimli::{
    BaseAddresses, CallFrameInstruction, CommonInformationEntry, EhFrame, EhFrameHdr, Encoding,
    EndianSlice, FrameDescriptionEntry, NativeEndian, Operation, ParsedEhFrameHdr, Pointer,
    Register, UnwindExpression, UnwindSection,
};

type Bytes = EndianSlice<'static, NativeEndian>;

/// The unwind tables of a loaded module.
pub(super) struct UnwindTables {
    header: ParsedEhFrameHdr<Bytes>,
    frames: EhFrame<Bytes>,
    bases: BaseAddresses,
}

impl UnwindTables {
    /// Reads the header of the tables.
    pub fn open(object: &Object) -> Option<UnwindTables> {
        let header_at = object.eh_frame_hdr;
        let bases = BaseAddresses::default().set_eh_frame_hdr(header_at as u64);
        let header = EhFrameHdr::new(segment_from(object, header_at)?, NativeEndian)
            .parse(&bases, size_of::<usize>() as u8)
            .ok()?;
        let Pointer::Direct(frames_at) = header.eh_frame_ptr() else { return None };
        let frames = EhFrame::new(segment_from(object, frames_at as usize)?, NativeEndian);
        Some(UnwindTables { header, frames, bases: bases.set_eh_frame(frames_at) })
    }

    /// The rule of the instruction at `pc`.
    pub fn rule(&self, pc: usize) -> Rule {
        match self.entry(pc) {
            None => Rule::NoData,
            Some(entry) => self.evaluate(&entry, pc as u64).unwrap_or(Rule::Unsupported),
        }
    }

    fn entry(&self, pc: usize) -> Option<FrameDescriptionEntry<Bytes>> {
        let table = self.header.table()?;
        let Pointer::Direct(at) = table.lookup(pc as u64, &self.bases).ok()? else { return None };
        let Pointer::Direct(frames_at) = self.header.eh_frame_ptr() else { return None };
        let offset = gimli::EhFrameOffset(at.checked_sub(frames_at)? as usize);
        let entry = self.frames.fde_from_offset(&self.bases, offset, EhFrame::cie_from_offset);
        entry.ok().filter(|entry| entry.contains(pc as u64))
    }

    fn evaluate(&self, entry: &FrameDescriptionEntry<Bytes>, pc: u64) -> Option<Rule> {
        let cie = entry.cie();
        let mut row = Row { cfa: Cfa::Unset, bp: Place::Same, ra: Place::Unset };
        let mut location = entry.initial_address();
        let mut instructions = cie.instructions(&self.frames, &self.bases);
        while let Some(instruction) = instructions.next().ok()? {
            row.apply(&instruction, cie, None)?;
        }
        let initial = row;
        let mut remembered = Remembered::default();
        let mut instructions = entry.instructions(&self.frames, &self.bases);
        while let Some(instruction) = instructions.next().ok()? {
            match instruction {
                CallFrameInstruction::AdvanceLoc { delta } => {
                    let step = u64::from(delta).wrapping_mul(cie.code_alignment_factor());
                    location = location.wrapping_add(step);
                    if location > pc {
                        break;
                    }
                }
                CallFrameInstruction::SetLoc { address } => {
                    location = address;
                    if location > pc {
                        break;
                    }
                }
                CallFrameInstruction::RememberState => remembered.push(row)?,
                CallFrameInstruction::RestoreState => row = remembered.pop()?,
                _ => row.apply(&instruction, cie, Some(&initial))?,
            }
        }
        self.rule_of(&row, cie.encoding(), entry.is_signal_trampoline())
    }

    fn rule_of(&self, row: &Row, encoding: Encoding, is_signal: bool) -> Option<Rule> {
        if let Cfa::Expression(expression) = row.cfa {
            let bytes = expression.get(&self.frames).ok()?.0.slice();
            if is_signal && bytes == arch::SIGNAL_CFA {
                return Some(Rule::Signal);
            }
            if let Some(threshold) = plt_threshold(bytes) {
                return Some(Rule::Plt { threshold });
            }
        }
        match row.ra {
            Place::Undefined => return Some(Rule::Outermost),
            Place::Cfa(-8) => {}
            _ => return None,
        }
        let bp = match row.bp {
            Place::Same | Place::Undefined => Saved::Same,
            Place::Cfa(place) => Saved::Cfa(i32::try_from(place).ok()?),
            Place::Expression(expression) => match self.sum(&expression, encoding)? {
                (Base::Bp, offset, None) => Saved::Bp(offset),
                _ => return None,
            },
            Place::Unset | Place::Other => return None,
        };
        Some(match row.cfa {
            Cfa::Register(register, offset) => {
                Rule::Plain { base: base(register)?, offset: i32::try_from(offset).ok()?, bp }
            }
            Cfa::Expression(expression) => match self.sum(&expression, encoding)? {
                (base, offset, Some(addend)) => Rule::Deref { base, offset, addend, bp },
                (base, offset, None) => Rule::Plain { base, offset, bp },
            },
            Cfa::Unset => return None,
        })
    }

    /// An expression of the forms `base + offset` and `*(base + offset) + addend`.
    fn sum(
        &self,
        expression: &UnwindExpression<usize>,
        encoding: Encoding,
    ) -> Option<(Base, i32, Option<i32>)> {
        let mut operations = expression.get(&self.frames).ok()?.operations(encoding);
        let (from, offset) = match operations.next().ok()?? {
            Operation::RegisterOffset { register, offset, .. } => {
                (base(register)?, i32::try_from(offset).ok()?)
            }
            _ => return None,
        };
        match operations.next().ok()? {
            None => return Some((from, offset, None)),
            Some(Operation::Deref { size: 8, space: false, .. }) => {}
            Some(_) => return None,
        }
        match operations.next().ok()? {
            None => Some((from, offset, Some(0))),
            Some(Operation::PlusConstant { value }) if operations.next().ok()?.is_none() => {
                Some((from, offset, Some(i32::try_from(value).ok()?)))
            }
            Some(_) => None,
        }
    }
}

/// The rest of the module's segment from an address on.
fn segment_from(object: &Object, address: usize) -> Option<&'static [u8]> {
    if address < object.start {
        return None;
    }
    let bytes = object.segment_end(address).checked_sub(address).filter(|bytes| *bytes > 0)?;
    // SAFETY: mapped and readable as long as the module is loaded, and it is: its code is on this stack.
    Some(unsafe { core::slice::from_raw_parts(with_exposed_provenance(address), bytes) })
}

fn base(register: Register) -> Option<Base> {
    match register.0 {
        arch::SP => Some(Base::Sp),
        arch::BP => Some(Base::Bp),
        _ => None,
    }
}

/// n of a PLT's CFA expression.
fn plt_threshold(bytes: &[u8]) -> Option<u8> {
    let rest = bytes.strip_prefix(&arch::PLT_CFA.0)?;
    match rest.strip_suffix(&arch::PLT_CFA.1)? {
        [literal] => literal.checked_sub(arch::LITERAL_0).filter(|n| *n < 16),
        _ => None,
    }
}

#[derive(Clone, Copy)]
enum Cfa {
    Unset,
    Register(Register, i64),
    Expression(UnwindExpression<usize>),
}

/// Where the caller's value of a register is.
#[derive(Clone, Copy)]
enum Place {
    /// Nothing was said.
    Unset,
    Same,
    Undefined,
    /// At CFA + n.
    Cfa(i64),
    /// At the address that an expression gives.
    Expression(UnwindExpression<usize>),
    /// In another register, or a computed value.
    Other,
}

/// The columns that the walk needs.
#[derive(Clone, Copy)]
struct Row {
    cfa: Cfa,
    bp: Place,
    ra: Place,
}

impl Row {
    fn set(&mut self, register: Register, place: Place) {
        match register.0 {
            arch::BP => self.bp = place,
            arch::RA => self.ra = place,
            _ => {}
        }
    }

    /// Executes one instruction that changes no location; `initial` is the row of the common entry.
    fn apply(
        &mut self,
        instruction: &CallFrameInstruction<usize>,
        cie: &CommonInformationEntry<Bytes>,
        initial: Option<&Row>,
    ) -> Option<()> {
        use CallFrameInstruction as I;
        let factored = |offset: i64| offset.wrapping_mul(cie.data_alignment_factor());
        match *instruction {
            I::DefCfa { register, offset } => self.cfa = Cfa::Register(register, offset as i64),
            I::DefCfaSf { register, factored_offset } => {
                self.cfa = Cfa::Register(register, factored(factored_offset));
            }
            I::DefCfaRegister { register: new } => match &mut self.cfa {
                Cfa::Register(register, _) => *register = new,
                _ => return None,
            },
            I::DefCfaOffset { offset: new } => match &mut self.cfa {
                Cfa::Register(_, offset) => *offset = new as i64,
                _ => return None,
            },
            I::DefCfaOffsetSf { factored_offset } => match &mut self.cfa {
                Cfa::Register(_, offset) => *offset = factored(factored_offset),
                _ => return None,
            },
            I::DefCfaExpression { expression } => self.cfa = Cfa::Expression(expression),
            I::Undefined { register } => self.set(register, Place::Undefined),
            I::SameValue { register } => self.set(register, Place::Same),
            I::Offset { register, factored_offset } => {
                self.set(register, Place::Cfa(factored(factored_offset as i64)));
            }
            I::OffsetExtendedSf { register, factored_offset } => {
                self.set(register, Place::Cfa(factored(factored_offset)));
            }
            I::ValOffset { register, .. }
            | I::ValOffsetSf { register, .. }
            | I::ValExpression { register, .. }
            | I::Register { dest_register: register, .. } => self.set(register, Place::Other),
            I::Expression { register, expression } => {
                self.set(register, Place::Expression(expression));
            }
            I::Restore { register } => match (register.0, initial) {
                (arch::BP, Some(initial)) => self.bp = initial.bp,
                (arch::RA, Some(initial)) => self.ra = initial.ra,
                (_, Some(_)) => {}
                (_, None) => return None,
            },
            // Locations and the row stack are the caller's; a common entry may not have them.
            I::AdvanceLoc { .. } | I::SetLoc { .. } | I::RememberState | I::RestoreState => {
                return None;
            }
            I::ArgsSize { .. } | I::NegateRaState | I::Nop => {}
        }
        Some(())
    }
}

/// Rows put aside; compilers nest no deeper than two.
struct Remembered {
    rows: [Row; 4],
    count: usize,
}
impl Default for Remembered {
    fn default() -> Remembered {
        let row = Row { cfa: Cfa::Unset, bp: Place::Unset, ra: Place::Unset };
        Remembered { rows: [row; 4], count: 0 }
    }
}
impl Remembered {
    fn push(&mut self, row: Row) -> Option<()> {
        *self.rows.get_mut(self.count)? = row;
        self.count += 1;
        Some(())
    }
    fn pop(&mut self) -> Option<Row> {
        self.count = self.count.checked_sub(1)?;
        self.rows.get(self.count).copied()
    }
}
