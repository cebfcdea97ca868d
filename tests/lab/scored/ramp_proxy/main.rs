//! A connection proxy on a morning: the load goes up from a few clients to many and stays. A pool of back-end
//! connections grows with it to its bound, workers are added up to theirs.

use std::cell::Cell;
use std::io::{BufRead, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{sleep, Builder};
use std::time::{Duration, Instant};

struct Gauge(AtomicI64, AtomicI64);

impl Gauge {
    const fn new() -> Self {
        Gauge(AtomicI64::new(0), AtomicI64::new(0))
    }
    fn up(&self) {
        self.0.fetch_add(1, Relaxed);
        self.1.fetch_add(1, Relaxed);
    }
    fn down(&self) {
        self.1.fetch_sub(1, Relaxed);
    }
    fn line(&self, site: &str) -> String {
        let (a, l) = (self.0.load(Relaxed), self.1.load(Relaxed));
        format!(r#"{{"site": "{site}", "acquired": {a}, "live": {l}, "leaked": 0}}"#)
    }
}

static BACKEND: Gauge = Gauge::new();
static WORKER: Gauge = Gauge::new();
static METRIC: Gauge = Gauge::new();
static ROUTE: Gauge = Gauge::new();

const POOL: usize = 48;
const WORKERS: usize = 32;

struct Pool {
    idle: Mutex<Vec<(TcpStream, u32)>>,
    port: u16,
}

impl Pool {
    #[inline(never)]
    fn connect(&self) -> Option<(TcpStream, u32)> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?; // LAB:connect
        BACKEND.up();
        Some((stream, 0))
    }

    fn with<R>(&self, work: impl FnOnce(&mut TcpStream) -> R) -> Option<R> {
        let kept = self.idle.lock().unwrap().pop();
        let (mut stream, uses) = kept.or_else(|| self.connect())?;
        let result = work(&mut stream);
        let mut idle = self.idle.lock().unwrap();
        // a connection is worn out after some uses; more than the bound are not kept
        if uses > 150 || idle.len() >= POOL {
            drop(stream);
            BACKEND.down();
        } else {
            idle.push((stream, uses + 1));
        }
        Some(result)
    }
}

#[derive(Default)]
struct Jobs {
    queue: Mutex<(Vec<u64>, usize, usize)>,
    ready: Condvar,
}

#[inline(never)]
fn send_metric(value: u64, to: u16) {
    if let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) { // LAB:send_metric
        METRIC.up();
        let _ = socket.send_to(&value.to_le_bytes(), (Ipv4Addr::LOCALHOST, to));
        drop(socket);
        METRIC.down();
    }
}

#[inline(never)]
fn read_routes() -> usize {
    let Ok(mut file) = std::fs::File::open("proxy_routes") else { return 0 }; // LAB:read_routes
    ROUTE.up();
    let mut text = String::new();
    let n = file.read_to_string(&mut text).unwrap_or(0);
    drop(file);
    ROUTE.down();
    n
}

fn serve(jobs: &Jobs, pool: &Pool, metrics: u16) {
    loop {
        let mut queue = jobs.queue.lock().unwrap();
        while queue.0.is_empty() {
            queue = jobs.ready.wait(queue).unwrap();
        }
        let job = queue.0.pop().unwrap();
        queue.1 += 1;
        drop(queue);
        pool.with(|stream| {
            let _ = stream.write_all(&job.to_le_bytes());
            let _ = stream.read_exact(&mut [0; 8]);
            sleep(Duration::from_millis(20 + job % 60));
        });
        if job % 10 == 0 {
            send_metric(job, metrics);
        }
        if job % 25 == 0 {
            read_routes();
        }
        let mut queue = jobs.queue.lock().unwrap();
        queue.1 -= 1;
        queue.2 += 1;
    }
}

#[inline(never)]
fn add_worker(jobs: &Arc<Jobs>, pool: &Arc<Pool>, metrics: u16) {
    let (jobs, pool) = (Arc::clone(jobs), Arc::clone(pool));
    let run = move || serve(&jobs, &pool, metrics);
    if Builder::new().stack_size(128 << 10).spawn(run).is_ok() { // LAB:add_worker
        WORKER.up();
    }
}

/// The back end is another process, so that only the proxy's own sockets are in this one.
fn backend() -> std::io::Result<(std::process::Child, u16)> {
    let mut child = std::process::Command::new(std::env::current_exe()?)
        .arg("--backend")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let mut port = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut port)?;
    Ok((child, port.trim().parse().unwrap_or(0)))
}

fn be_backend() -> std::io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?.port());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut word = [0; 8];
                while stream.read_exact(&mut word).is_ok() && stream.write_all(&word).is_ok() {}
            });
        }
    });
    // ends with the proxy
    std::io::stdin().read_to_end(&mut Vec::new()).map(|_| ())
}

fn main() -> std::io::Result<()> {
    let argument = std::env::args().nth(1).unwrap_or_default();
    if argument == "--backend" {
        return be_backend();
    }
    let dice = Cell::new(argument.parse::<u64>().unwrap_or(1).wrapping_mul(2862933555777941757) | 1);
    let roll = |n: u64| {
        dice.set(dice.get().wrapping_mul(3202034522624059733).wrapping_add(4354685564936845319));
        (dice.get() >> 35) % n
    };
    std::fs::write("proxy_routes", "a b\n")?;
    let sink = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let metrics = sink.local_addr()?.port();
    let (mut child, port) = backend()?;
    let pool = Arc::new(Pool { idle: Mutex::default(), port });
    let jobs = Arc::new(Jobs::default());
    println!("START");
    std::io::stdin().read_line(&mut String::new())?;

    let begin = Instant::now();
    let total = 18.0;
    loop {
        let now = begin.elapsed().as_secs_f64();
        if now > total {
            break;
        }
        // from night to noon: up for two thirds of the run, then level
        let rate = 30.0 + 420.0 * (now / (total * 0.66)).min(1.0).powi(2);
        let mut queue = jobs.queue.lock().unwrap();
        queue.0.push(roll(1 << 20));
        let busy = queue.0.len() + queue.1;
        drop(queue);
        if busy > WORKER.1.load(Relaxed) as usize && (WORKER.1.load(Relaxed) as usize) < WORKERS {
            add_worker(&jobs, &pool, metrics);
        }
        jobs.ready.notify_one();
        sleep(Duration::from_secs_f64((0.5 + roll(1000) as f64 / 1000.0) / rate));
    }
    while jobs.queue.lock().is_ok_and(|q| !q.0.is_empty() || q.1 > 0) {
        sleep(Duration::from_millis(20));
    }
    println!("DONE");
    println!("{}\n{}", BACKEND.line("connect"), WORKER.line("add_worker"));
    println!("{}\n{}", METRIC.line("send_metric"), ROUTE.line("read_routes"));
    std::io::stdin().read_line(&mut String::new())?;
    drop(child.stdin.take());
    child.wait()?;
    Ok(())
}
