#define SYMBOL openat64
#include "openat.c"
