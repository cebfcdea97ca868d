//! A pool of connections. Leases are taken by threads that come in bursts; what is idle for long is closed.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const MOST: usize = 40;
const STATEMENT: usize = 6000;

extern "C" {
    fn timerfd_create(clock: i32, flags: i32) -> i32;
}

struct Counter {
    name: &'static str,
    acquired: AtomicI64,
    live: AtomicI64,
}

impl Counter {
    const fn new(name: &'static str) -> Self {
        Counter { name, acquired: AtomicI64::new(0), live: AtomicI64::new(0) }
    }

    fn open(&self) {
        self.acquired.fetch_add(1, SeqCst);
        self.live.fetch_add(1, SeqCst);
    }

    fn close(&self, n: usize) {
        self.live.fetch_sub(n as i64, SeqCst);
    }
}

static OPEN: Counter = Counter::new("open");
static LEASE: Counter = Counter::new("lease");
static STATEMENTS: Counter = Counter::new("statement");
static JOB: Counter = Counter::new("job");
static SLOW: Counter = Counter::new("slow_log");

/// Wichmann–Hill, a generator of three small ones.
#[derive(Clone)]
struct Chance(u32, u32, u32);

impl Chance {
    fn unit(&mut self) -> f64 {
        self.0 = 171 * self.0 % 30269;
        self.1 = 172 * self.1 % 30307;
        self.2 = 170 * self.2 % 30323;
        (f64::from(self.0) / 30269.0 + f64::from(self.1) / 30307.0 + f64::from(self.2) / 30323.0).fract()
    }

    fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f64) as usize
    }

    fn lognormal(&mut self, mu: f64, sigma: f64) -> f64 {
        let normal: f64 = (0..12).map(|_| self.unit()).sum::<f64>() - 6.0;
        (mu + sigma * normal).exp()
    }
}

struct Connection {
    stream: UnixStream,
    statements: VecDeque<(usize, Box<[u8]>)>,
    uses: usize,
    idle_since: Instant,
}

impl Connection {
    #[inline(never)]
    fn prepare(&mut self, query: usize) {
        if self.statements.iter().any(|(known, _)| *known == query) {
            return;
        }
        if self.statements.len() == 12 {
            self.statements.pop_front();
            STATEMENTS.close(1);
        }
        let plan = vec![query as u8; STATEMENT].into_boxed_slice(); // LAB:statement
        STATEMENTS.open();
        self.statements.push_back((query, plan));
    }

    fn execute(&mut self, query: usize) -> io::Result<()> {
        self.prepare(query);
        self.stream.write_all(&[query as u8])?;
        self.stream.read_exact(&mut [0])
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        STATEMENTS.close(self.statements.len());
        OPEN.close(1);
    }
}

#[derive(Default)]
struct Pool {
    state: Mutex<(Vec<Connection>, usize)>,
    returned: Condvar,
}

struct Lease {
    connection: Option<Connection>,
    timer: OwnedFd,
}

impl Pool {
    #[inline(never)]
    fn open() -> io::Result<Connection> {
        let stream = UnixStream::connect("database.sock")?; // LAB:open
        OPEN.open();
        Ok(Connection { stream, statements: VecDeque::new(), uses: 0, idle_since: Instant::now() })
    }

    #[inline(never)]
    fn lease(&self) -> io::Result<Lease> {
        // SAFETY: the descriptor is new and has no other owner.
        let timer = unsafe { OwnedFd::from_raw_fd(timerfd_create(1, 0o2000000)) }; // LAB:lease
        LEASE.open();
        let mut state = self.state.lock().expect("no holder panics");
        loop {
            if let Some(connection) = state.0.pop() {
                return Ok(Lease { connection: Some(connection), timer });
            }
            if state.1 < MOST {
                state.1 += 1;
                drop(state);
                return Ok(Lease { connection: Some(Pool::open()?), timer });
            }
            state = self.returned.wait(state).expect("no holder panics");
        }
    }

    fn give_back(&self, lease: Lease) {
        let Lease { connection, timer } = lease;
        drop(timer);
        LEASE.close(1);
        let mut state = self.state.lock().expect("no holder panics");
        match connection {
            Some(mut connection) if connection.uses < 200 => {
                connection.idle_since = Instant::now();
                state.0.push(connection);
            }
            _ => state.1 -= 1,
        }
        self.returned.notify_one();
    }

