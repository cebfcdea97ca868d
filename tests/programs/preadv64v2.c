/* As preadv64, with flags. */
#include "used.h"
#define SYMBOL(fd, parts, count, at) preadv64v2(fd, parts, count, at, 0)
#include "preadv.c"
