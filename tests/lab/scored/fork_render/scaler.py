"""Scales pictures in worker processes. A picture is passed as a descriptor, the answer comes over the same channel."""
import collections
import json
import multiprocessing
import os
import random
import signal
import socket
import sys
import time

FORK = multiprocessing.get_context("fork")


class Tally(collections.defaultdict):
    def __init__(self):
        super().__init__(lambda: [0, 0])

    def __call__(self, site, step):
        self[site][0] += max(step, 0)
        self[site][1] += step


tally = Tally()


def scale(channel, others):
    """A worker: reads a picture from the descriptor it is sent, answers with its new size, ends on an empty message."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in others:
        other.close()
    while True:
        message, pictures, _, _ = socket.recv_fds(channel, 16, 1)
        if not pictures:
            return
        with open(pictures[0], "rb") as picture:
            data = picture.read()
        channel.send(b"%d" % (len(data) // int(message)))


class Crew:
    def __init__(self, size, most):
        self.most, self.members = most, []
        for _ in range(size):
            self.members.append(self.hire())

    def open_channel(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # LAB:channel
        tally("channel", 2)
        return ours, theirs

    def hire(self):
        ours, theirs = self.open_channel()
        child = FORK.Process(target=scale, args=(theirs, [ours] + [member[1] for member in self.members]))
        child.start()  # LAB:worker LAB:sentinel
        tally("worker", 1)
        tally("sentinel", 2)
        theirs.close()
        tally("channel", -1)
        return [child, ours, 0]

    def fire(self, member):
        child, ours, _ = member
        ours.send(b"")
        ours.close()
        tally("channel", -1)
        child.join()
        child.close()
        tally("worker", -1)
        tally("sentinel", -2)

    def scale(self, picture, factor, dice):
        place = dice.randrange(len(self.members))
        member = self.members[place]
        if member[2] == self.most:
            self.members.remove(member)
            self.fire(member)
            self.members.insert(place, member := self.hire())
        member[2] += 1
        socket.send_fds(member[1], [b"%d" % factor], [picture])
        return int(member[1].recv(16))


class Uploads:
    def __init__(self, dice, recent):
        self.dice, self.recent, self.most = dice, collections.deque(), recent
        for number in range(24):
            with open(f"picture.{number}", "wb") as file:
                file.write(bytes(dice.randint(1000, 30000)))

    def open_picture(self):
        picture = os.open(f"picture.{self.dice.randrange(24)}", os.O_RDONLY)  # LAB:picture
        tally("picture", 1)
        return picture

    def remember(self, number, size):
        """The results that were asked for last are likely to be asked for again."""
        if len(self.recent) == self.most:
            self.recent.popleft().close()
            tally("recent", -1)
        result = open(f"result.{number % 100}", "w+", encoding="ascii")  # LAB:recent
        tally("recent", 1)
        result.write(str(size))
        self.recent.append(result)


def handle(number, uploads, crew, dice):
    picture = uploads.open_picture()
    try:
        size = crew.scale(picture, dice.randint(1, 4), dice)
    finally:
        os.close(picture)
        tally("picture", -1)
    if number % 4 == 0:
        uploads.remember(number, size)


def scaler():
    dice = random.Random(sys.argv[1] + " pictures")
    uploads, crew = Uploads(dice, 50), Crew(6, 40)
    start = {site: row[1] for site, row in tally.items()}
    print("START", flush=True)
    sys.stdin.readline()
    number = 0
    # three waves of uploads with a pause after each
    for wave in (900, 1500, 1200):
        for _ in range(wave):
            number += 1
            handle(number, uploads, crew, dice)
            time.sleep(dice.expovariate(1 / 0.0025))
        time.sleep(0.4)
    print("DONE")
    for site, (acquired, live) in tally.items():
        before = start.get(site, 0)
        print(json.dumps({"site": site, "acquired": acquired - before, "live": live - before, "leaked": 0}))
    sys.stdout.flush()
    sys.stdin.readline()
    for member in crew.members:
        crew.fire(member)


scaler()
