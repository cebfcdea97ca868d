"""Opens a file from code objects that are made and forgotten one after the other, so that each gets the addresses
of the one before, with its strings and its tables: what tells them apart is what they hold.

usage: reused.py FILE EXPECTED COUNT
A line of EXPECTED: thread id, then FILE:NAME:LINE of the two innermost frames outside this file, innermost first.
"""

import os
import random
import sys
import threading

path, expected_path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
rng = random.Random(3)
lines, addresses = [], []


def probe():
    frames, frame = [], sys._getframe(1)
    for _ in range(2):
        code = frame.f_code
        name = getattr(code, "co_qualname", code.co_name)
        frames.append("%s:%s:%d" % (code.co_filename, name, frame.f_lineno))
        frame = frame.f_back
    addresses.append(id(sys._getframe(1).f_code))
    lines.append("%d\t%s\n" % (threading.get_native_id(), "\t".join(frames)))
    os.close(os.open(path, os.O_RDONLY))


def once():
    # All of one length, and mostly the same: one of them changes, now and then two.
    directory, owner, name, above, before = (rng.randrange(3) if rng.randrange(3) else 0 for _ in range(5))
    source = "%sclass Owner%d:\n  def method%d(self):\n    pass%s\n    probe()%s\n" % (
        "\n" * above, owner, name, "\n" * before, "\n" * (2 - before))
    scope = {"probe": probe, "call": None}
    source += "call = Owner%d().method%d\ncall()\n" % (owner, name)
    exec(compile(source, "/srv/application/part%d/handlers/module.py" % directory, "exec"), scope)


for _ in range(count):
    once()
# Otherwise this has tried nothing.
assert len(set(addresses)) < count / 2, (len(set(addresses)), count)
with open(expected_path, "w") as file:
    file.writelines(lines)
