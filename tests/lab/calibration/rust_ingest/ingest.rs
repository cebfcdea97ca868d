//! Takes records in, spools them, and runs a hook for some.
use std::collections::BinaryHeap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, Read, Write};
use std::mem::ManuallyDrop;
use std::net::UdpSocket;
use std::os::fd::{FromRawFd, IntoRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

#[derive(Default)]
struct Ledger {
    acquired: u64,
    live: u64,
    leaked: u64,
}

impl Ledger {
    fn took(&mut self, n: u64) {
        self.acquired += n;
        self.live += n;
    }
    fn print(&self, site: &str) {
        println!("{{\"site\": \"{site}\", \"acquired\": {}, \"live\": {}, \"leaked\": {}}}", self.acquired, self.live, self.leaked);
    }
}

struct Random(u64);
impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn one_of(&mut self, n: u64) -> bool {
        self.next() % n == 0
    }
    /// About e to the normal: a sum of uniform ones is normal enough.
    fn lognormal(&mut self) -> f64 {
        let sum: f64 = (0..12).map(|_| (self.next() >> 11) as f64 / (1u64 << 53) as f64).sum();
        (3.0 + (sum - 6.0) * 1.1).exp()
    }
}

#[inline(never)]
fn spool(number: u64) -> std::io::Result<RawFd> {
    let name = format!("spool.{}", number % 100);
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    let file = options.open(name)?; // LAB:spool
    Ok(file.into_raw_fd())
}

/// The early return of a rejected record was written before the descriptor became a raw one.
#[inline(never)]
fn ingest(number: u64, rejected: bool, ledger: &mut Ledger) -> Result<(), &'static str> {
    let descriptor = spool(number).map_err(|_| "spool")?;
    ledger.took(1);
    if rejected {
        ledger.leaked += 1;
        return Err("rejected");
    }
    // Taken back: closed when it goes out of scope.
    let mut file = unsafe { File::from_raw_fd(descriptor) };
    writeln!(file, "{number}").map_err(|_| "full")?;
    ledger.live -= 1;
    Ok(())
}

#[inline(never)]
fn run_hook(number: u64) -> std::io::Result<Child> {
    let mut command = Command::new("/bin/true");
    command.arg(number.to_string()).stdin(Stdio::null());
    command.spawn() // LAB:run_hook
}

fn hook(number: u64, forgets: bool, ledger: &mut Ledger) {
    let Ok(mut child) = run_hook(number) else { return };
    ledger.took(1);
    if forgets {
        ledger.leaked += 1;
        return;
    }
    let _ = child.wait();
    ledger.live -= 1;
}

#[derive(Default)]
struct Sessions {
    open: BinaryHeap<(std::cmp::Reverse<u64>, usize)>,
    streams: Vec<Option<(UnixStream, UnixStream)>>,
    ledger: Ledger,
}

impl Sessions {
    #[inline(never)]
    fn open(&mut self, until: u64) {
        let pair = UnixStream::pair(); // LAB:session
        let Ok(pair) = pair else { return };
        self.ledger.took(2);
        self.streams.push(Some(pair));
        self.open.push((std::cmp::Reverse(until), self.streams.len() - 1));
    }
    fn expire(&mut self, now: u64) {
        while self.open.peek().is_some_and(|(until, _)| until.0 <= now) {
            let (_, index) = self.open.pop().expect("there is one");
            self.streams[index] = None;
            self.ledger.live -= 2;
        }
    }
    fn talk(&mut self) {
        for (one, other) in self.streams.iter_mut().rev().take(8).flatten() {
            let mut byte = [0];
            let _ = one.write(&[1]).and_then(|_| other.read(&mut byte));
        }
    }
}

#[inline(never)]
fn probe(ledger: &mut Ledger) -> std::io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?; // LAB:probe
    ledger.took(1);
    socket.send_to(b"?", socket.local_addr()?)?;
    let mut answer = [0; 4];
    socket.recv(&mut answer)?;
    drop(socket);
    ledger.live -= 1;
    Ok(())
}

fn main() {
    let seed: u64 = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let mut random = Random(seed.wrapping_mul(0xdead_beef_1234_5677));
    let mut lines = std::io::stdin().lock().lines();
    let (mut spools, mut hooks, mut probes) = (Ledger::default(), Ledger::default(), Ledger::default());
    let mut sessions = ManuallyDrop::new(Sessions::default());
    println!("START");
    lines.next();
    for tick in 0..3200u64 {
        let _ = ingest(tick, random.one_of(50), &mut spools);
        if random.one_of(4) {
            hook(tick, random.one_of(12), &mut hooks);
        }
        if random.one_of(3) {
            let until = tick + random.lognormal() as u64;
            sessions.open(until);
        }
        sessions.expire(tick);
        sessions.talk();
        if tick % 10 == 0 {
            let _ = probe(&mut probes);
        }
        std::thread::sleep(Duration::from_micros(2000 + random.next() % 1500));
    }
    println!("DONE");
    spools.print("spool");
    hooks.print("run_hook");
    sessions.ledger.print("session");
    probes.print("probe");
    lines.next();
}
