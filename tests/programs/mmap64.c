#define SYMBOL mmap64
#include "mmap.c"
