//! stub
#![allow(unsafe_code, reason = "stub")]
#[derive(Clone, Copy)]
pub struct Registers {
    pub pc: usize,
    pub sp: usize,
    pub bp: usize,
}
#[inline(always)]
pub fn here() -> Registers {
    let (pc, sp, bp): (usize, usize, usize);
    unsafe {
        core::arch::asm!("lea {0}, [rip]", "mov {1}, rsp", "mov {2}, rbp", out(reg) pc, out(reg) sp, out(reg) bp, options(nostack, nomem))
    };
    Registers { pc, sp, bp }
}
pub const MAX_FRAMES: usize = 128;
pub struct Stack {
    pub frames: [usize; MAX_FRAMES],
    pub count: usize,
    pub flags: u32,
}
pub fn capture(from: &Registers, _depth: usize, _b: Option<(usize, usize)>, out: &mut Stack) {
    out.frames[0] = from.pc;
    out.count = 1;
}
pub fn set_find_object(_f: *mut core::ffi::c_void) {}
pub fn epoch() -> u32 {
    0
}
