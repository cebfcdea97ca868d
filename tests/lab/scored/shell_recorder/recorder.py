"""Records shell sessions: a shell on a terminal of its own, what it prints goes into a file, and viewers may look."""
import contextlib
import json
import os
import queue
import random
import signal
import socket
import sys
import threading
import time


class Numbers:
    lock = threading.Lock()
    rows = {}

    @classmethod
    def change(cls, site, live, leaked=0):
        with cls.lock:
            row = cls.rows.setdefault(site, [0, 0, 0])
            row[0] += max(live, 0)
            row[1] += live
            row[2] += leaked


class Recording:
    cut_off = []

    def __init__(self, number):
        self.number = number
        self.keys = queue.SimpleQueue()

    def begin(self):
        self.cast = open(f"cast.{self.number % 200}", "wb", buffering=0)  # LAB:cast
        Numbers.change("cast", 1)
        self.open_terminal()
        self.run_shell()

    def open_terminal(self):
        self.master, self.slave = os.openpty()  # LAB:terminal
        Numbers.change("terminal", 2)

    def run_shell(self):
        streams = [(os.POSIX_SPAWN_DUP2, self.slave, to) for to in (0, 1, 2)]
        self.shell = os.posix_spawn("/bin/echo", ["echo", f"session {self.number}"], {}, file_actions=streams)  # LAB:shell
        Numbers.change("shell", 1)
        os.close(self.slave)
        Numbers.change("terminal", -1)

    def follow(self):
        thread = threading.Thread(target=self.type_keys, daemon=True)
        thread.start()  # LAB:reader
        Numbers.change("reader", 1)
        return thread

    def type_keys(self):
        """Types what it is told, until there is no more."""
        while (key := self.keys.get()) is not None:
            with contextlib.suppress(OSError):
                os.write(self.master, key)

    def record(self):
        with contextlib.suppress(OSError):
            while text := os.read(self.master, 1024):
                self.cast.write(text)

    def end(self, thread, cut):
        os.waitpid(self.shell, 0)
        Numbers.change("shell", -1)
        self.cast.close()
        Numbers.change("cast", -1)
        if cut:
            # it may be taken up again
            Recording.cut_off.append(self)
            Numbers.change("terminal", 0, 1)
            Numbers.change("reader", 0, 1)
            return
        self.keys.put(None)
        thread.join()
        Numbers.change("reader", -1)
        os.close(self.master)
        Numbers.change("terminal", -1)


class Viewers:
    """Serves what has been recorded last."""

    def __init__(self, path):
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(path)
        self.server.listen(16)
        self.last = b"nothing yet"

    def welcome(self):
        viewer, _ = self.server.accept()  # LAB:viewer
        Numbers.change("viewer", 1)
        return viewer

    def serve(self):
        while True:
            viewer = self.welcome()
            viewer.recv(8)
            viewer.sendall(self.last)
            viewer.close()
            Numbers.change("viewer", -1)


def view(path):
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
        peer.sendall(b"look")
        return peer.recv(200)


def audience(path, gate, dice):
    """A process that looks in now and then, once the gate is open."""
    os.read(gate, 1)
    while True:
        with contextlib.suppress(ConnectionError):
            view(path)
        time.sleep(dice.uniform(0.01, 0.03))


def record_all(viewers, dice):
    for number in range(1450):
        recording = Recording(number)
        recording.begin()
        thread = recording.follow()
        for _ in range(dice.randrange(4)):
            recording.keys.put(b"ls\r")
        recording.record()
        recording.end(thread, dice.random() < 1 / 22)
        viewers.last = b"session %d" % number
        time.sleep(dice.uniform(0.003, 0.007))


if __name__ == "__main__":
    seed, path = sys.argv[1], "viewers.sock"
    viewers = Viewers(path)
    gate, opened = os.pipe()
    child = os.fork()
    if child == 0:
        audience(path, gate, random.Random(f"audience {seed}"))
    server = threading.Thread(target=viewers.serve, daemon=True)
    server.start()
    print("START", flush=True)
    sys.stdin.readline()
    os.write(opened, b"!")
    record_all(viewers, random.Random(f"sessions {seed}"))
    os.kill(child, signal.SIGSTOP)
    time.sleep(0.3)
    print("DONE")
    for site, (acquired, live, leaked) in Numbers.rows.items():
        print(json.dumps({"site": site, "acquired": acquired, "live": live, "leaked": leaked}))
    sys.stdout.flush()
    sys.stdin.readline()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os._exit(0)
