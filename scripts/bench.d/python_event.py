"""python_event.py N FRAMES: dup and close under FRAMES Python frames, N times. Prints nanoseconds an operation (the
pair: two events), as blocks.h does."""
import os
import sys
import time

BLOCKS = 100


def under(frames, work, count):
    if frames > 1:
        return under(frames - 1, work, count)
    return work(count)


def events(count):
    dup, close = os.dup, os.close
    began = time.perf_counter_ns()
    for _ in range(count):
        close(dup(0))
    return (time.perf_counter_ns() - began) / count


def main():
    each = max(int(sys.argv[1]) // BLOCKS, 1)
    # The frame of events, of main and of the module stand on the stack too.
    depth = int(sys.argv[2]) - 3
    figures = sorted(under(depth, events, each) for _ in range(BLOCKS + 1))
    print("%.2f %.2f" % (figures[BLOCKS // 10], figures[BLOCKS // 2]))


main()
