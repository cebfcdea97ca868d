//! What is particular to x86-64 in a walk: registers, and the frame that the kernel builds for a signal.

use super::Registers;
use core::arch::asm;

/// DWARF number of `rbp`.
pub(super) const BP: u16 = 6;
/// DWARF number of `rsp`.
pub(super) const SP: u16 = 7;
/// DWARF number of the return address column.
pub(super) const RA: u16 = 16;

/// One past the highest address of code that the cache can hold (the lower half of a four-level
/// address space; the legacy vsyscall page and code mapped above 128 TiB are not walked).
pub(super) const HIGHEST_PC: usize = 1 << 47;
/// Lowest address of code: what is below is no return address.
pub(super) const LOWEST_PC: usize = 0x1000;

/// After a signal handler has returned, `rsp` points to the `ucontext`: offset of a register in it
/// (`uc_mcontext` is at 40, its registers are r8–r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip).
pub(super) const SIGNAL_BP: usize = 120;
/// As [`SIGNAL_BP`].
pub(super) const SIGNAL_SP: usize = 160;
/// As [`SIGNAL_BP`].
pub(super) const SIGNAL_PC: usize = 168;
/// How glibc's `__restore_rt` says so: CFA = `DW_OP_breg7 +160; DW_OP_deref`.
pub(super) const SIGNAL_CFA: [u8; 4] = [0x77, 0xa0, 0x01, 0x06];

/// CFA of a PLT section as binutils and lld write it: `rsp + 8 + ((rip & 15) >= n) * 8`, with n (11, 10
/// or 9: a literal operation) where the push of the slot's index ends. Parts before and after n.
pub(super) const PLT_CFA: ([u8; 6], [u8; 4]) =
    ([0x77, 0x08, 0x80, 0x00, 0x3f, 0x1a], [0x2a, 0x33, 0x24, 0x22]);
/// `DW_OP_lit0`.
pub(super) const LITERAL_0: u8 = 0x30;

/// The registers in the function that calls this.
#[inline(always)]
pub fn here() -> Registers {
    let (pc, sp, bp);
    // SAFETY: reads three registers, touches no memory. The byte before `pc` is in this instruction.
    unsafe {
        asm!(
            "lea {pc}, [rip]",
            "mov {sp}, rsp",
            "mov {bp}, rbp",
            pc = out(reg) pc,
            sp = out(reg) sp,
            bp = out(reg) bp,
            options(nomem, nostack, preserves_flags)
        );
    }
    Registers { pc, sp, bp }
}

/// The thread pointer. glibc puts a thread's descriptor at the upper end of its stack (all but the
/// first thread's), so that it bounds the walk there.
#[inline(always)]
pub(super) fn thread_pointer() -> usize {
    let value;
    // SAFETY: the first word of the thread control block is its own address (psABI).
    unsafe {
        asm!("mov {}, fs:[0]", out(reg) value, options(nostack, preserves_flags, readonly, pure));
    }
    value
}
