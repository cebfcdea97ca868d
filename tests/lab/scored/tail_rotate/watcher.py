"""Watches the logs of applications that come and go, reads what is new, and rotates what has become long."""
import ctypes
import json
import os
import random
import sys
import threading
import time
import zlib

libc = ctypes.CDLL(None, use_errno=True)
IN_MODIFY, IN_NONBLOCK, IN_CLOEXEC = 0x2, 0o4000, 0o2000000
# site -> [acquired, live, leaked]
numbers = {site: [0, 0, 0] for site in ("watch", "rotated", "tail", "listing", "squeeze")}


def plus(site, count=1):
    numbers[site][0] += count
    numbers[site][1] += count


def minus(site, count=1):
    numbers[site][1] -= count


class DiskFull(OSError):
    pass


class Watched:
    """An application: a watch on its log, and the log from where it was read last."""

    def __init__(self, name):
        self.name, self.lines = name, 0
        self.watch()
        self.open_tail()

    def watch(self):
        self.notify = libc.inotify_init1(IN_NONBLOCK | IN_CLOEXEC)  # LAB:watch
        if self.notify < 0:
            raise OSError(ctypes.get_errno(), "inotify")
        plus("watch")
        libc.inotify_add_watch(self.notify, f"logs/{self.name}".encode(), IN_MODIFY)

    def open_tail(self):
        self.tail = open(f"logs/{self.name}", "rb", buffering=0)  # LAB:tail
        plus("tail")

    def changed(self):
        try:
            return bool(os.read(self.notify, 4096))
        except BlockingIOError:
            return False

    def look(self):
        if self.changed():
            self.lines += self.tail.read().count(b"\n")

    def forget_tail(self):
        self.tail.close()
        minus("tail")

    def close(self):
        self.forget_tail()
        os.close(self.notify)
        minus("watch")


def squeeze(text):
    """Through a pipe, as a compressor would be fed."""
    reader, writer = os.pipe()  # LAB:squeeze
    plus("squeeze", 2)
    try:
        os.write(writer, zlib.compress(text[:4096]))
        return os.read(reader, 65536)
    finally:
        os.close(reader)
        os.close(writer)
        minus("squeeze", 2)


def rotate(name, full):
    old = os.open(f"logs/{name}", os.O_RDONLY)  # LAB:rotated
    plus("rotated")
    small = squeeze(os.read(old, 1 << 20))
    if full:
        numbers["rotated"][2] += 1
        raise DiskFull(name)
    with open(f"old/{name}", "wb") as archive:
        archive.write(small)
    os.truncate(f"logs/{name}", 0)
    os.close(old)
    minus("rotated")


def list_logs():
    with os.scandir("logs") as entries:  # LAB:listing
        plus("listing")
        found = {entry.name: entry.stat().st_size for entry in entries}
    minus("listing")
    return found


class Applications(threading.Thread):
    """Writes into the logs until it is told to stop; the names are the caller's."""

    def __init__(self, dice):
        super().__init__(name="applications")
        self.dice, self.names, self.guard, self.over = dice, [], threading.Lock(), threading.Event()

    def come(self, name):
        with open(f"logs/{name}", "ab"), self.guard:
            self.names.append(name)

    def go(self, name):
        with self.guard:
            self.names.remove(name)
        os.unlink(f"logs/{name}")

    def run(self):
        while not self.over.wait(0.002):
            with self.guard:
                if self.names:
                    with open(f"logs/{self.dice.choice(self.names)}", "ab") as log:
                        log.write(b"a line of the application\n" * 4)


def watch_over(applications, dice):
    watched, gone, unlucky = {}, 0, 10
    for tick in range(2700):
        if tick % 3 == 0:
            if len(watched) >= 10:
                name = dice.choice(sorted(watched))
                leaving = watched.pop(name)
                gone += 1
                if gone == unlucky:
                    unlucky += dice.randint(10, 30)
                    # it is being rotated: there is no log left to be told of
                    leaving.forget_tail()
                    numbers["watch"][2] += 1
                else:
                    leaving.close()
                applications.go(name)
            applications.come(f"app-{tick}")
            watched[f"app-{tick}"] = Watched(f"app-{tick}")
        for one in watched.values():
            one.look()
        if tick % 2 == 0:
            name = dice.choice(sorted(list_logs()))
            try:
                rotate(name, dice.random() < 1 / 150)
            except DiskFull as error:
                print(f"not rotated: {error}", file=sys.stderr)
        time.sleep(dice.uniform(0.001, 0.004))
    return watched


os.mkdir("logs")
os.mkdir("old")
applications = Applications(random.Random(f"lines {sys.argv[1]}"))
applications.start()
print("START", flush=True)
sys.stdin.readline()
kept = watch_over(applications, random.Random(f"names {sys.argv[1]}"))
with applications.guard:
    applications.names.clear()
print("DONE")
for site, (acquired, live, leaked) in numbers.items():
    print(json.dumps({"site": site, "acquired": acquired, "live": live, "leaked": leaked}))
sys.stdout.flush()
sys.stdin.readline()
applications.over.set()
applications.join()
