"""Opens files at moments at which the frames of a thread must not be read, or only some of them can be.

usage: guards.py LIBRARY DIRECTORY, which has the files that are opened
"""

import ctypes
import os
import sys
import threading
import time

library = ctypes.CDLL(sys.argv[1])
path = {name: os.path.join(sys.argv[2], name) for name in os.listdir(sys.argv[2])}
bytes_of = {name: at.encode() for name, at in path.items()}


def touch(name):
    os.close(os.open(path[name], os.O_RDONLY))


def spin(depth):
    if depth:
        return spin(depth - 1)
    until = time.monotonic() + 20
    while library.interrupted() < 100 and time.monotonic() < until:
        sum(len(str(number)) for number in range(100))


def interrupted():
    library.interrupt_with(bytes_of["signal"])
    spin(5)
    library.interrupt_no_more()


def deep(depth):
    return deep(depth - 1) if depth else touch("deep")


def inner():
    touch("entries")


def outer():
    sorted([1], key=lambda _: inner())


names = ["größe", "名前", "x" * 200 + "ende"]
for name in names:
    exec("def %s():\n    touch('names')" % name)
    globals()[name]()
exec(compile("def four_bytes():\n    touch('names')", "/srv/" + "\U0001f40d" * 3 + ".py", "exec"))
four_bytes()

interrupted()
library.on_another_stack(bytes_of["stack"])
sys.setrecursionlimit(3000)
deep(1500)
outer()


def daemon():
    library.forever(bytes_of["daemon"])


threading.Thread(target=daemon, daemon=True).start()
time.sleep(0.2)


class Last:
    """Dies while the interpreter ends, and takes its time."""

    def __init__(self):
        self.touch, self.sleep = touch, time.sleep
        self.os, self.path = os, path

    def __del__(self):
        for name in ("ending", "ended"):
            self.os.close(self.os.open(self.path[name], self.os.O_RDONLY))
            self.sleep(0.2)


# A module's globals die after everything else.
sys.modules["last"] = last = type(sys)("last")
last.last = Last()
del last
