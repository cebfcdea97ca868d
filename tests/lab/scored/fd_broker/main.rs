//! Takes parcels (memory files), routes each to a counterpart, and grants directories for a while.

use std::collections::VecDeque;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

mod sys {
    use std::ffi::{c_char, c_int, c_uint};

    #[repr(C, packed)]
    pub struct EpollEvent {
        pub events: u32,
        pub data: u64,
    }

    extern "C" {
        pub fn memfd_create(name: *const c_char, flags: c_uint) -> c_int;
        pub fn inotify_init1(flags: c_int) -> c_int;
        pub fn inotify_add_watch(fd: c_int, path: *const c_char, mask: u32) -> c_int;
        pub fn epoll_create1(flags: c_int) -> c_int;
        pub fn epoll_ctl(poller: c_int, what: c_int, fd: c_int, event: *mut EpollEvent) -> c_int;
        pub fn epoll_wait(poller: c_int, events: *mut EpollEvent, most: c_int, ms: c_int) -> c_int;
    }
    pub const CLOEXEC: c_int = 0o2000000;
}

/// An account entry.
#[derive(Default)]
struct Entry {
    acquired: usize,
    live: usize,
    leaked: usize,
}

impl Entry {
    fn debit(&mut self, n: usize) {
        self.acquired += n;
        self.live += n;
    }

    fn credit(&mut self, n: usize) {
        self.live -= n;
    }

    fn lose(&mut self) {
        self.leaked += 1;
    }
}

#[derive(Default)]
struct Account {
    parcel: Entry,
    watch: Entry,
    route: Entry,
    pair: Entry,
    ledger: Entry,
}

/// What a parcel's sender asks for.
struct Order {
    text: Vec<u8>,
    refused: bool,
    grant: bool,
    revoked: bool,
}

struct Grant {
    watch: RawFd,
}

impl Grant {
    #[inline(never)]
    fn watch(account: &mut Account, place: &str) -> io::Result<Grant> {
        let path = CString::new(place)?;
        // SAFETY: a plain call.
        let watch = unsafe { sys::inotify_init1(sys::CLOEXEC) }; // LAB:grant_watch
        if watch < 0 {
            return Err(io::Error::last_os_error());
        }
        account.watch.debit(1);
        // SAFETY: the path is a C string that lives until the call is over.
        unsafe { sys::inotify_add_watch(watch, path.as_ptr(), 0x100 | 0x200) };
        Ok(Grant { watch })
    }

    fn end(self, account: &mut Account) {
        // SAFETY: the grant owns the descriptor, and is gone with this.
        drop(unsafe { OwnedFd::from_raw_fd(self.watch) });
        account.watch.credit(1);
    }
}

#[derive(Default)]
struct Broker {
    account: Account,
    grants: VecDeque<Grant>,
    kept_ledger: Option<File>,
    handled: usize,
}

impl Broker {
    #[inline(never)]
    fn pack(&mut self, text: &[u8]) -> io::Result<File> {
        // SAFETY: the name is a C string; the descriptor is new and owned by the file.
        let mut parcel = unsafe { File::from_raw_fd(sys::memfd_create(c"parcel".as_ptr(), 1)) }; // LAB:parcel
        self.account.parcel.debit(1);
        parcel.write_all(text)?;
        parcel.seek(SeekFrom::Start(0))?;
        Ok(parcel)
    }

    #[inline(never)]
    fn route(&mut self, to: &UnixStream) -> io::Result<RawFd> {
        // SAFETY: a plain call.
        let poller = unsafe { sys::epoll_create1(sys::CLOEXEC) }; // LAB:route
        if poller < 0 {
            return Err(io::Error::last_os_error());
        }
        self.account.route.debit(1);
        let mut event = sys::EpollEvent { events: 1, data: to.as_raw_fd() as u64 };
        // SAFETY: both descriptors are open, the event is read before the call is over.
        unsafe { sys::epoll_ctl(poller, 1, to.as_raw_fd(), &mut event) };
        Ok(poller)
    }

    #[inline(never)]
    fn counterpart(&mut self) -> io::Result<(UnixStream, UnixStream)> {
        let pair = UnixStream::pair()?; // LAB:counterpart
        self.account.pair.debit(2);
        Ok(pair)
    }

