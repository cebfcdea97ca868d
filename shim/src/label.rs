//! What a resource is called: bytes for people, made without allocation. Names only, never data.

use crate::config::Text;
use core::ffi::c_int;
use resshim_format::op::Kind;

/// Longest label of an event.
pub const LABEL: usize = 256;

/// Kind of what `/proc/self/fd/N` links to.
pub fn kind_of_link(target: &[u8]) -> Kind {
    if target.starts_with(b"socket:") {
        return Kind::Socket;
    }
    if target.starts_with(b"pipe:") {
        return Kind::Pipe;
    }
    if let Some(name) = target.strip_prefix(b"anon_inode:") {
        return match name {
            b"[eventpoll]" => Kind::Epoll,
            b"[eventfd]" => Kind::Eventfd,
            b"[timerfd]" => Kind::Timerfd,
            b"[signalfd]" => Kind::Signalfd,
            b"inotify" | b"[inotify]" => Kind::Inotify,
            b"[pidfd]" => Kind::Pidfd,
            b"[io_uring]" => Kind::IoUring,
            _ => Kind::File,
        };
    }
    if target.starts_with(b"/memfd:") { Kind::Memfd } else { kind_of_path(target, 0) }
}

/// Kind of what `open` gives, by its arguments alone.
pub fn kind_of_path(path: &[u8], flags: c_int) -> Kind {
    if flags & libc::O_DIRECTORY != 0 && flags & libc::O_TMPFILE != libc::O_TMPFILE {
        return Kind::Dir;
    }
    let terminal = path.starts_with(b"/dev/pts/") || path == b"/dev/ptmx" || path == b"/dev/tty";
    if terminal { Kind::Pty } else { Kind::File }
}

/// Kind of a socket.
pub fn kind_of_socket(domain: c_int, kind: c_int) -> Kind {
    let kind = kind & !(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK);
    match (domain, kind) {
        (libc::AF_UNIX, _) => Kind::Unix,
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_STREAM) => Kind::Tcp,
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_DGRAM) => Kind::Udp,
        (libc::AF_NETLINK, _) => Kind::Netlink,
        _ => Kind::Socket,
    }
}

/// A label as a program gave it, without what URLs in it carry beside the place they name: user, password,
/// query, fragment (RFC 3986, 3.2.1 and 3.4). What does not fit is cut off.
///
/// A URL ends at white space, a quote, or where another one begins (`amqp://u:p@a/v,amqp://u:p@b/v`).
pub fn without_credentials(label: &[u8]) -> Text<LABEL> {
    let mut text = Text::EMPTY;
    let mut rest = label;
    while let Some(at) = rest.windows(3).position(|three| three == b"://") {
        let (before, behind) = rest.split_at(at + 3);
        push_cut(&mut text, before);
        let ends = |byte: &u8| byte.is_ascii_whitespace() || b"\"'<>".contains(byte);
        let word = behind.iter().position(ends).unwrap_or(behind.len());
        let (word, _) = behind.split_at(word);
        let host = host(word);
        let from = word.get(host.clone()).unwrap_or(&[]);
        let place = from.iter().position(|byte| b"?#".contains(byte)).unwrap_or(from.len());
        let shown = from.get(..place).unwrap_or(from);
        // Another one in what is shown is looked at in its turn; one in a query goes with it.
        match next_scheme(shown) {
            Some(next) => {
                push_cut(&mut text, shown.get(..next).unwrap_or(&[]));
                rest = behind.get(host.start + next..).unwrap_or(&[]);
            }
            None => {
                push_cut(&mut text, shown);
                rest = behind.get(word.len()..).unwrap_or(&[]);
            }
        }
    }
    push_cut(&mut text, rest);
    text
}

/// A path that is a URL, as libraries try them with `open`, without the same; no byte of others is moved,
/// so that the scheme goes with a user and a password.
pub fn place_of_url(path: &[u8]) -> &[u8] {
    let Some(at) = path.windows(3).position(|three| three == b"://") else { return path };
    let behind = path.get(at + 3..).unwrap_or(&[]);
    let host = host(behind);
    let shown = behind.get(host.clone()).unwrap_or(&[]);
    let end = shown.iter().position(|byte| b"?#".contains(byte)).unwrap_or(shown.len());
    let from = if host.start == 0 { 0 } else { at + 3 + host.start };
    path.get(from..at + 3 + host.start + end).unwrap_or(&[])
}

