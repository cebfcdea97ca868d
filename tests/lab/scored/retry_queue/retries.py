"""Delivers webhooks to receivers that are down now and then, with exponential back-off."""
import contextlib
import heapq
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

COUNT = 2600


@dataclass
class Tally:
    acquired: int = 0
    live: int = 0

    def take(self, number=1):
        self.acquired += number
        self.live += number

    def give(self, number=1):
        self.live -= number


TALLIES = {name: Tally() for name in ("body", "attempt", "signer", "signer_pipe", "journal")}


class Signers:
    """Programs that sign; a signature is a line for a line."""

    def __init__(self, size):
        self.size, self.all, self.turns = size, [], itertools.count()

    def spawn(self):
        signer = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)  # LAB:signer LAB:signer_pipe
        TALLIES["signer"].take()
        TALLIES["signer_pipe"].take(2)
        signer.signed = 0
        return signer

    def retire(self, signer):
        signer.communicate()
        TALLIES["signer"].give()
        TALLIES["signer_pipe"].give(2)

    def sign(self, line):
        number = next(self.turns)
        if len(self.all) < self.size and number % 400 == 0:
            self.all.append(self.spawn())
        place = number % len(self.all)
        signer = self.all[place]
        if signer.signed == 150:
            self.retire(signer)
            signer = self.all[place] = self.spawn()
        signer.signed += 1
        signer.stdin.write(line)
        return signer.stdout.read(len(line))


class Journal:
    def __init__(self):
        self.lines, self.open = 0, []

    def turn(self):
        self.open.append(open(f"journal.{self.lines // 300 % 5}", "w", encoding="ascii"))  # LAB:journal
        TALLIES["journal"].take()
        if len(self.open) > 2:
            self.open.pop(0).close()
            TALLIES["journal"].give()

    def write(self, text):
        if self.lines % 300 == 0:
            self.turn()
        self.lines += 1
        self.open[-1].write(text + "\n")


@dataclass(order=True)
class Delivery:
    due: float
    number: int
    receiver: int = field(compare=False)
    tries: int = field(default=0, compare=False)
    body: object = field(default=None, compare=False)

    def keep_body(self, text):
        self.body = tempfile.TemporaryFile(dir=".", buffering=0)  # LAB:body
        TALLIES["body"].take()
        self.body.write(text)

    def attempt(self, address, signature):
        """Whether the receiver has taken it."""
        with contextlib.ExitStack() as stack:
            peer = socket.socket()  # LAB:attempt
            TALLIES["attempt"].take()
            stack.callback(TALLIES["attempt"].give)
            stack.enter_context(peer)
            peer.connect(address)
            self.body.seek(0)
            peer.sendall(b"%d " % self.receiver + self.body.read() + signature)
            peer.shutdown(socket.SHUT_WR)
            return peer.recv(16) == b"taken"

    def end(self):
        self.body.close()
        TALLIES["body"].give()


def receivers(listener, dice):
    """Forty receivers behind one address; each is down for a while, now and then."""
    down = {}
    while True:
        peer, _ = listener.accept()
        with peer:
            text = b""
            while part := peer.recv(65536):
                text += part
            who, now = int(text.split(b" ", 1)[0]), time.monotonic()
            if who not in down or down[who][1] < now:
                begins = now + dice.expovariate(1 / 1.5)
                down[who] = (begins, begins + dice.lognormvariate(-0.6, 1))
            with contextlib.suppress(ConnectionError):
                peer.sendall(b"later" if down[who][0] <= now else b"taken")


class Queue:
    def __init__(self, address, dice):
        self.address, self.dice, self.waiting = address, dice, []
        self.signers, self.journal = Signers(5), Journal()
        self.given_up = 0

    def submit(self, number):
        delivery = Delivery(time.monotonic(), number, self.dice.randrange(40))
        delivery.keep_body(b"event %d " % number * self.dice.randint(1, 200))
        heapq.heappush(self.waiting, delivery)

    def turn(self):
        while self.waiting and self.waiting[0].due <= time.monotonic():
            delivery = heapq.heappop(self.waiting)
            delivery.tries += 1
            if delivery.attempt(self.address, self.signers.sign(b"%16d" % delivery.number)):
                delivery.end()
            elif delivery.tries == 9:
                self.given_up += 1
                self.journal.write(f"{delivery.number} is given up")
                delivery.end()
            else:
                delivery.due += 0.02 * 2 ** delivery.tries * self.dice.uniform(0.8, 1.2)
                self.journal.write(f"{delivery.number} again")
                heapq.heappush(self.waiting, delivery)

    def run(self):
        begin = time.monotonic()
        for number in range(COUNT):
            self.submit(number)
            self.turn()
            pause = begin + number * 0.0062 - time.monotonic()
            if pause > 0:
                time.sleep(pause * self.dice.uniform(0.5, 1))


seed = sys.argv[1]
listener = socket.create_server(("127.0.0.1", 0), backlog=64)
child = os.fork()
if child == 0:
    receivers(listener, random.Random(seed + " receivers"))
hooks = Queue(listener.getsockname(), random.Random(seed + " hooks"))
print("START", flush=True)
sys.stdin.readline()
hooks.run()
print("DONE")
for name, tally in TALLIES.items():
    print('{"site": "%s", "acquired": %d, "live": %d, "leaked": 0}' % (name, tally.acquired, tally.live))
print(hooks.given_up, "given up", file=sys.stderr)
sys.stdout.flush()
sys.stdin.readline()
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
for one in hooks.signers.all:
    one.communicate()
