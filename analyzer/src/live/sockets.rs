//! The sockets of a process's network namespace, by inode: `/proc/PID/net/{tcp,udp,unix,…}`.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use resshim_format::op::Kind;

/// Rows of one table that are read, at most.
const MOST_ROWS: usize = 1 << 20;

/// A socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// `tcp`, `udp`, `unix`, `netlink`.
    pub kind: Kind,
    /// Its own address or path.
    pub local: String,
    /// Whom it is connected to; empty: nobody.
    pub peer: String,
    /// `ESTABLISHED`, `LISTEN`, `CLOSE_WAIT`, …
    pub state: String,
    /// Somebody listens at its own port: it came in there.
    pub is_accepted: bool,
}

impl Socket {
    /// What many sockets of one leak have in common. Of a connection that was accepted the peer's port is
    /// another one each time; so is the own one of a connection that was made.
    pub fn place(&self) -> String {
        let host = |address: &str| address.rsplit_once(':').map_or("", |(host, _)| host).to_owned();
        let state = if self.state.is_empty() { String::new() } else { format!(" {}", self.state) };
        match (self.kind, self.peer.as_str()) {
            (Kind::Tcp | Kind::Udp, "") => format!("{}{state}", self.local),
            (Kind::Tcp | Kind::Udp, peer) if self.is_accepted => {
                format!("from {} to {}{state}", host(peer), self.local)
            }
            (Kind::Tcp | Kind::Udp, peer) => format!("to {peer}{state}"),
            (_, _) if self.local.is_empty() => format!("no name{state}"),
            _ => format!("{}{state}", self.local),
        }
    }

    /// All of it, in words.
    pub fn label(&self) -> String {
        let mut parts = vec![self.local.clone()];
        if !self.peer.is_empty() {
            parts.push(format!("to {}", self.peer));
        }
        parts.push(self.state.clone());
        parts.retain(|part| !part.is_empty());
        parts.join(" ")
    }
}

/// The sockets of a namespace.
#[derive(Clone, Debug, Default)]
pub struct Sockets {
    by_inode: HashMap<u64, Socket>,
}

impl Sockets {
    /// Of the namespace that this process is in.
    pub fn of(pid: u32) -> Sockets {
        let mut all = Sockets::default();
        for (file, kind) in [
            ("tcp", Kind::Tcp),
            ("tcp6", Kind::Tcp),
            ("udp", Kind::Udp),
            ("udp6", Kind::Udp),
            ("udplite", Kind::Udp),
            ("raw", Kind::Socket),
            ("raw6", Kind::Socket),
        ] {
            all.read(pid, file, |line| internet(line, kind));
        }
        let listens = |socket: &&Socket| socket.state == "LISTEN";
        let ports: HashSet<String> =
            all.by_inode.values().filter(listens).filter_map(|s| port(&s.local)).collect();
        for socket in all.by_inode.values_mut().filter(|socket| socket.kind == Kind::Tcp) {
            socket.is_accepted = port(&socket.local).is_some_and(|port| ports.contains(&port));
        }
        all.read(pid, "unix", unix);
        all.read(pid, "netlink", |line| {
            let inode = line.split_whitespace().last()?.parse().ok()?;
            Some((inode, plain(Kind::Netlink)))
        });
        all.read(pid, "packet", |line| {
            Some((line.split_whitespace().last()?.parse().ok()?, plain(Kind::Socket)))
        });
        all
    }

    fn read(&mut self, pid: u32, file: &str, parse: impl Fn(&str) -> Option<(u64, Socket)>) {
        // Names are bytes; there is one line a socket.
        let text = std::fs::read(format!("/proc/{pid}/net/{file}")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        self.by_inode.extend(text.lines().skip(1).take(MOST_ROWS).filter_map(parse));
    }

    /// The socket with this inode; one that is in no table is not bound, or of a rare family.
    pub fn get(&self, inode: u64) -> Option<Socket> {
        Some(self.by_inode.get(&inode).cloned().unwrap_or_else(|| plain(Kind::Socket)))
    }
}

fn port(address: &str) -> Option<String> {
    Some(address.rsplit_once(':')?.1.to_owned())
}

fn plain(kind: Kind) -> Socket {
    let none = String::new();
    Socket { kind, local: none.clone(), peer: none.clone(), state: none, is_accepted: false }
}

/// `sl local_address rem_address st … inode`, addresses in hexadecimal words of the machine (proc(5)).
fn internet(line: &str, kind: Kind) -> Option<(u64, Socket)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let inode = fields.get(9)?.parse().ok()?;
    let (local, peer) = (address(fields.get(1)?)?, address(fields.get(2)?)?);
    let state = u8::from_str_radix(fields.get(3)?, 16).ok()?;
    let peer = if peer.port() == 0 { String::new() } else { peer.to_string() };
    let state = match kind {
        Kind::Tcp => tcp_state(state),
        _ => "",
    };
    let local = local.to_string();
    Some((inode, Socket { local, peer, state: state.to_owned(), ..plain(kind) }))
}

fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut words = Vec::new();
    for at in (0..host.len()).step_by(8) {
        words.push(u32::from_str_radix(host.get(at..at + 8)?, 16).ok()?);
    }
    let ip = match words.as_slice() {
        [word] => IpAddr::V4(Ipv4Addr::from(word.to_ne_bytes())),
        [a, b, c, d] => {
            let mut bytes = [0; 16];
            for (to, word) in bytes.chunks_exact_mut(4).zip([a, b, c, d]) {
                to.copy_from_slice(&word.to_ne_bytes());
            }
            let ip = Ipv6Addr::from(bytes);
            ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Names of ss(8); include/net/tcp_states.h.
fn tcp_state(state: u8) -> &'static str {
    match state {
        1 => "ESTABLISHED",
        2 => "SYN_SENT",
        3 => "SYN_RECV",
        4 => "FIN_WAIT1",
        5 => "FIN_WAIT2",
        6 => "TIME_WAIT",
        7 => "CLOSE",
        8 => "CLOSE_WAIT",
        9 => "LAST_ACK",
        10 => "LISTEN",
        11 => "CLOSING",
        12 => "NEW_SYN_RECV",
        _ => "",
    }
}

/// `Num RefCount Protocol Flags Type St Inode Path`.
fn unix(line: &str) -> Option<(u64, Socket)> {
    let mut rest = line;
    let mut fields = Vec::new();
    // The path is what is left: it may hold blanks.
    for _ in 0..7 {
        rest = rest.trim_start();
        let end = rest.find(' ').unwrap_or(rest.len());
        fields.push(&rest[..end]);
        rest = &rest[end..];
    }
    let listens = u32::from_str_radix(fields[3], 16).ok()? & 0x1_0000 != 0;
    let state = match (listens, fields[5]) {
        (true, _) => "LISTEN",
        (_, "03") => "ESTABLISHED",
        (_, "02") => "SYN_SENT",
        _ => "",
    };
    let path = rest.strip_prefix(' ').unwrap_or(rest).to_owned();
    let socket = Socket { local: path, state: state.to_owned(), ..plain(Kind::Unix) };
    Some((fields[6].parse().ok()?, socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_kernel_become_addresses() {
        let line = "   1: 0100007F:1F90 0200007F:D431 08 00000000:00000001 00:00000000 00000000  1000        0 4711 1 x";
        let (inode, socket) = internet(line, Kind::Tcp).expect("a row");
        assert_eq!(
            (inode, socket.label().as_str()),
            (4711, "127.0.0.1:8080 to 127.0.0.2:54321 CLOSE_WAIT")
        );
        assert_eq!(socket.place(), "to 127.0.0.2:54321 CLOSE_WAIT");
        let accepted = Socket { is_accepted: true, ..socket };
        assert_eq!(accepted.place(), "from 127.0.0.2 to 127.0.0.1:8080 CLOSE_WAIT");
        let six = "1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 5 1";
        let (_, socket) = internet(six, Kind::Tcp).expect("a row");
        assert_eq!((socket.label().as_str(), socket.peer.as_str()), ("[::1]:80 LISTEN", ""));
        assert_eq!(internet("1: 0:0 0:0", Kind::Tcp), None);
        let mapped = "00000000000000000000FFFF0100007F:0050";
        if cfg!(target_endian = "little") {
            let mapped = mapped.replace("0000FFFF", "FFFF0000");
            assert_eq!(address(&mapped).expect("an address").to_string(), "127.0.0.1:80");
        }
    }

    #[test]
    fn a_path_of_a_unix_socket_may_hold_blanks() {
        let line = "0000000000000000: 00000002 00000000 00010000 0001 01 99 /run/my service";
        let (inode, socket) = unix(line).expect("a row");
        assert_eq!((inode, socket.label().as_str()), (99, "/run/my service LISTEN"));
        let (_, socket) = unix("0: 3 0 00000000 0001 03 98").expect("a row without a path");
        assert_eq!(socket.place(), "no name ESTABLISHED");
        assert_eq!(unix(""), None);
    }
}
