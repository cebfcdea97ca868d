//! Signals that `run` and `record` are sent: `run` passes them on to CMD, `record` ends.
//!
//! A handler, not a mask: handlers are reset by exec, so CMD starts with the signals as it would
//! without us, and what was ignored (`nohup`) stays ignored. A signal that the terminal raised went
//! to CMD as well: only those that a process sent are passed on.
#![allow(
    unsafe_code,
    reason = "signal dispositions have no safe interface in the standard library"
)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use libc::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, c_int, c_void, siginfo_t};
use rustix::event::EventfdFlags;

const SIGNALS: [c_int; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// Bit per signal that came; the handler has nothing else to write to.
static CAME: AtomicU64 = AtomicU64::new(0);
/// Bit per signal that a process sent.
static SENT: AtomicU64 = AtomicU64::new(0);
/// Event descriptor that wakes the loop, -1 = none.
static WAKER: AtomicI32 = AtomicI32::new(-1);

extern "C" fn note(signal: c_int, info: *mut siginfo_t, _context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a valid pointer.
    let code = unsafe { (*info).si_code };
    let bit = 1u64 << (signal as u32 & 63);
    CAME.fetch_or(bit, Ordering::Release);
    // Above 0: raised by the kernel, that is by the terminal, for the whole foreground group.
    if code <= 0 {
        SENT.fetch_or(bit, Ordering::Release);
    }
    let waker = WAKER.load(Ordering::Acquire);
    let one = 1u64;
    // SAFETY: `write` is async-signal-safe; errno of the interrupted code is put back.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(waker, (&raw const one).cast(), size_of::<u64>());
        *libc::__errno_location() = errno;
    }
}

/// Handlers of the signals, as long as it lives.
pub struct Signals {
    waker: OwnedFd,
    before: Vec<(c_int, libc::sigaction)>,
}

impl Signals {
    /// Takes the signals that are not ignored.
    ///
    /// # Errors
    /// Where there is no event descriptor to be had.
    pub fn take() -> std::io::Result<Signals> {
        let waker = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        CAME.store(0, Ordering::Release);
        SENT.store(0, Ordering::Release);
        WAKER.store(waker.as_raw_fd(), Ordering::Release);
        let mut before = Vec::new();
        for signal in SIGNALS {
            // SAFETY: all-zero is a valid `sigaction` (default handler, empty mask).
            let (mut old, mut new): (libc::sigaction, libc::sigaction) =
                unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
            new.sa_sigaction = note as *const () as usize;
            new.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            // SAFETY: both pointers are to live structures, `note` is async-signal-safe.
            unsafe {
                libc::sigaction(signal, std::ptr::null(), &raw mut old);
                if old.sa_sigaction != libc::SIG_IGN {
                    libc::sigaction(signal, &raw const new, std::ptr::null_mut());
                    before.push((signal, old));
                }
            }
        }
        Ok(Signals { waker, before })
    }

    /// Becomes readable when a signal came.
    pub fn waker(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }

    /// Signals that came since the last call, each with whether a process sent it.
    pub fn came(&self) -> Vec<(c_int, bool)> {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.waker, &mut count);
        let (came, sent) = (CAME.swap(0, Ordering::AcqRel), SENT.swap(0, Ordering::AcqRel));
        let has = |set: u64, signal: c_int| set >> signal & 1 == 1;
        SIGNALS
            .into_iter()
            .filter(|signal| has(came, *signal))
            .map(|signal| (signal, has(sent, signal)))
            .collect()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for (signal, old) in &self.before {
            // SAFETY: `old` is what `sigaction` gave for this signal.
            unsafe { libc::sigaction(*signal, old, std::ptr::null_mut()) };
        }
        WAKER.store(-1, Ordering::Release);
    }
}
