//! Agents send numbers by UDP; the hub keeps a session for each that has been heard of within the hour.

use std::collections::{HashMap, VecDeque};
use std::f64::consts::TAU;
use std::fs::File;
use std::io::{self, BufRead, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

const DAY: f64 = 86_400.0 / 24_000.0;
const HOUR: f64 = DAY / 24.0;
const DAYS: f64 = 4.5;
const WINDOW: usize = 24 * 1024;

extern "C" {
    fn eventfd(value: u32, flags: i32) -> i32;
}

#[derive(Debug, Default)]
struct Tally {
    acquired: u64,
    live: u64,
}

impl Tally {
    fn plus(&mut self) {
        self.acquired += 1;
        self.live += 1;
    }

    fn line(&self, site: &str, unit: Option<u64>) -> String {
        let bytes = unit.map_or_else(String::new, |unit| format!(", \"bytes\": {}", unit * self.live));
        format!("{{\"site\": \"{site}\", \"acquired\": {}, \"live\": {}, \"leaked\": 0{bytes}}}", self.acquired, self.live)
    }
}

/// Park and Miller's.
struct Minimal(u64);

impl Minimal {
    fn unit(&mut self) -> f64 {
        self.0 = self.0 * 48_271 % 0x7fff_ffff;
        self.0 as f64 / 2_147_483_647.0
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }
}

struct Agent {
    socket: UdpSocket,
    stops: f64,
    next: f64,
}

impl Agent {
    #[inline(never)]
    fn start(tally: &mut Tally, hub: SocketAddr, at: f64, dice: &mut Minimal) -> io::Result<Agent> {
        let socket = UdpSocket::bind("127.0.0.1:0")?; // LAB:agent
        tally.plus();
        socket.connect(hub)?;
        let evening = (at / DAY).floor() * DAY + 0.85 * DAY;
        let stays = dice.between(1.0, 9.0) * HOUR;
        let stops = if at < evening { evening.min(at + stays) } else { at + stays };
        Ok(Agent { socket, stops, next: at })
    }

    fn report(&mut self, at: f64, dice: &mut Minimal) -> io::Result<()> {
        self.next = at + HOUR * dice.between(0.2, 0.6);
        self.socket.send(&dice.unit().to_le_bytes()).map(|_| ())
    }
}

struct Session {
    _bell: OwnedFd,
    heard: f64,
}

#[derive(Default)]
struct Hub {
    sessions: HashMap<SocketAddr, Session>,
    windows: VecDeque<Vec<u8>>,
    hours: usize,
    session: Tally,
    window: Tally,
    rollup: Tally,
}

impl Hub {
    #[inline(never)]
    fn session(&mut self, from: SocketAddr, at: f64) {
        if let Some(known) = self.sessions.get_mut(&from) {
            known.heard = at;
            return;
        }
        // SAFETY: a new descriptor that has no other owner.
        let bell = unsafe { OwnedFd::from_raw_fd(eventfd(0, 0o2000000)) }; // LAB:session
        self.session.plus();
        self.sessions.insert(from, Session { _bell: bell, heard: at });
    }

    #[inline(never)]
    fn window(&mut self) {
        let window = vec![7; WINDOW]; // LAB:window
        self.window.plus();
        self.windows.push_back(window);
        if self.windows.len() > 48 {
            self.windows.pop_front();
            self.window.live -= 1;
        }
    }

    #[inline(never)]
    fn rollup(&mut self) -> io::Result<()> {
        let mut file = File::create(format!("rollup.{}", self.hours % 24))?; // LAB:rollup
        self.rollup.plus();
        file.write_all(&self.windows.back().map_or(&[][..], Vec::as_slice)[..512])?;
        drop(file);
        self.rollup.live -= 1;
        Ok(())
    }

    fn hear(&mut self, socket: &UdpSocket, at: f64) {
        let mut number = [0; 8];
        while let Ok((length, from)) = socket.recv_from(&mut number) {
            self.session(from, at);
            if let Some(window) = self.windows.back_mut() {
                let place = self.sessions.len() * 8 % (WINDOW - 8);
                window[place..place + length].copy_from_slice(&number[..length]);
            }
        }
        let before = self.sessions.len();
        self.sessions.retain(|_, session| at - session.heard < HOUR);
        self.session.live -= (before - self.sessions.len()) as u64;
    }
}

/// How many agents there ought to be at that time.
fn wanted(at: f64) -> usize {
    let noon = 0.5 - 0.5 * (TAU * at / DAY).cos();
    4 + (86.0 * noon * noon) as usize
}

fn simulate(socket: &UdpSocket, hub: &mut Hub, agents: &mut Tally, dice: &mut Minimal) -> io::Result<Vec<Agent>> {
    let address = socket.local_addr()?;
    let begin = Instant::now();
    let mut running: Vec<Agent> = Vec::new();
    loop {
        let at = begin.elapsed().as_secs_f64();
        if at > DAYS * DAY {
            return Ok(running);
        }
        while at >= hub.hours as f64 * HOUR {
            hub.window();
            hub.rollup()?;
            hub.hours += 1;
        }
        if running.len() < wanted(at) && dice.unit() < 0.7 {
            running.push(Agent::start(agents, address, at, dice)?);
        }
        let before = running.len();
        running.retain(|agent| agent.stops > at);
        agents.live -= (before - running.len()) as u64;
        for agent in running.iter_mut().filter(|agent| agent.next <= at) {
            agent.report(at, dice)?;
        }
        hub.hear(socket, at);
        std::thread::sleep(Duration::from_secs_f64(dice.between(0.0015, 0.0035)));
    }
}

fn main() -> io::Result<()> {
    let seed = std::env::args().nth(1).and_then(|word| word.parse::<u64>().ok()).unwrap_or(1);
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_nonblocking(true)?;
    let (mut hub, mut agents, mut dice) = (Hub::default(), Tally::default(), Minimal(seed * 69_621 + 11));
    let mut lines = io::stdin().lock().lines();
    println!("START");
    lines.next().transpose()?;
    let running = simulate(&socket, &mut hub, &mut agents, &mut dice)?;
    println!("DONE");
    println!("{}", agents.line("agent", None));
    println!("{}", hub.session.line("session", None));
    println!("{}", hub.window.line("window", Some(WINDOW as u64)));
    println!("{}", hub.rollup.line("rollup", None));
    lines.next().transpose()?;
    drop((running, hub));
    Ok(())
}
