"""Keeps a file open that the interpreter closes when it tears itself down."""

import sys

import resshim

forgotten = open("/dev/null")
with open("/dev/null") as closed:
    pass
sys.exit(0 if resshim.is_on() else 1)
