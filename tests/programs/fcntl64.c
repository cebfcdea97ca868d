#define SYMBOL fcntl64
#include "fcntl.c"
