"""Opens a file from call stacks of many shapes, and writes down which frames each of them had.

usage: shapes.py FILE EXPECTED COUNT SEED
A line of EXPECTED: thread id, then NAME:LINE of each frame, innermost first.
"""

import asyncio
import functools
import os
import random
import re
import sys
import threading
import traceback

path, expected_path, count, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
lines = []
opened = 0


def name_of(code):
    return getattr(code, "co_qualname", code.co_name)


def probe():
    global opened
    opened += 1
    frames, frame = [], sys._getframe(1)
    while frame is not None:
        frames.append((name_of(frame.f_code), frame.f_lineno))
        frame = frame.f_back
    if opened % 50 == 0:
        # The same as everybody's own tool says.
        told = [(f.name, f.lineno) for f in reversed(traceback.extract_stack()[:-1])]
        assert [(n.rpartition(".")[2], line) for n, line in frames] == told, (frames, told)
    frames.insert(0, ("probe", OPEN_LINE))
    lines.append("%d\t%s\n" % (threading.get_native_id(), "\t".join("%s:%d" % f for f in frames)))
    os.close(os.open(path, os.O_RDONLY))  # the line of OPEN_LINE


OPEN_LINE = probe.__code__.co_firstlineno + 13


class Shapes:
    def __init__(self, rng):
        self.rng = rng

    def go(self, depth):
        if depth == 0:
            return probe()
        return getattr(self, self.rng.choice(SHAPES))(depth - 1)

    def plain(self, depth):
        x = depth
        return self.go(
            x
        )

    def comprehension(self, depth):
        return [self.go(depth) for _ in range(1)]

    def generator(self, depth):
        def items():
            yield None
            yield self.go(depth)

        return list(items())

    def delegating(self, depth):
        def inner():
            self.go(depth)
            yield

        def outer():
            yield from inner()

        for _ in outer():
            pass

    def through_c(self, depth):
        return sorted([1], key=lambda _: str(self.go(depth)))

    def reduced(self, depth):
        return functools.reduce(lambda a, b: self.go(depth), [1, 2])

    def substituted(self, depth):
        return re.sub("x", lambda match: str(self.go(depth)), "x")

    def partial(self, depth):
        return functools.partial(self.go, depth)()

    def raising(self, depth):
        try:
            raise ValueError(depth)
        except ValueError:
            return self.go(depth)
        finally:
            depth = -1

    def finishing(self, depth):
        try:
            return None
        finally:
            self.go(depth)

    def managed(self, depth):
        with self:
            return self.go(depth)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def of_a_class(self, depth):
        class Made:
            made = self.go(depth)

        return Made

    @property
    def asked(self):
        return self.go(self.left)

    def by_property(self, depth):
        self.left = depth
        return self.asked

    def deleting(self, depth):
        go = self.go

        class Dying:
            def __del__(self):
                go(depth)

        dying = Dying()
        del dying

    def compiled(self, depth):
        scope = {"self": self, "depth": depth}
        exec("\n" * self.rng.randrange(9) + "def made():\n  return self.go(depth)\nmade()", scope)

    def looping(self, depth):
        for i in range(3):
            if i == 2:
                return self.go(depth)

    def coroutine(self, depth):
        if getattr(self, "in_loop", False):
            return self.plain(depth)

        async def inner():
            await asyncio.sleep(0)
            return self.go(depth)

        async def outer():
            return await inner()

        self.in_loop = True
        try:
            return asyncio.run(outer())
        finally:
            self.in_loop = False


SHAPES = [n for n in vars(Shapes) if n not in ("go", "asked", "left") and not n.startswith("__")]


def work(number, each):
    shapes = Shapes(random.Random(seed * 1000 + number))
    for _ in range(each):
        shapes.go(shapes.rng.randrange(1, 7))


threads = [threading.Thread(target=work, args=(n, count // 4)) for n in range(3)]
for thread in threads:
    thread.start()
work(3, count // 4)
for thread in threads:
    thread.join()
with open(expected_path, "w") as file:
    file.writelines(lines)
