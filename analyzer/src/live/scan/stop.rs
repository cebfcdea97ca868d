//! Stops all threads of a process for a moment and reads their registers: `PTRACE_SEIZE`, `PTRACE_INTERRUPT`.
//!
//! The one place of the analyzer that calls ptrace: no crate that is in use has it. The process goes on when
//! [`Stopped`] is dropped, and also when this process dies (the kernel detaches then). What it costs the host
//! beside the time: a call that waits can end with EINTR (signal(7) lists which). Nothing is written to it.
#![allow(unsafe_code, reason = "ptrace")]

use std::ptr::{null_mut, without_provenance_mut};

/// The threads that are stopped.
#[derive(Debug)]
pub struct Stopped {
    /// Thread, and a signal that came meanwhile: it is delivered when the thread goes on.
    threads: Vec<(i32, i32)>,
    /// Words of all registers.
    pub registers: Vec<u64>,
    /// Stack pointers.
    pub stack_pointers: Vec<u64>,
}

/// Stops every thread of a process.
///
/// # Errors
/// Where ptrace is refused; the process runs on then.
pub fn stop(pid: u32) -> std::io::Result<Stopped> {
    let mut stopped =
        Stopped { threads: Vec::new(), registers: Vec::new(), stack_pointers: Vec::new() };
    // A thread that runs can make another one: until none is new.
    loop {
        let mut is_new = false;
        for tid in tids(pid) {
            if stopped.threads.iter().any(|(known, _)| *known == tid) {
                continue;
            }
            match seize(tid) {
                Ok(signal) => {
                    is_new = true;
                    stopped.threads.push((tid, signal));
                }
                // It has ended meanwhile.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                Err(error) => return Err(error),
            }
        }
        if !is_new {
            break;
        }
    }
    for at in 0..stopped.threads.len() {
        let (tid, _) = stopped.threads[at];
        if let Some(registers) = registers(tid) {
            stopped.stack_pointers.push(registers.rsp);
            stopped.registers.extend([
                registers.rax,
                registers.rbx,
                registers.rcx,
                registers.rdx,
                registers.rsi,
                registers.rdi,
                registers.rbp,
                registers.r8,
                registers.r9,
                registers.r10,
                registers.r11,
                registers.r12,
                registers.r13,
                registers.r14,
                registers.r15,
                registers.orig_rax,
            ]);
            stopped.registers.extend(vectors(tid));
        }
    }
    Ok(stopped)
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for (tid, signal) in &self.threads {
            let signal = without_provenance_mut::<libc::c_void>(*signal as usize);
            // SAFETY: reads no memory of ours; of a thread that has ended it fails, and that is all.
            unsafe { libc::ptrace(libc::PTRACE_DETACH, *tid, null_mut::<libc::c_void>(), signal) };
        }
    }
}

fn tids(pid: u32) -> Vec<i32> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Stops a thread; the signal that it was about to get, 0 = none.
fn seize(tid: i32) -> std::io::Result<i32> {
    let none = null_mut::<libc::c_void>();
    // SAFETY: neither call reads or writes memory of ours.
    unsafe {
        if libc::ptrace(libc::PTRACE_SEIZE, tid, none, none) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        if libc::ptrace(libc::PTRACE_INTERRUPT, tid, none, none) != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    let mut status = 0;
    loop {
        // SAFETY: `status` is ours.
        let waited = unsafe { libc::waitpid(tid, &raw mut status, libc::__WALL) };
        if waited == tid {
            break;
        }
        let error = std::io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EINTR) {
            return Err(error);
        }
    }
    if !libc::WIFSTOPPED(status) {
        return Err(std::io::Error::from_raw_os_error(libc::ESRCH));
    }
    // The stop that was asked for is an event; everything else is a signal on its way.
    let is_event = status >> 16 == libc::PTRACE_EVENT_STOP;
    Ok(if is_event { 0 } else { libc::WSTOPSIG(status) })
}

fn registers(tid: i32) -> Option<libc::user_regs_struct> {
    // SAFETY: a struct of integers.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one such struct to it.
    let result = unsafe {
        libc::ptrace(libc::PTRACE_GETREGS, tid, null_mut::<libc::c_void>(), &raw mut registers)
    };
    (result == 0).then_some(registers)
}

/// The vector registers: memory is copied through them.
fn vectors(tid: i32) -> Vec<u64> {
    // SAFETY: a struct of integers.
    let mut registers: libc::user_fpregs_struct = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one such struct to it.
    let result = unsafe {
        libc::ptrace(libc::PTRACE_GETFPREGS, tid, null_mut::<libc::c_void>(), &raw mut registers)
    };
    if result != 0 {
        return Vec::new();
    }
    let words = registers.xmm_space.chunks_exact(2);
    words.map(|pair| u64::from(pair[0]) | u64::from(pair[1]) << 32).collect()
}
