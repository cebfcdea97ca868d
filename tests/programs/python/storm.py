"""Calls, allocates and dies in every way that the interpreter has, thirty frames deep, under load.

usage: storm.py ROUNDS
"""

import asyncio
import atexit
import gc
import mmap
import os
import socket
import subprocess
import sys
import threading
import traceback
import weakref

rounds = int(sys.argv[1])
DEPTH = 30
failures = []


def block(size):
    return bytearray(600 + size)


def deep(depth, work):
    if depth == 0:
        return work()
    kept = block(depth)
    return deep(depth - 1, work) or len(kept)


def generators():
    def inner(count):
        for number in range(count):
            yield block(number)

    def outer(count):
        got = yield from inner(count)
        yield got

    def endless():
        try:
            while True:
                yield block(1)
        finally:
            block(2)

    list(outer(5))
    sum(len(b) for b in inner(5))
    left = endless()
    next(left)
    # Closed by its own death, inside whatever happens next.
    del left
    thrown = endless()
    next(thrown)
    try:
        thrown.throw(ValueError("thrown"))
    except ValueError:
        pass


def exceptions():
    def fail(depth):
        kept = block(depth)
        if depth == 0:
            raise KeyError("at the bottom")
        try:
            fail(depth - 1)
        finally:
            block(len(kept))

    try:
        fail(20)
    except KeyError as error:
        traceback.format_exception(type(error), error, error.__traceback__)


def to_the_limit():
    def recurse(number):
        return recurse(number + 1) + len(block(number))

    try:
        recurse(0)
    except RecursionError:
        pass


class Dying:
    def __init__(self):
        self.me = self
        weakref.finalize(self, block, 3)

    def __del__(self):
        deep(3, lambda: block(4))


def dying():
    for _ in range(5):
        Dying()
    gc.collect(0)


def descriptors():
    with open(__file__) as file:
        file.readline()
    os.close(os.open(__file__, os.O_RDONLY))
    one, other = socket.socketpair()
    one.close()
    other.close()
    with mmap.mmap(-1, 1 << 16) as memory:
        memory[0] = 1


def many_codes():
    # Code objects that die at once, and others at their addresses.
    for number in range(5):
        scope = {"block": block}
        source = "\n" * number + "def made_%d():\n    return [block(i) for i in range(2)]\n" % number
        exec(compile(source, "<made %d é>" % number, "exec"), scope)
        scope["made_%d" % number]()


def many_arguments():
    def takes(*args, **kwargs):
        return block(len(args) + len(kwargs))

    # Frames larger than what is left of a piece of the stack.
    names = {"n%d" % n: n for n in range(50)}
    deep(40, lambda: takes(*range(500), **names))


def coroutines():
    async def leaf(number):
        await asyncio.sleep(0)
        return block(number)

    async def tree(depth):
        if depth == 0:
            return await leaf(depth)
        return await asyncio.gather(tree(depth - 1), tree(depth - 1))

    async def items():
        for number in range(3):
            await asyncio.sleep(0)
            yield block(number)

    async def main():
        await tree(3)
        return [len(item) async for item in items()]

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def traced():
    def see(frame, event, arg):
        block(5)
        return see

    sys.settrace(see)
    try:
        generators()
    finally:
        sys.settrace(None)
    sys.setprofile(see)
    try:
        exceptions()
    finally:
        sys.setprofile(None)


SHAPES = [
    generators, exceptions, to_the_limit, dying, descriptors, many_codes, many_arguments, coroutines, traced,
]


def work(seed):
    try:
        for number in range(rounds):
            deep(DEPTH, SHAPES[(seed + number) % len(SHAPES)])
    except BaseException:
        failures.append(traceback.format_exc())


def forks():
    for number in range(3):
        child = os.fork()
        if child == 0:
            deep(DEPTH, SHAPES[number])
            if number == 2:
                # Through the interpreter's end, which the parent's threads do not see.
                sys.exit(0)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0, number


def subinterpreters():
    if sys.version_info >= (3, 13):
        import _interpreters as interpreters
    else:
        import _xxsubinterpreters as interpreters
    source = (
        "def deep(n):\n    return deep(n - 1) if n else [bytearray(700) for _ in range(20)]\n"
        "deep(30)\nopen('/dev/null').close()\n"
    )
    for _ in range(3):
        other = interpreters.create()
        deep(DEPTH, lambda: interpreters.run_string(other, source))
        interpreters.destroy(other)

    def there():
        other = interpreters.create()
        interpreters.run_string(other, source)
        interpreters.destroy(other)

    thread = threading.Thread(target=there)
    thread.start()
    thread.join()


threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
for thread in threads:
    thread.start()
work(4)
for thread in threads:
    thread.join()
deep(DEPTH, forks)
subprocess.run(["/bin/true"], check=True)
if sys.argv[2:] != ["alone"]:
    subinterpreters()


def forever():
    while True:
        deep(DEPTH, descriptors)


def late():
    deep(DEPTH, generators)


atexit.register(late)
# Threads that still run while the interpreter ends.
for _ in range(2):
    threading.Thread(target=forever, daemon=True).start()
kept = [Dying() for _ in range(10)]
assert not failures, failures[0]
print("done")