    #[inline(never)]
    fn ledger(&mut self) -> io::Result<()> {
        if self.kept_ledger.take().is_some() {
            self.account.ledger.credit(1);
        }
        let ledger = File::create(format!("ledger.{}", self.handled / 10 % 30))?; // LAB:ledger
        self.account.ledger.debit(1);
        self.kept_ledger = Some(ledger);
        Ok(())
    }

    fn deliver(&mut self, parcel: File, poller: RawFd, from: &mut UnixStream, to: UnixStream) -> io::Result<()> {
        let mut text = Vec::new();
        (&parcel).read_to_end(&mut text)?;
        from.write_all(&text)?;
        let mut events = [sys::EpollEvent { events: 0, data: 0 }];
        // SAFETY: there is room for one event.
        let ready = unsafe { sys::epoll_wait(poller, events.as_mut_ptr(), 1, 1000) };
        let mut word = vec![0; text.len().max(1)];
        if ready == 1 {
            (&to).read_exact(&mut word[..text.len()])?;
        }
        // SAFETY: the poller is new, and has no other owner.
        drop(unsafe { OwnedFd::from_raw_fd(poller) });
        self.account.route.credit(1);
        self.account.parcel.credit(1);
        Ok(())
    }

    fn handle(&mut self, order: &Order) -> io::Result<()> {
        if self.handled % 10 == 0 {
            self.ledger()?;
        }
        self.handled += 1;
        let parcel = self.pack(&order.text)?;
        let (mut from, to) = self.counterpart()?;
        let poller = self.route(&to)?;
        if order.refused {
            // the sender is told its number, and may ask for it again
            let number = parcel.into_raw_fd();
            writeln!(io::stderr(), "refused: {number}")?;
            self.account.parcel.lose();
            self.account.route.lose();
        } else {
            self.deliver(parcel, poller, &mut from, to)?;
        }
        drop(from);
        self.account.pair.credit(2);
        if order.grant {
            let grant = Grant::watch(&mut self.account, ".")?;
            if order.revoked {
                self.account.watch.lose();
            } else {
                self.grants.push_back(grant);
            }
            if self.grants.len() > 5 {
                if let Some(grant) = self.grants.pop_front() {
                    grant.end(&mut self.account);
                }
            }
        }
        Ok(())
    }
}

/// Makes orders at the pace of a day; blum is a generator by squares.
fn senders(orders: SyncSender<Order>, seed: u64) {
    const N: u64 = 30_269 * 30_307;
    let mut blum = (seed * 7_919 + 12_345) % N | 2;
    let mut next = |n: u64| {
        let mut word = 0;
        for _ in 0..24 {
            blum = blum * blum % N + 1;
            word = word << 1 | (blum ^ blum >> 7) & 1;
        }
        word % n
    };
    let mut to_revoke = 20;
    for number in 0..3300 {
        let text = vec![b'p'; 20 + next(2000) as usize];
        // about one grant of thirty is revoked, the next one after every eightieth order or so
        let grant = next(3) == 0;
        let revoked = grant && number >= to_revoke;
        if revoked {
            to_revoke = number + 40 + next(80);
        }
        let order = Order { text, refused: next(45) == 0, grant, revoked };
        if orders.send(order).is_err() {
            return;
        }
        thread::sleep(Duration::from_micros(3500 + next(1500)));
    }
}

fn main() -> io::Result<()> {
    let seed = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(1);
    println!("START");
    io::stdin().read_line(&mut String::new())?;
    let (orders, incoming): (SyncSender<Order>, Receiver<Order>) = sync_channel(4);
    let sender = thread::spawn(move || senders(orders, seed));
    let mut broker = Broker::default();
    for order in incoming {
        broker.handle(&order)?;
    }
    sender.join().map_err(|_| io::Error::other("the sender has failed"))?;
    println!("DONE");
    let Account { parcel, watch, route, pair, ledger } = &broker.account;
    for (site, entry) in [("parcel", parcel), ("grant_watch", watch), ("route", route), ("counterpart", pair), ("ledger", ledger)] {
        println!("{{\"site\": \"{site}\", \"acquired\": {}, \"live\": {}, \"leaked\": {}}}", entry.acquired, entry.live, entry.leaked);
    }
    io::stdin().read_line(&mut String::new())?;
    std::process::exit(0)
}
