//! What a process holds and waits for now, from outside: `/proc` alone, whether it is traced or not.
//!
//! Nothing here stops, signals or writes to the process, and no path that it has open is looked at: a file
//! may lie on a server that does not answer. What cannot be read is said ([`Look::unseen`]), not guessed.
//! Parsers take text and are tested on text; names are data and are not escaped here.

pub mod descriptors;
pub mod identity;
pub mod limits;
pub mod memory;
pub mod scan;
pub mod sockets;
pub mod threads;
pub mod traced;

use std::time::Instant;

use self::descriptors::Descriptor;
use self::identity::Identity;
use self::memory::Memory;
use self::threads::Thread;
use crate::error::Result;
use crate::report::Limit;

/// One look at a process.
#[derive(Debug)]
pub struct Look {
    /// When.
    pub at: Instant,
    /// Descriptors, by number; `None` where they cannot be read.
    pub descriptors: Option<Vec<Descriptor>>,
    /// Its threads.
    pub threads: Vec<Thread>,
    /// Children: running, and ended without having been waited for (pids).
    pub children: (u64, Vec<u32>),
    /// Memory.
    pub memory: Memory,
    /// Limits, the nearest first.
    pub limits: Vec<Limit>,
    /// What could not be seen, and why.
    pub unseen: Vec<String>,
}

impl Look {
    /// Looks once; `None`: the process has ended.
    ///
    /// # Errors
    /// Where nothing of it can be seen: another user's.
    pub fn at(process: &Identity) -> Result<Option<Look>> {
        let id = process.id;
        let mut unseen = Vec::new();
        let descriptors = match descriptors::of(id) {
            Ok(all) => Some(all),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                return if id.is_alive() { Err(identity::not_ours(process)) } else { Ok(None) };
            }
            Err(_) => None,
        };
        let threads = threads::of(id.pid);
        if threads.iter().any(|thread| thread.waits_in.is_empty() && thread.state == 'S') {
            unseen.push(
                "which system calls its threads wait in: that takes ptrace rights (same user, and \
                 kernel.yama.ptrace_scope 0; or root)"
                    .to_owned(),
            );
        }
        let memory = memory::of(id.pid);
        let (children, by_user) = identity::relatives(id.pid, process.user);
        let used = limits::Used {
            descriptors: descriptors.as_ref().map(|all| all.len() as u64),
            mappings: memory.mappings,
            tasks_of_user: by_user,
        };
        let limits = limits::of(id, &used);
        // What was read may be of nobody, or of the next process with this number.
        if !id.is_alive() {
            return Ok(None);
        }
        Ok(Some(Look {
            at: Instant::now(),
            descriptors,
            threads,
            children,
            memory,
            limits,
            unseen,
        }))
    }
}
