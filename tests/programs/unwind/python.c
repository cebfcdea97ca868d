// plugin: python_part.c
// CPython: pure Python calls, ctypes, and callbacks from C back into Python.
#include <stdio.h>
#include <unistd.h>

static char script[] =
    "import ctypes, functools, sys\n"
    "part = ctypes.CDLL(sys.argv[1])\n"
    "callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)\n"
    "assert part.part_start() == 1\n"
    "def nested(n):\n"
    "    return part.part_compare(b'nested') if n == 0 else nested(n - 1)\n"
    "class Thing:\n"
    "    def __lt__(self, other):\n"
    "        part.part_compare(b'comparison'); return True\n"
    "    def __del__(self):\n"
    "        part.part_compare(b'finalizer')\n"
    "nested(12)\n"
    "list(map(lambda n: nested(n), range(3)))\n"
    "functools.reduce(lambda a, b: nested(a % 2) + b, [1, 2, 3])\n"
    "sorted([Thing() for _ in range(4)])\n"
    "def again(n):\n"
    "    part.part_compare(b'callback')\n"
    "    return part.part_call(c, n - 1) if n > 0 else 0\n"
    "c = callback(again)\n"
    "part.part_call(c, 3)\n"
    "sys.exit(part.part_finish())\n";

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    execlp("python3", "python3", "-c", script, argv[1], (char *)0);
    perror("python3");
    return 2;
}
