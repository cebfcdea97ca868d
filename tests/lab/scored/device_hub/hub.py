"""Sends commands to devices over pooled connections. The devices are another process: this file, run with `devices`."""
import collections
import os
import random
import selectors
import socket
import subprocess
import sys
import threading
import time
import zlib


class Pool:
    """Connections to the devices; who takes one puts it back, or drops it when it is broken."""

    def __init__(self, address, most):
        self.address, self.most = address, most
        self.idle, self.lock = collections.deque(), threading.Lock()

    def dial(self):
        peer = socket.create_connection(self.address)  # LAB:dial
        with self.lock:
            dialled.update(acquired=1, live=1)
        return peer

    def take(self):
        with self.lock:
            if self.idle:
                return self.idle.popleft()
        return self.dial()

    def put(self, peer):
        with self.lock:
            if len(self.idle) < self.most:
                self.idle.append(peer)
                return
            dialled.update(live=-1)
        peer.close()


class Command:
    def __init__(self, number, size, spoilt, cancelled):
        self.number, self.size, self.spoilt, self.cancelled = number, size, spoilt, cancelled

    def arm(self):
        self.waiter = os.eventfd(0, os.EFD_CLOEXEC)  # LAB:waiter
        with counting:
            waiters.update(acquired=1, live=1)

    def disarm(self):
        os.close(self.waiter)
        with counting:
            waiters.update(live=-1)

    def spill(self, body):
        aside = os.memfd_create("answer")  # LAB:answer
        with counting:
            answers.update(acquired=1, live=1)
        try:
            os.write(aside, body)
            os.lseek(aside, 0, os.SEEK_SET)
            return os.read(aside, 1 << 16)
        finally:
            os.close(aside)
            with counting:
                answers.update(live=-1)

    def send(self, pool):
        self.arm()
        if self.cancelled:
            with counting:
                waiters.update(leaked=1)
            return None
        peer = pool.take()
        peer.sendall(b"%d %d\n" % (self.size, self.spoilt))
        frame = peer.recv(8)
        while len(frame) < 8 + self.size:
            frame += peer.recv(65536)
        os.eventfd_write(self.waiter, 1)
        self.disarm()
        body = frame[8:]
        if b"%08x" % zlib.crc32(body) != frame[:8]:
            raise ValueError(f"command {self.number}: wrong checksum")
        pool.put(peer)
        return self.spill(body) if self.size > 6000 else body


counting = threading.Lock()
dialled, waiters, answers, beats, shifts = (collections.Counter(acquired=0, live=0, leaked=0) for _ in range(5))
faults = []


def beat(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as once:  # LAB:beat
        beats.update(acquired=1, live=1)
        once.sendto(b"alive", address)
    beats.update(live=-1)


def run_commands(pool, commands):
    for command in commands:
        try:
            command.send(pool)
        except ValueError as error:
            with counting:
                dialled.update(leaked=1)
            faults.append(error)
        time.sleep(0.004)


def shift(pool, dice, first):
    """A few threads, each with commands of its own; ends when all have been sent."""
    threads = []
    for hand in range(dice.randint(2, 5)):
        commands = [Command(first + hand * 100 + n, dice.choice((40, 900, 9000)), dice.random() < 1 / 36, dice.random() < 1 / 45)
                    for n in range(12)]
        thread = threading.Thread(target=run_commands, args=(pool, commands))
        thread.start()  # LAB:shift
        shifts.update(acquired=1, live=1)
        threads.append(thread)
    for thread in threads:
        thread.join()
        shifts.update(live=-1)


def devices():
    """Answers commands: eight digits of checksum, then the body."""
    ready = selectors.DefaultSelector()
    server, body = socket.create_server(("127.0.0.1", 0), backlog=64), random.Random(0).randbytes(9000)
    ready.register(server, selectors.EVENT_READ)
    print(server.getsockname()[1], flush=True)
    while True:
        for key, _ in ready.select():
            if key.fileobj is server:
                ready.register(server.accept()[0], selectors.EVENT_READ)
                continue
            line = key.fileobj.recv(64)
            if not line:
                ready.unregister(key.fileobj)
                key.fileobj.close()
                continue
            size, spoilt = line.split()
            part = body[:int(size)]
            key.fileobj.sendall(b"%08x" % (zlib.crc32(part) ^ (spoilt == b"1")) + part)


def main(seed):
    child = subprocess.Popen([sys.executable, __file__, "devices"], stdout=subprocess.PIPE)
    address = ("127.0.0.1", int(child.stdout.readline()))
    dice, pool = random.Random(seed ^ 0xD0D0), Pool(address, 4)
    print("START", flush=True)
    sys.stdin.readline()
    for number in range(125):
        shift(pool, dice, number * 1000)
        if number % 2:
            beat(address)
        time.sleep(dice.uniform(0.02, 0.06))
    time.sleep(0.2)
    print("DONE")
    for site, row in dict(dial=dialled, waiter=waiters, answer=answers, beat=beats, shift=shifts).items():
        print('{"site": "%s", "acquired": %d, "live": %d, "leaked": %d}' % (site, row["acquired"], row["live"], row["leaked"]))
    sys.stdout.flush()
    sys.stdin.readline()
    child.terminate()
    child.wait()


if __name__ == "__main__":
    devices() if sys.argv[1] == "devices" else main(int(sys.argv[1]))
