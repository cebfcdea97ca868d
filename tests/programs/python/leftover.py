"""Ends with three files open and a heap full of objects: the files are its fault, the heap is the interpreter's."""

import os

kept, data = [], []


def load():
    kept.append(os.open("/etc/hostname", os.O_RDONLY))


def fill():
    for number in range(40000):
        data.append([str(number), bytearray(100), {number: number}])
    data.append(bytearray(1 << 20))


for _ in range(3):
    load()
fill()
# What it holds is left to the kernel.
os._exit(0)
