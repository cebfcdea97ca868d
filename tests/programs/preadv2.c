/* As preadv, with flags. */
#include "used.h"
#define SYMBOL(fd, parts, count, at) preadv2(fd, parts, count, at, 0)
#include "preadv.c"
