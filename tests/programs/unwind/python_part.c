// part of python.c: what ctypes loads
// build: -ldl
#include "compare.h"

int part_start(void) { return probe_start(); }
int part_compare(const char *where) { return compare(where); }
int part_call(int (*function)(int), int n) { return function(n) + 1; }
int part_finish(void) { return finish(); }
