//! Checks hosts by a datagram; for one that does not answer, a helper looks for the way to it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::RawFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

#[repr(C)]
struct Span {
    seconds: i64,
    nanoseconds: i64,
}

extern "C" {
    fn timerfd_create(clock: i32, flags: i32) -> RawFd;
    fn timerfd_settime(fd: RawFd, flags: i32, new: *const [Span; 2], old: *mut [Span; 2]) -> i32;
}

/// Acquired, live and leaked.
type Figures = (u32, u32, u32);

#[derive(Default)]
struct Log(HashMap<&'static str, Figures>);

impl Log {
    fn begin(&mut self, site: &'static str) {
        let row = self.0.entry(site).or_default();
        *row = (row.0 + 1, row.1 + 1, row.2);
    }

    fn end(&mut self, site: &'static str) {
        self.0.entry(site).or_default().1 -= 1;
    }

    fn forget(&mut self, site: &'static str) {
        self.0.entry(site).or_default().2 += 1;
    }
}

struct Check<'a> {
    log: &'a mut Log,
    gateway: SocketAddr,
    host: u32,
}

impl Check<'_> {
    #[inline(never)]
    fn alarm(&mut self) -> RawFd {
        // SAFETY: a plain call.
        let alarm = unsafe { timerfd_create(1, 0o2000000) }; // LAB:alarm
        self.log.begin("alarm");
        let spans = [Span { seconds: 0, nanoseconds: 0 }, Span { seconds: 30, nanoseconds: 0 }];
        // SAFETY: the spans live until the call is over.
        unsafe { timerfd_settime(alarm, 0, &spans, std::ptr::null_mut()) };
        alarm
    }

    #[inline(never)]
    fn ping(&mut self) -> io::Result<bool> {
        let socket = UdpSocket::bind("127.0.0.1:0")?; // LAB:ping
        self.log.begin("ping");
        socket.send_to(&self.host.to_be_bytes(), self.gateway)?;
        let mut answer = [0; 4];
        let alive = socket.recv(&mut answer)? == 4 && answer == self.host.to_be_bytes();
        drop(socket);
        self.log.end("ping");
        Ok(alive)
    }

    #[inline(never)]
    fn trace(&mut self) -> io::Result<u32> {
        let mut command = Command::new("/bin/true");
        command.arg(self.host.to_string()).stdin(Stdio::null()).stdout(Stdio::null());
        let helper = command.spawn()?; // LAB:helper
        self.log.begin("helper");
        // what it finds is in a file of its own
        self.log.forget("helper");
        Ok(helper.id())
    }

    /// The alarm is looked at by nobody: the answer of the gateway never fails to come.
    fn run(mut self) -> io::Result<bool> {
        let alarm = self.alarm();
        let alive = self.ping()?;
        self.log.forget("alarm");
        if !alive {
            let helper = self.trace()?;
            eprintln!("host {}: alarm {alarm}, helper {helper}", self.host);
        }
        Ok(alive)
    }
}

#[derive(Default)]
struct Board {
    alive: HashMap<u32, bool>,
    saved: usize,
}

impl Board {
    #[inline(never)]
    fn save(&mut self, log: &mut Log) -> io::Result<()> {
        self.saved += 1;
        let mut file = File::create(format!("state.{}", self.saved % 4))?; // LAB:state
        log.begin("state");
        for (host, alive) in &self.alive {
            writeln!(file, "{host} {alive}")?;
        }
        drop(file);
        log.end("state");
        Ok(())
    }

    #[inline(never)]
    fn hosts(log: &mut Log) -> io::Result<Vec<u32>> {
        let entries = fs::read_dir("hosts")?; // LAB:hosts
        log.begin("hosts");
        let mut hosts: Vec<u32> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        log.end("hosts");
        hosts.sort_unstable();
        Ok(hosts)
    }
}

/// Sends back what it gets, or something else for hosts that are down: one of five, others each time.
fn gateway(socket: UdpSocket, over: Arc<AtomicBool>, seed: u32) {
    let mut number = [0; 4];
    let mut asked = seed.wrapping_mul(0x85eb_ca6b);
    while !over.load(Ordering::Relaxed) {
        let Ok((_, from)) = socket.recv_from(&mut number) else { continue };
        asked = asked.wrapping_add(0x9e37_79b9);
        let mut mixed = asked ^ asked >> 15;
        mixed = mixed.wrapping_mul(0x2c1b_3c6d);
        mixed ^= mixed >> 12;
        if mixed % 5 == 0 {
            number = [0xff; 4];
        }
        let _ = socket.send_to(&number, from);
    }
}

fn main() -> io::Result<()> {
    let seed = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(1u32);
    fs::create_dir("hosts")?;
    for host in 0..64 + seed % 16 {
        File::create(format!("hosts/{host}"))?;
    }
    let (socket, over) = (UdpSocket::bind("127.0.0.1:0")?, Arc::new(AtomicBool::new(false)));
    let gateway_at = socket.local_addr()?;
    let asked = Arc::clone(&over);
    thread::spawn(move || gateway(socket, asked, seed));
    println!("START");
    io::stdin().read_line(&mut String::new())?;

    let (mut log, mut board, mut checks) = (Log::default(), Board::default(), 0);
    while checks < 640 {
        for host in Board::hosts(&mut log)? {
            let alive = Check { log: &mut log, gateway: gateway_at, host }.run()?;
            board.alive.insert(host, alive);
            checks += 1;
            if checks % 20 == 0 {
                board.save(&mut log)?;
            }
            thread::sleep(Duration::from_micros(19_000 + u64::from(host.wrapping_mul(seed | 1) % 5000)));
            if checks == 640 {
                break;
            }
        }
    }

    println!("DONE");
    for site in ["alarm", "helper", "ping", "state", "hosts"] {
        let (acquired, live, leaked) = log.0.get(site).copied().unwrap_or_default();
        println!("{{\"site\": \"{site}\", \"acquired\": {acquired}, \"live\": {live}, \"leaked\": {leaked}}}");
    }
    io::stdin().read_line(&mut String::new())?;
    over.store(true, Ordering::Relaxed);
    Ok(())
}
