//! Hidden definitions in place of what std would import and we do not want to: each import is a
//! condition under which every program on a system starts or does not.
//!
//! * newer than GLIBC_2.31: `stat64`, `fstat64` (2.33), `pthread_key_*`, `pthread_setspecific` (2.34). Only std's
//!   backtrace printer and its thread-local destructors ask for them, neither of which ever runs here.
//! * libgcc's unwinder: only a panic of ours would use it, and there is none on any path. Frames of
//!   "C-unwind" functions without `Drop` have no personality, so other people's exceptions pass through
//!   without it. Not loading libgcc_s saves every traced process two mappings and their page faults.
//!
//! All of them fail; a panic that does not exist would end in `abort`.
#![allow(unsafe_code, reason = "symbols are defined in assembly so that they can be hidden")]

macro_rules! fail {
    ($($name:literal $value:literal),* $(,)?) => {
        core::arch::global_asm!(
            ".text",
            $(
                concat!(".globl ", $name), concat!(".hidden ", $name),
                concat!(".type ", $name, ",@function"),
                concat!($name, ":"),
                concat!("mov eax, ", $value), "ret",
                concat!(".size ", $name, ", . - ", $name),
            )*
        );
    };
}

fail! {
    "stat64" "-1", "fstat64" "-1",
    "pthread_key_create" "11", "pthread_key_delete" "22", "pthread_setspecific" "22",
    // 5 is _URC_END_OF_STACK, 3 _URC_FATAL_PHASE1_ERROR.
    "_Unwind_Backtrace" "5", "_Unwind_RaiseException" "3", "_Unwind_Resume" "0",
    "_Unwind_GetDataRelBase" "0", "_Unwind_GetTextRelBase" "0", "_Unwind_GetIP" "0",
    "_Unwind_GetIPInfo" "0", "_Unwind_GetLanguageSpecificData" "0", "_Unwind_GetRegionStart" "0",
    "_Unwind_SetGR" "0", "_Unwind_SetIP" "0", "_Unwind_DeleteException" "0",
}
