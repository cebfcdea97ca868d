"""python_event.py N FRAMES SHAPE: dup and close under FRAMES Python frames, N times with the frames being read and
N times without, in turn. SHAPE: `distinct` = each frame another function's, `recursion` = all of one. Prints the
nanoseconds an event that the frames add (median of the differences of neighbours, and its middle half), and what
an event takes without them.

Before 3.11 each Python frame brings native ones, so a shallower stack is nothing to compare with. The same stack is read
in turn with and without its Python frames: the shim asks no thread whose state says that it is another's."""
import ctypes
import os
import statistics
import sys
import time

BLOCKS = 400
# Events after each change that are not counted.
WARM = 20
# `thread_id` in PyThreadState, where the interpreter does not tell it; from 3.13 on it is in _Py_DebugOffsets.
THREAD_ID = {(3, 9): 176, (3, 10): 176, (3, 11): 152, (3, 12): 136}
DESCRIBED = {(3, 13): 24, (3, 14): 27}


def number_of_thread():
    """The word in this thread's state that says whose it is."""
    version = sys.version_info[:2]
    if version in THREAD_ID:
        offset = THREAD_ID[version]
    else:
        words = (ctypes.c_uint64 * 64).in_dll(ctypes.pythonapi, "_PyRuntime")
        offset = words[DESCRIBED[version]]
    state = ctypes.pythonapi.PyGILState_GetThisThreadState
    state.restype = ctypes.c_size_t
    number = ctypes.c_size_t.from_address(state() + offset)
    assert number.value == __import__("threading").get_ident(), "not the thread's number"
    return number


def events(count):
    dup, close = os.dup, os.close
    for _ in range(WARM):
        close(dup(0))
    began = time.perf_counter_ns()
    for _ in range(count):
        close(dup(0))
    return (time.perf_counter_ns() - began) / count / 2


def recursion(frames, count):
    if frames > 0:
        return recursion(frames - 1, count)
    return events(count)


def distinct(frames):
    """A function that calls another, and so on."""
    scope = {"events": events}
    inner = "events"
    for number in range(frames):
        name = "function_%d" % number
        exec(compile("\n" * number + "def %s(count):\n    return %s(count)\n" % (name, inner), "some/module.py", "exec"), scope)
        inner = name
    return scope[inner]


def main():
    each = max(int(sys.argv[1]) // BLOCKS, 1)
    # The frame of events, of main and of the module stand on the stack too; the recursion has one of its own more.
    frames, shape = int(sys.argv[2]) - 3, sys.argv[3]
    chain = distinct(frames)
    run = {"distinct": lambda: chain(each), "recursion": lambda: recursion(frames - 1, each)}[shape]
    number = number_of_thread()
    own = number.value
    gaps, without = [], []
    for block in range(-4, BLOCKS):
        taken = {}
        for value in (own, 0) if block % 2 else (0, own):
            number.value = value
            taken[value] = run()
        number.value = own
        if block >= 0:
            gaps.append(taken[own] - taken[0])
            without.append(taken[0])
    low, middle, high = statistics.quantiles(gaps, n=4)
    print("%.1f %.1f %.1f %.1f" % (middle, low, high, statistics.median(without)))


main()