/// What of a URL behind `://` is shown: from the host to the end. A password may hold what it
/// should not (`u:a/b@host`, `u:a?b@host`), and a label that was cut off may end in it.
fn host(url: &[u8]) -> core::ops::Range<usize> {
    let authority = url.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(url.len());
    let user_ends = |end: usize| url.iter().take(end).rposition(|byte| *byte == b'@');
    if let Some(at) = user_ends(authority) {
        return at + 1..url.len();
    }
    // Behind the address in brackets only a port can follow.
    let name = url.get(..authority).unwrap_or(url);
    let from = name.iter().position(|byte| *byte == b']').unwrap_or(0);
    let Some(colon) = name.iter().skip(from).position(|byte| *byte == b':') else {
        return 0..url.len();
    };
    let colon = from + colon;
    let is_port = name.iter().skip(colon + 1).all(u8::is_ascii_digit);
    // Several hosts have several ports: `mongodb://a:1,b:2/`.
    if is_port || name.contains(&b',') {
        return 0..url.len();
    }
    match user_ends(url.len()) {
        Some(at) => at + 1..url.len(),
        None => 0..colon,
    }
}

/// Where the scheme of the next URL begins.
fn next_scheme(text: &[u8]) -> Option<usize> {
    let colon = text.windows(3).position(|three| three == b"://")?;
    let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    let before = text.get(..colon)?;
    Some(before.iter().rposition(|byte| !is_scheme(byte)).map_or(0, |at| at + 1))
}

/// Adds as much as fits, and leaves room for the end of a C string.
fn push_cut(text: &mut Text<LABEL>, more: &[u8]) {
    let room = LABEL - 1 - text.bytes().len().min(LABEL - 1);
    text.push(more.get(..room).unwrap_or(more));
}

/// An address as `1.2.3.4:80`, `[::1]:80`, `unix:/path`, `unix:@abstract`; empty for others.
/// `address` are the bytes of a `sockaddr` that the kernel has accepted or filled in.
pub fn address(address: &[u8]) -> Text<LABEL> {
    let mut text = Text::EMPTY;
    let byte = |index: usize| address.get(index).copied().unwrap_or(0);
    let port = u16::from_be_bytes([byte(2), byte(3)]);
    match c_int::from(u16::from_ne_bytes([byte(0), byte(1)])) {
        libc::AF_INET if address.len() >= 8 => {
            for index in 4..8 {
                if index > 4 {
                    text.push(b".");
                }
                text.push_decimal(byte(index) as u64);
            }
            text.push(b":");
            text.push_decimal(port as u64);
        }
        libc::AF_INET6 if address.len() >= 24 => {
            let mut octets = [0; 16];
            for (to, index) in octets.iter_mut().zip(8..24) {
                *to = byte(index);
            }
            text.push(b"[");
            push_ipv6(&mut text, octets);
            text.push(b"]:");
            text.push_decimal(port as u64);
        }
        libc::AF_UNIX => {
            let path = address.get(2..).unwrap_or(&[]);
            text.push(b"unix:");
            match path.first() {
                None => {}
                Some(0) => {
                    text.push(b"@");
                    text.push(path.get(1..).unwrap_or(&[]));
                }
                Some(_) => {
                    let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
                    text.push(path.get(..end).unwrap_or(path));
                }
            }
        }
        _ => {}
    }
    text
}

/// RFC 5952: the first longest run of zero groups is `::`; IPv4-mapped ones in dotted form.
fn push_ipv6(text: &mut Text<LABEL>, octets: [u8; 16]) {
    if octets.starts_with(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]) {
        text.push(b"::ffff:");
        for (index, octet) in octets.iter().skip(12).enumerate() {
            if index > 0 {
                text.push(b".");
            }
            text.push_decimal(*octet as u64);
        }
        return;
    }
    let group = |index: usize| {
        let at = |i: usize| octets.get(i).copied().unwrap_or(0);
        u16::from_be_bytes([at(2 * index), at(2 * index + 1)])
    };
    let (mut best, mut best_length) = (8, 1);
    let mut index = 0;
    while index < 8 {
        let length = (index..8).take_while(|at| group(*at) == 0).count();
        if length > best_length {
            (best, best_length) = (index, length);
        }
        index += length.max(1);
    }
    let mut index = 0;
    while index < 8 {
        if index == best {
            text.push(b"::");
            index += best_length;
            continue;
        }
        if index > 0 && index != best + best_length {
            text.push(b":");
        }
        push_hex_short(text, group(index));
        index += 1;
    }
}

fn push_hex_short(text: &mut Text<LABEL>, value: u16) {
    let mut started = false;
    for shift in [12, 8, 4, 0] {
        let nibble = (value >> shift) as u8 & 15;
        started |= nibble != 0 || shift == 0;
        if started {
            text.push(&[if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }]);
        }
    }
}
