//! Rooms relay what their members say to a hub over TCP. A member knows its room and a room its members; a moderator is
//! known twice, once too strongly.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::FromRawFd;
use std::rc::{Rc, Weak};
use std::time::Duration;

const HISTORY: usize = 384 * 1024;

extern "C" {
    fn pipe2(ends: *mut i32, flags: i32) -> i32;
}

/// What one site has taken, holds and has lost; one a thread, and there is one thread.
#[derive(Default, Clone, Copy)]
struct Site(i64, i64, i64);

thread_local! {
    static SITES: RefCell<[Site; 5]> = RefCell::default();
}
const DIAL: usize = 0;
const HISTORIES: usize = 1;
const AUDIT: usize = 2;
const INVITE: usize = 3;
const ROSTER: usize = 4;

fn count(site: usize, taken: i64, held: i64, lost: i64) {
    SITES.with_borrow_mut(|all| {
        all[site].0 += taken;
        all[site].1 += held;
        all[site].2 += lost;
    });
}

struct XorShift(u64);

impl XorShift {
    fn of(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545f4914f6cdd1d) >> 20) % n
    }
}

struct Member {
    hub: RefCell<TcpStream>,
    history: RefCell<Vec<u8>>,
    room: RefCell<Weak<Room>>,
    moderates: RefCell<Option<Rc<Room>>>,
}

impl Member {
    #[inline(never)]
    fn dial(hub: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(hub)?; // LAB:dial
        count(DIAL, 1, 1, 0);
        Ok(stream)
    }

    #[inline(never)]
    fn history() -> Vec<u8> {
        let history = vec![b'.'; HISTORY]; // LAB:history
        count(HISTORIES, 1, 1, 0);
        history
    }

    fn say(&self, text: &[u8]) -> io::Result<usize> {
        let mut answer = [0; 64];
        let mut hub = self.hub.borrow_mut();
        hub.write_all(text)?;
        let length = hub.read(&mut answer)?;
        self.history.borrow_mut()[..length].copy_from_slice(&answer[..length]);
        Ok(length)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        count(DIAL, 0, -1, 0);
        count(HISTORIES, 0, -1, 0);
    }
}

struct Room {
    number: u64,
    members: RefCell<Vec<Rc<Member>>>,
}

impl Room {
    fn enter(self: &Rc<Self>, hub: SocketAddr) -> io::Result<Rc<Member>> {
        let member = Rc::new(Member {
            hub: RefCell::new(Member::dial(hub)?),
            history: RefCell::new(Member::history()),
            room: RefCell::new(Rc::downgrade(self)),
            moderates: RefCell::default(),
        });
        self.members.borrow_mut().push(Rc::clone(&member));
        Ok(member)
    }

    #[inline(never)]
    fn audit(&self, text: &str, dice: &mut XorShift) -> io::Result<()> {
        let path = format!("audit.{}", self.number % 40);
        let mut file = OpenOptions::new().append(true).create(true).open(path)?; // LAB:audit
        count(AUDIT, 1, 1, 0);
        file.write_all(text.as_bytes())?;
        if dice.of(1000) == 0 {
            // its lock was given up by hand, the rest goes with the process
            count(AUDIT, 0, 0, 1);
            std::mem::forget(file);
            return Ok(());
        }
        drop(file);
        count(AUDIT, 0, -1, 0);
        Ok(())
    }

    #[inline(never)]
    fn invite(&self) -> io::Result<u8> {
        let mut ends = [0; 2];
        // SAFETY: there is room for two descriptors.
        let made = unsafe { pipe2(ends.as_mut_ptr(), 0o2000000) }; // LAB:invite
        if made != 0 {
            return Err(io::Error::last_os_error());
        }
        count(INVITE, 2, 2, 0);
        // SAFETY: both are new, and owned by the files from here on.
        let (mut reader, mut writer) = unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) };
        writer.write_all(&[self.number as u8])?;
        let mut word = [0];
        reader.read_exact(&mut word)?;
        count(INVITE, 0, -2, 0);
        Ok(word[0])
    }

    #[inline(never)]
    fn roster() -> io::Result<usize> {
        let entries = fs::read_dir(".")?; // LAB:roster
        count(ROSTER, 1, 1, 0);
        let found = entries.filter(|e| e.as_ref().is_ok_and(|e| e.file_name().to_string_lossy().starts_with("audit"))).count();
        count(ROSTER, 0, -1, 0);
        Ok(found)
    }
}

fn evening(hub: SocketAddr, dice: &mut XorShift) -> io::Result<()> {
    let mut rooms: Vec<Rc<Room>> = Vec::new();
    for minute in 0..1300 {
        if rooms.len() == 6 {
            rooms.remove(dice.of(6) as usize);
        }
        let room = Rc::new(Room { number: minute, members: RefCell::default() });
        for _ in 0..1 + dice.of(3) {
            let member = room.enter(hub)?;
            if dice.of(80) == 0 && member.room.borrow().upgrade().is_some() {
                *member.moderates.borrow_mut() = Some(Rc::clone(&room));
            }
        }
        for member in room.members.borrow().iter() {
            member.say(b"good evening")?;
        }
        // who moderates keeps the room, and the room keeps all of its members
        if room.members.borrow().iter().any(|m| m.moderates.borrow().is_some()) {
            let lost = room.members.borrow().len() as i64;
            count(DIAL, 0, 0, lost);
            count(HISTORIES, 0, 0, lost);
        }
        for _ in 0..4 {
            room.audit("said\n", dice)?;
        }
        room.invite()?;
        if minute % 10 == 0 {
            Room::roster()?;
        }
        rooms.push(room);
        std::thread::sleep(Duration::from_micros(9000 + dice.of(5000)));
    }
    Ok(())
}

/// The hub: a process of its own, this program with another first word.
fn hub() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let mut stream = stream?;
        std::thread::Builder::new().stack_size(64 * 1024).spawn(move || {
            let mut text = [0; 64];
            while let Ok(length) = stream.read(&mut text) {
                if length == 0 || stream.write_all(&text[..length]).is_err() {
                    break;
                }
            }
        })?;
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let word = std::env::args().nth(1).unwrap_or_default();
    if word == "hub" {
        return hub();
    }
    let mut child = std::process::Command::new(std::env::current_exe()?)
        .arg("hub")
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let mut address = String::new();
    io::BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut address)?;
    let hub = address.trim().parse().map_err(io::Error::other)?;
    let mut dice = XorShift(word.parse::<u64>().unwrap_or(1).wrapping_mul(0x9e3779b97f4a7c15) | 1);
    println!("START");
    io::stdin().read_line(&mut String::new())?;
    evening(hub, &mut dice)?;
    println!("DONE");
    let names = ["dial", "history", "audit", "invite", "roster"];
    for (name, Site(acquired, live, leaked)) in names.into_iter().zip(SITES.with_borrow(|all| *all)) {
        let bytes = if name == "history" { format!(", \"bytes\": {}", live * HISTORY as i64) } else { String::new() };
        println!("{{\"site\": \"{name}\", \"acquired\": {acquired}, \"live\": {live}, \"leaked\": {leaked}{bytes}}}");
    }
    io::stdin().read_line(&mut String::new())?;
    child.kill()?;
    child.wait()?;
    Ok(())
}
