"""Loads an inbox batch by batch, like a nightly job that runs for hours."""
import json
import mmap
import os
import random
import sys
import threading
import time
from collections import deque

VIEW = 1 << 20


class Meter(dict):
    """Of each site: acquired, live."""

    def __missing__(self, site):
        self[site] = [0, 0]
        return self[site]

    def up(self, site, by=1):
        self[site][0] += by
        self[site][1] += by

    def down(self, site, by=1):
        self[site][1] -= by


METER = Meter()


class Batch:
    def __init__(self):
        self.parts, self.views = [], []

    def add_part(self, name):
        part = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)  # LAB:part
        METER.up("part")
        os.ftruncate(part, VIEW)
        self.parts.append(part)
        self.views.append(self.view(part))

    def view(self, part):
        view = mmap.mmap(part, VIEW)  # LAB:view
        METER.up("view")
        view[0] = 1
        return view

    def commit(self):
        for view in self.views:
            view.close()
        for part in self.parts:
            os.close(part)
        METER.down("view", len(self.views))
        METER.down("part", len(self.parts))


def scan_inbox():
    with os.scandir("inbox") as entries:  # LAB:scan
        METER.up("scan")
        names = [entry.name for entry in entries]
    METER.down("scan")
    return names


def feed(rows):
    reader, writer = os.pipe()  # LAB:feed
    METER.up("feed", 2)
    for row in rows:
        os.write(writer, row)
        os.read(reader, len(row))
    os.close(reader)
    os.close(writer)
    METER.down("feed", 2)


def load_all(batch):
    loaders = []
    for share in range(3):
        loader = threading.Thread(target=lambda: [view[:64] for view in batch.views[share::3]])
        loader.start()  # LAB:loader
        loaders.append(loader)
        METER.up("loader")
    for loader in loaders:
        loader.join()
        METER.down("loader")


def stage(kept):
    staging = os.memfd_create("staging")  # LAB:staging
    METER.up("staging")
    if len(kept) == 20:
        os.close(kept.popleft())
        METER.down("staging")
    kept.append(staging)


def run(seed):
    dice, kept = random.Random(seed * 31 + 5), deque()
    batch = Batch()
    for number in range(60):
        batch.commit()
        batch = Batch()
        scan_inbox()
        for part in range(5 + number // 2 + dice.randrange(10)):
            batch.add_part(f"inbox/part{part}")
            time.sleep(dice.uniform(0.003, 0.007))
        load_all(batch)
        feed([b"row" * dice.randrange(1, 40) for _ in range(5)])
        stage(kept)
    batch.commit()
    return kept


def main():
    os.mkdir("inbox")
    print("START", flush=True)
    sys.stdin.readline()
    kept = run(int(sys.argv[1]))
    print("DONE")
    for site in ("part", "view", "scan", "feed", "loader", "staging"):
        row = {"site": site, "acquired": METER[site][0], "live": METER[site][1], "leaked": 0}
        if site == "view":
            row["bytes"] = METER[site][1] * VIEW
        print(json.dumps(row))
    sys.stdout.flush()
    sys.stdin.readline()
    del kept


main()
