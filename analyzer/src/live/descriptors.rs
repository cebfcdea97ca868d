//! The descriptors of a process.

use std::collections::HashMap;

use resshim_format::op::Kind;

use super::sockets::{Socket, Sockets};
use crate::collect::proc::ProcessId;
use crate::collect::reconcile::kind_of;

/// `O_DIRECTORY` on x86-64, as `/proc/PID/fdinfo` has it.
const DIRECTORY: u64 = 0o200_000;
/// Of so many descriptors it is asked whether they are directories: one file each.
const MOST_ASKED: usize = 4096;

/// One descriptor.
#[derive(Clone, Debug, PartialEq)]
pub struct Descriptor {
    /// Number.
    pub number: u32,
    /// What it is.
    pub kind: Kind,
    /// What the kernel says that it leads to: a path, `socket:[INODE]`, `anon_inode:[eventpoll]`.
    pub target: String,
    /// Of a socket: what is known of it.
    pub socket: Option<Socket>,
    /// Its file was removed.
    pub is_deleted: bool,
}

impl Descriptor {
    /// What many descriptors of one leak have in common: a directory, a peer, a name.
    pub fn place(&self) -> String {
        if let Some(socket) = &self.socket {
            return socket.place();
        }
        let target = self.target.as_str();
        match self.kind {
            Kind::File if target.starts_with('/') => match target.rsplit_once('/') {
                Some(("", _)) | None => target.to_owned(),
                Some((directory, _)) if self.is_deleted => format!("{directory}/ (deleted)"),
                Some((directory, _)) => format!("{directory}/"),
            },
            Kind::Memfd => target.trim_end_matches(" (deleted)").to_owned(),
            Kind::File | Kind::Dir | Kind::Shm | Kind::Pty | Kind::Mqueue => target.to_owned(),
            _ => String::new(),
        }
    }

    /// What is known of it, in words.
    pub fn label(&self) -> String {
        match &self.socket {
            Some(socket) => socket.label(),
            None => self.target.clone(),
        }
    }
}

/// All descriptors of a process, by number.
///
/// # Errors
/// Where the kernel refuses.
pub fn of(process: ProcessId) -> std::io::Result<Vec<Descriptor>> {
    // What kernel says of the directory tells why nothing can be read.
    std::fs::read_dir(format!("/proc/{}/fd", process.pid))?;
    let targets = process.descriptors().unwrap_or_default();
    let has_sockets = targets.values().any(|target| target.starts_with("socket:"));
    let sockets = if has_sockets { Sockets::of(process.pid) } else { Sockets::default() };
    let mut known: HashMap<u64, Option<Socket>> = HashMap::new();
    let mut asked = 0;
    let one = |(number, target): (u32, String)| {
        let inode = inode(&target);
        let socket = match inode.filter(|_| target.starts_with("socket:")) {
            Some(inode) => known.entry(inode).or_insert_with(|| sockets.get(inode)).clone(),
            None => None,
        };
        let is_deleted = target.starts_with('/') && target.ends_with(" (deleted)");
        let mut kind = socket.as_ref().map_or_else(|| kind_of(&target), |socket| socket.kind);
        if kind == Kind::File && target.starts_with('/') && asked < MOST_ASKED {
            asked += 1;
            if is_directory(process.pid, number) {
                kind = Kind::Dir;
            }
        }
        Descriptor { number, kind, target, socket, is_deleted }
    };
    Ok(targets.into_iter().map(one).collect())
}

fn is_directory(pid: u32, number: u32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap_or_default();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.and_then(|flags| u64::from_str_radix(flags.trim(), 8).ok()).unwrap_or(0) & DIRECTORY != 0
}

/// The number in `socket:[12345]`.
fn inode(target: &str) -> Option<u64> {
    let (_, rest) = target.split_once(":[")?;
    rest.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_has_open_is_told_by_kind_and_place() {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let directory = rustix::fs::open("/etc", flags, Mode::empty()).expect("a directory");
        let file = std::fs::File::open("/etc/passwd").expect("a file");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        let all = of(ProcessId::own()).expect("ours");
        let of = |raw: i32| all.iter().find(|d| d.number == raw as u32).expect("it is open");
        use std::os::fd::AsRawFd;
        assert_eq!(of(directory.as_raw_fd()).kind, Kind::Dir);
        let file = of(file.as_raw_fd());
        assert_eq!((file.kind, file.place().as_str()), (Kind::File, "/etc/"));
        let socket = of(listener.as_raw_fd());
        assert_eq!(socket.kind, Kind::Tcp);
        assert!(socket.label().contains(&format!("127.0.0.1:{port}")), "{}", socket.label());
        assert!(socket.label().contains("LISTEN"), "{}", socket.label());
    }

    #[test]
    fn a_name_that_only_looks_like_an_inode_is_none() {
        assert_eq!(inode("socket:[12]"), Some(12));
        assert_eq!(inode("socket:[x]").or(inode("socket:12")), None);
    }
}
