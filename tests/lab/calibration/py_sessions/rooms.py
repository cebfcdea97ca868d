"""Chat rooms on one event loop; every session ends some time."""
import asyncio
import collections
import heapq
import json
import os
import random
import socket
import sys

acquired = collections.Counter()
live = collections.Counter()
SITES = ("transcript", "pair", "archive", "export", "resolve")


def taken(site, count=1):
    acquired[site] += count
    live[site] += count


class Session:
    def __init__(self, number, until):
        self.number, self.until = number, until

    def __lt__(self, other):
        return self.until < other.until

    def begin(self):
        self.transcript = open(f"transcript.{self.number % 500}", "w", encoding="utf-8")  # LAB:transcript
        taken("transcript")
        self.link()

    def link(self):
        self.ends = socket.socketpair()  # LAB:pair
        taken("pair", 2)

    def say(self, text):
        self.ends[0].send(text)
        self.transcript.write(self.ends[1].recv(64).decode() + "\n")

    def expire(self):
        self.transcript.close()
        for end in self.ends:
            end.close()
        live["transcript"] -= 1
        live["pair"] -= 2


class Archive:
    def __init__(self, most):
        self.most, self.files = most, collections.OrderedDict()

    def get(self, room):
        if room in self.files:
            self.files.move_to_end(room)
            return self.files[room]
        if len(self.files) >= self.most:
            self.files.popitem(last=False)[1].close()
            live["archive"] -= 1
        self.files[room] = open(f"room.{room}", "a+b")  # LAB:archive
        taken("archive")
        return self.files[room]


def export_room(room):
    child = os.posix_spawn("/bin/true", ["true", str(room)], {})  # LAB:export
    taken("export")
    os.waitpid(child, 0)
    live["export"] -= 1


def resolve(address):
    query = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # LAB:resolve
    taken("resolve")
    query.sendto(b"who?", address)
    query.close()
    live["resolve"] -= 1


async def rooms(dice, server):
    open_now, archive = [], Archive(30)
    for tick in range(2500):
        if dice.random() < 0.35:
            session = Session(tick, tick + dice.lognormvariate(3.5, 1.2))
            session.begin()
            heapq.heappush(open_now, session)
        for session in dice.sample(open_now, min(3, len(open_now))):
            session.say(b"hello")
        while open_now and open_now[0].until <= tick:
            heapq.heappop(open_now).expire()
        archive.get(int(dice.paretovariate(0.6)) % (4 + tick // 10)).seek(0)
        if tick % 100 == 0:
            export_room(tick)
        if tick % 7 == 0:
            resolve(server.getsockname())
            server.recv(16)
        await asyncio.sleep(dice.uniform(0.003, 0.005))
    return open_now, archive


def main():
    dice = random.Random(f"rooms {sys.argv[1]}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, asyncio.Runner() as runner:
        server.bind(("127.0.0.1", 0))
        runner.get_loop()
        print("START", flush=True)
        sys.stdin.readline()
        kept = runner.run(rooms(dice, server))
        print("DONE")
        for site in SITES:
            print(json.dumps({"site": site, "acquired": acquired[site], "live": live[site], "leaked": 0}))
        sys.stdout.flush()
        sys.stdin.readline()
        del kept


if __name__ == "__main__":
    main()
