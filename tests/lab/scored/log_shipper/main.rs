//! A log shipper: tails a file that rotates, sends each batch to a collector over a Unix socket, and starts a helper
//! thread for each rotated file. A helper whose file was empty waits for a word that nobody sends.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, Read, Seek, SeekFrom, Write};
use std::os::fd::{FromRawFd, IntoRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

extern "C" {
    fn inotify_init1(flags: i32) -> i32;
    fn inotify_add_watch(fd: i32, path: *const std::ffi::c_char, mask: u32) -> i32;
}

#[derive(Default)]
struct Tally {
    acquired: u64,
    live: u64,
    leaked: u64,
}

#[derive(Default)]
struct Book {
    send: Tally,
    tail: Tally,
    watch: Tally,
    helper: Tally,
}

struct Lcg(u64);

impl Lcg {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % n
    }
}

struct Shipper {
    book: Book,
    dice: Lcg,
    offset: u64,
    waiting: Vec<Sender<()>>,
}

impl Shipper {
    #[inline(never)]
    fn send_batch(&mut self, batch: &[u8]) -> std::io::Result<()> {
        let mut stream = UnixStream::connect("ship_collector")?; // LAB:send_batch
        self.book.send.acquired += 1;
        self.book.send.live += 1;
        let sent = stream.write_all(batch).and_then(|()| stream.read(&mut [0]));
        if self.dice.below(400) == 0 {
            // kept for the next batch, it was thought once
            let _ = stream.into_raw_fd();
            self.book.send.leaked += 1;
        } else {
            drop(stream);
            self.book.send.live -= 1;
        }
        sent.map(|_| ())
    }

    #[inline(never)]
    fn read_tail(&mut self) -> std::io::Result<Vec<u8>> {
        let mut file = File::open("ship_log")?; // LAB:read_tail
        self.book.tail.acquired += 1;
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(self.offset))?;
        self.offset += file.read_to_end(&mut text)? as u64;
        Ok(text)
    }

    #[inline(never)]
    fn watch_rotation(&mut self) -> File {
        // SAFETY: the descriptor is new and owned by the file from here on.
        let watch = unsafe { File::from_raw_fd(inotify_init1(0o2000000)) }; // LAB:watch_rotation
        self.book.watch.acquired += 1;
        self.book.watch.live += 1;
        use std::os::fd::AsRawFd;
        // SAFETY: the path is a C string.
        unsafe { inotify_add_watch(watch.as_raw_fd(), c"ship_log".as_ptr(), 0x400 | 0x800) };
        watch
    }

    #[inline(never)]
    fn compress_later(&mut self, empty: bool) {
        let (done, wait): (Sender<()>, Receiver<()>) = channel();
        let helper = thread::spawn(move || wait.recv().is_ok()); // LAB:compress_later
        self.book.helper.acquired += 1;
        self.book.helper.live += 1;
        if empty {
            self.waiting.push(done);
            self.book.helper.leaked += 1;
            return;
        }
        let _ = done.send(());
        let _ = helper.join();
        self.book.helper.live -= 1;
    }

    fn rotate(&mut self, watch: File) -> std::io::Result<File> {
        fs::rename("ship_log", "ship_log.1")?;
        File::create("ship_log")?;
        self.offset = 0;
        drop(watch);
        self.book.watch.live -= 1;
        let empty = self.dice.below(6) == 0;
        self.compress_later(empty);
        Ok(self.watch_rotation())
    }
}

fn collector(listener: UnixListener) {
    let mut buffer = [0; 4096];
    for stream in listener.incoming().flatten() {
        let mut stream = stream;
        if stream.read(&mut buffer).is_ok() {
            let _ = stream.write_all(b"k");
        }
    }
}

fn show(site: &str, t: &Tally) {
    println!(
        "{{\"site\": \"{site}\", \"acquired\": {}, \"live\": {}, \"leaked\": {}}}",
        t.acquired, t.live, t.leaked
    );
}

fn main() -> std::io::Result<()> {
    let seed = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(1u64);
    let _ = fs::remove_file("ship_collector");
    let listener = UnixListener::bind("ship_collector")?;
    thread::spawn(move || collector(listener));
    File::create("ship_log")?;
    let mut log = OpenOptions::new().append(true).open("ship_log")?;
    let mut shipper =
        Shipper { book: Book::default(), dice: Lcg(seed ^ 0x5eed), offset: 0, waiting: Vec::new() };
    let mut input = std::io::stdin().lock();
    println!("START");
    input.read_line(&mut String::new())?;

    let mut watch = shipper.watch_rotation();
    let begin = Instant::now();
    let mut lines = 0u64;
    while begin.elapsed() < Duration::from_secs(18) {
        writeln!(log, "line {lines} of a service")?;
        lines += 1;
        let text = shipper.read_tail()?;
        shipper.send_batch(&text)?;
        if lines % 25 == 0 {
            watch = shipper.rotate(watch)?;
            log = OpenOptions::new().append(true).open("ship_log")?;
        }
        thread::sleep(Duration::from_micros(600 + shipper.dice.below(600)));
    }
    thread::sleep(Duration::from_millis(100));
    println!("DONE");
    show("send_batch", &shipper.book.send);
    show("read_tail", &shipper.book.tail);
    show("watch_rotation", &shipper.book.watch);
    show("compress_later", &shipper.book.helper);
    input.read_line(&mut String::new())?;
    drop(watch);
    std::process::exit(0)
}
