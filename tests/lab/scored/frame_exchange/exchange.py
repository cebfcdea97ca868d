"""Frames are put into shared memory, read by a few threads, and taken away again."""
import concurrent.futures
import functools
import json
import os
import random
import sys
import threading
import time
from multiprocessing import resource_tracker, shared_memory

BYTES = 1 << 20


class Figures:
    """acquired, live, leaked"""

    def __init__(self, *names):
        self._rows = {name: [0, 0, 0] for name in names}
        self._lock = threading.Lock()

    def taken(self, *names):
        with self._lock:
            for name in names:
                self._rows[name][0] += 1
                self._rows[name][1] += 1

    def given(self, *names):
        with self._lock:
            for name in names:
                self._rows[name][1] -= 1

    def lost(self, *names):
        with self._lock:
            for name in names:
                self._rows[name][2] += 1

    def lines(self):
        for name, (acquired, live, leaked) in self._rows.items():
            row = {"site": name, "acquired": acquired, "live": live, "leaked": leaked}
            if name == "pixels":
                row["bytes"] = live * BYTES
            yield json.dumps(row)


figures = Figures("frame", "pixels", "listing", "thumb", "reader")


class Exchange:
    def __init__(self):
        self.shown = {}
        self.without_reader = []

    def new_frame(self, color):
        frame = shared_memory.SharedMemory(create=True, size=BYTES)  # LAB:frame LAB:pixels
        figures.taken("frame", "frame", "pixels")  # the map has a descriptor of its own
        frame.buf[::4096] = bytes([color]) * (BYTES // 4096)
        return frame

    def show(self, number, dice):
        self.shown[number] = self.new_frame(number % 250)
        if len(self.shown) > 12:
            oldest = min(self.shown)
            self.take_away(self.shown.pop(oldest), dice.random() < 1 / 30)

    def take_away(self, frame, reader_gone):
        frame.unlink()
        if reader_gone:
            # it closes the frame when it comes back
            self.without_reader.append(frame)
            figures.lost("frame", "frame", "pixels")
            return
        frame.close()
        figures.given("frame", "frame", "pixels")


class Thumbs:
    """Small pictures by name."""

    def __init__(self, most):
        self.files, self.most = {}, most

    def get(self, name):
        file = self.files.pop(name, None)
        if file is None:
            file = open(f"thumbs/{name}", "a+b")  # LAB:thumb
            figures.taken("thumb")
        self.files[name] = file
        if len(self.files) > self.most:
            self.files.pop(next(iter(self.files))).close()
            figures.given("thumb")
        return file


def list_frames(broken):
    place = os.open("thumbs", os.O_RDONLY | os.O_DIRECTORY)  # LAB:listing
    figures.taken("listing")
    names = os.listdir(place)
    if broken:
        figures.lost("listing")
        raise ValueError(f"{len(names)} names, and one of them is no number")
    os.close(place)
    figures.given("listing")
    return names


def read_one(frame):
    return sum(frame.buf[::8192])


def read_frames(frames):
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(frames)) as pool:
        jobs = []
        for frame in frames:
            before = threading.active_count()
            jobs.append(pool.submit(read_one, frame))  # LAB:reader
            for _ in range(threading.active_count() - before):
                figures.taken("reader")
        total = sum(job.result() for job in jobs)
        threads = len(pool._threads)
    for _ in range(threads):
        figures.given("reader")
    return total


def exchange(dice):
    desk, thumbs, total = Exchange(), Thumbs(64), 0
    for number in range(2000):
        desk.show(number, dice)
        if number % 25 == 0:
            total += read_frames(list(desk.shown.values())[:3])
        thumbs.get(str(int(dice.triangular(0, 40 + number // 10, 0)))).write(b"t")
        if dice.random() < 0.8:
            try:
                list_frames(dice.random() < 1 / 25)
            except ValueError as error:
                print(f"frame {number}: {error}", file=sys.stderr)
        time.sleep(dice.gammavariate(2, 0.0025))
    print(total, file=sys.stderr)
    return desk, thumbs


@functools.cache
def prepare():
    """What multiprocessing starts when it is first used."""
    os.mkdir("thumbs")
    resource_tracker.ensure_running()
    first = shared_memory.SharedMemory(create=True, size=4096)
    first.close()
    first.unlink()
    threading.Thread(target=int).start()


if __name__ == "__main__":
    prepare()
    print("START", flush=True)
    sys.stdin.readline()
    kept = exchange(random.Random(int(sys.argv[1]) ** 2 + 17))
    print("DONE")
    print(*figures.lines(), sep="\n", flush=True)
    sys.stdin.readline()
    sys.stderr.flush()
    os._exit(0)