    fn shrink(&self) {
        let mut state = self.state.lock().expect("no holder panics");
        let before = state.0.len();
        state.0.retain(|connection| connection.idle_since.elapsed() < Duration::from_millis(700));
        state.1 -= before - state.0.len();
    }
}

#[inline(never)]
fn slow_log(query: usize) -> io::Result<()> {
    let mut file: File = OpenOptions::new().create(true).append(true).open("slow.log")?; // LAB:slow_log
    SLOW.open();
    writeln!(file, "query {query}")?;
    drop(file);
    SLOW.close(1);
    Ok(())
}

/// Threads of one burst, joined when it is dropped.
struct Burst(Vec<JoinHandle<io::Result<()>>>);

impl Burst {
    #[inline(never)]
    fn start(&mut self, pool: &Arc<Pool>, mut chance: Chance) {
        let pool = Arc::clone(pool);
        let thread = thread::spawn(move || { // LAB:job
            let mut lease = pool.lease()?;
            let stay = Duration::from_secs_f64(chance.lognormal(2.5, 1.0) / 1000.0);
            if let Some(connection) = lease.connection.as_mut() {
                for _ in 0..1 + chance.below(6) {
                    connection.uses += 1;
                    let query = chance.below(1 + connection.uses / 2) % 40;
                    connection.execute(query)?;
                    if chance.below(9) == 0 {
                        slow_log(query)?;
                    }
                }
            }
            thread::sleep(stay);
            pool.give_back(lease);
            Ok(())
        });
        JOB.open();
        self.0.push(thread);
    }
}

impl Drop for Burst {
    fn drop(&mut self) {
        for thread in self.0.drain(..) {
            if let Err(error) = thread.join().expect("no thread panics") {
                eprintln!("{error}");
            }
            JOB.close(1);
        }
    }
}

/// One byte for each byte; it lives in a child process.
fn database(listener: UnixListener) {
    for stream in listener.incoming().flatten() {
        let mut stream = stream;
        thread::spawn(move || {
            let mut byte = [0];
            while stream.read_exact(&mut byte).and_then(|()| stream.write_all(&byte)).is_ok() {}
        });
    }
}

fn main() -> io::Result<()> {
    let first = std::env::args().nth(1).unwrap_or_default();
    if first == "database" {
        let listener = UnixListener::bind("database.sock")?;
        println!("ready");
        database(listener);
        return Ok(());
    }
    let mut child = std::process::Command::new(std::env::current_exe()?);
    let mut child = child.arg("database").stdout(std::process::Stdio::piped()).spawn()?;
    child.stdout.take().expect("it is piped").read_exact(&mut [0; 6])?;
    let seed: u32 = first.parse().unwrap_or(1);
    let mut chance = Chance(1 + seed % 30000, 1 + seed * 7 % 30000, 1 + seed * 31 % 30000);
    let pool = Arc::new(Pool::default());
    println!("START");
    io::stdin().read_line(&mut String::new())?;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(17) {
        // busy for two seconds, then quieter for one, and more each time
        let seconds = begin.elapsed().as_secs_f64();
        let most = if seconds % 3.0 < 2.0 { 4 + seconds as usize * 3 } else { 5 };
        let mut burst = Burst(Vec::new());
        for _ in 0..1 + chance.below(most) {
            burst.start(&pool, chance.clone());
            chance.unit();
        }
        drop(burst);
        pool.shrink();
        thread::sleep(Duration::from_micros(8000 + chance.below(8000) as u64));
    }
    thread::sleep(Duration::from_millis(100));
    println!("DONE");
    for counter in [&OPEN, &LEASE, &STATEMENTS, &JOB, &SLOW] {
        let (acquired, live) = (counter.acquired.load(SeqCst), counter.live.load(SeqCst));
        let more = if counter.name == "statement" { format!(", \"bytes\": {}", live * STATEMENT as i64) } else { String::new() };
        println!("{{\"site\": \"{}\", \"acquired\": {acquired}, \"live\": {live}, \"leaked\": 0{more}}}", counter.name);
    }
    io::stdin().read_line(&mut String::new())?;
    child.kill()?;
    child.wait()?;
    Ok(())
}
