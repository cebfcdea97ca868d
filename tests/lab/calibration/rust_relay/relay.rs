//! A relay whose only reference to a connection is the data word of its epoll entry.
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread::JoinHandle;
use std::time::Duration;

#[repr(C, packed)]
#[derive(Clone, Copy)]
struct Entry {
    events: u32,
    data: u64,
}

extern "C" {
    fn epoll_create1(flags: i32) -> i32;
    fn epoll_ctl(epoll: i32, what: i32, fd: i32, entry: *mut Entry) -> i32;
    fn epoll_wait(epoll: i32, entries: *mut Entry, most: i32, timeout: i32) -> i32;
    fn close(fd: i32) -> i32;
}
const CLOSE_ON_EXEC: i32 = 0o2000000;

#[derive(Default, Clone, Copy)]
struct Account {
    all: u64,
    now: u64,
}

impl Account {
    fn plus(&mut self) {
        self.all += 1;
        self.now += 1;
    }
    fn say(self, site: &str, bytes: Option<u64>) {
        let bytes = bytes.map_or(String::new(), |each| format!(", \"bytes\": {}", each * self.now));
        println!("{{\"site\": \"{site}\", \"acquired\": {}, \"live\": {}, \"leaked\": 0{bytes}}}", self.all, self.now);
    }
}

struct Lehmer(u128);
impl Lehmer {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0xda94_2042_e4dd_58b5);
        (self.0 >> 64) as u64 % n
    }
}

const BUFFER: usize = 256 << 10;
#[derive(Default)]
struct Buffers {
    free: Vec<Vec<u8>>,
    account: Account,
}
impl Buffers {
    #[inline(never)]
    fn take(&mut self) -> Vec<u8> {
        if let Some(buffer) = self.free.pop() {
            return buffer;
        }
        self.account.plus();
        vec![7; BUFFER] // LAB:buffers
    }
    fn give(&mut self, buffer: Vec<u8>) {
        if self.free.len() < 40 {
            self.free.push(buffer);
        } else {
            drop(buffer);
            self.account.now -= 1;
        }
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

struct Relay {
    epoll: i32,
    listener: TcpListener,
    admitted: Account,
    alarms: Account,
    buffers: Buffers,
}

impl Relay {
    #[inline(never)]
    fn admit(&mut self) {
        let accepted = self.listener.accept(); // LAB:admit
        let Ok((stream, _)) = accepted else { return };
        self.admitted.plus();
        let buffer = self.buffers.take();
        let fd = stream.as_raw_fd();
        let data = Box::into_raw(Box::new(Connection { stream, buffer })) as u64;
        let mut entry = Entry { events: 1, data };
        unsafe { epoll_ctl(self.epoll, 1, fd, &mut entry) };
    }

    fn pump(&mut self) {
        let mut entries = [Entry { events: 0, data: 0 }; 64];
        let ready = unsafe { epoll_wait(self.epoll, entries.as_mut_ptr(), 64, 0) };
        for entry in entries.iter().take(ready.max(0) as usize) {
            let data = entry.data as *mut Connection;
            let connection = unsafe { &mut *data };
            let got = connection.stream.read(&mut connection.buffer[..512]).unwrap_or(0);
            if got > 0 {
                let _ = connection.stream.write_all(&connection.buffer[..got]);
                continue;
            }
            let gone = unsafe { Box::from_raw(data) };
            self.buffers.give(gone.buffer);
            self.admitted.now -= 1;
        }
    }

    #[inline(never)]
    fn alarm(&mut self) {
        let small = unsafe { epoll_create1(CLOSE_ON_EXEC) }; // LAB:alarm
        self.alarms.plus();
        unsafe { close(small) };
        self.alarms.now -= 1;
    }
}

#[inline(never)]
fn dial(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to); // LAB:dial
    stream.expect("the relay listens")
}

#[inline(never)]
fn in_helper(number: u64) -> JoinHandle<u64> {
    let builder = std::thread::Builder::new();
    let handle = builder.spawn(move || number * number); // LAB:helper
    handle.expect("a thread")
}

fn main() {
    let seed: u64 = std::env::args().nth(1).map_or(1, |word| word.parse().unwrap_or(1));
    let mut dice = Lehmer(u128::from(seed) << 65 | 0x9e37_79b9_7f4a_7c15_f39c_0c73);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address");
    let epoll = unsafe { epoll_create1(CLOSE_ON_EXEC) };
    let mut relay = Relay { epoll, listener, admitted: Account::default(), alarms: Account::default(), buffers: Buffers::default() };
    let mut clients: VecDeque<(u64, TcpStream)> = VecDeque::new();
    let (mut dialled, mut helpers) = (Account::default(), Account::default());
    let mut helper: Option<JoinHandle<u64>> = None;
    let mut line = String::new();
    println!("START");
    std::io::stdin().read_line(&mut line).expect("a line");
    const TICKS: u64 = 3000;
    for tick in 0..TICKS {
        let wanted = if tick < TICKS / 2 { 5 + tick * 110 / TICKS } else { 60 - (tick - TICKS / 2) * 100 / TICKS };
        if (clients.len() as u64) < wanted {
            clients.push_back((tick + 20 + dice.below(250), dial(at)));
            dialled.plus();
            relay.admit();
        }
        if !clients.is_empty() {
            let one = dice.below(clients.len() as u64) as usize;
            let _ = clients[one].1.write_all(b"tick");
            relay.pump();
            let mut echo = [0; 4];
            let _ = clients[one].1.read_exact(&mut echo);
        }
        let before = clients.len();
        clients.retain(|(until, _)| *until > tick);
        dialled.now -= (before - clients.len()) as u64;
        relay.pump();
        relay.alarm();
        if tick % 100 == 0 {
            if let Some(last) = helper.replace(in_helper(tick)) {
                let _ = last.join();
                helpers.now -= 1;
            }
            helpers.plus();
        }
        std::thread::sleep(Duration::from_micros(2500 + dice.below(1500)));
    }
    if let Some(last) = helper.take() {
        let _ = last.join();
        helpers.now -= 1;
    }
    std::thread::sleep(Duration::from_millis(50));
    relay.pump();
    println!("DONE");
    relay.admitted.say("admit", None);
    dialled.say("dial", None);
    helpers.say("helper", None);
    relay.buffers.account.say("buffers", Some(BUFFER as u64));
    relay.alarms.say("alarm", None);
    std::io::stdin().read_line(&mut line).expect("a line");
    std::process::exit(0);
}
