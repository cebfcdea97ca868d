"""Opens a file from greenlets that switch among each other, and writes down which frames each open had.

usage: greenlets.py FILE EXPECTED COUNT SEED
A line of EXPECTED: thread id, then NAME:LINE of each frame, innermost first.
"""

import os
import random
import sys
import threading
import traceback

import gevent
import greenlet

path, expected_path, count, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
lines = []
opened = 0


def probe():
    global opened
    opened += 1
    frames, frame = [], sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        frames.append((getattr(code, "co_qualname", code.co_name), frame.f_lineno))
        frame = frame.f_back
    if opened % 20 == 0:
        # The same as everybody's own tool says.
        told = [(f.name, f.lineno) for f in reversed(traceback.extract_stack()[:-1])]
        assert [(n.rpartition(".")[2], line) for n, line in frames] == told, (frames, told)
    frames.insert(0, ("probe", OPEN_LINE))
    lines.append("%d\t%s\n" % (threading.get_native_id(), "\t".join("%s:%d" % f for f in frames)))
    os.close(os.open(path, os.O_RDONLY))  # the line of OPEN_LINE


OPEN_LINE = probe.__code__.co_firstlineno + 14


class Dance:
    """Greenlets that switch to any other one of their thread, wherever they are."""

    def __init__(self, number):
        self.rng = random.Random(seed * 1000 + number)
        self.main = greenlet.getcurrent()
        self.dancers = []
        self.left = count // 3

    def switch(self):
        alive = [dancer for dancer in self.dancers if not dancer.dead]
        return self.rng.choice(alive + [self.main]).switch()

    def work(self, depth):
        if depth > 0:
            self.rng.choice([self.plain, self.through_c, self.generator, self.raising])(depth - 1)
            return
        self.left -= 1
        probe()
        # What the switch allocates is seen too: in the middle of it.
        kept = [bytearray(self.rng.randrange(2000)) for _ in range(3)]
        self.switch()
        probe()
        del kept

    def plain(self, depth):
        self.work(depth)

    def through_c(self, depth):
        sorted([1], key=lambda _: self.work(depth))

    def generator(self, depth):
        def items():
            yield None
            yield self.work(depth)

        list(items())

    def raising(self, depth):
        try:
            raise ValueError(depth)
        except ValueError:
            self.work(depth)
            self.switch()

    def dancer(self):
        while self.left > 0:
            self.work(self.rng.randrange(6))

    def run(self):
        while self.left > 0:
            self.dancers = [dancer for dancer in self.dancers if not dancer.dead]
            while len(self.dancers) < 12:
                self.dancers.append(greenlet.greenlet(self.dancer))
            self.switch()
            if self.rng.random() < 0.05:
                # One that is collected while it stands somewhere inside.
                self.dancers.pop(self.rng.randrange(len(self.dancers)))
            if self.rng.random() < 0.05:
                self.work(self.rng.randrange(4))


def of_gevent(each):
    def task(depth):
        if depth:
            return task(depth - 1)
        for _ in range(each):
            probe()
            gevent.sleep(0)

    gevent.joinall([gevent.spawn(task, depth) for depth in range(8)])


threads = [threading.Thread(target=lambda number=n: Dance(number).run()) for n in range(2)]
for thread in threads:
    thread.start()
Dance(2).run()
of_gevent(max(count // 80, 1))
for thread in threads:
    thread.join()
with open(expected_path, "w") as file:
    file.writelines(lines)
