/* As pwritev, with flags. */
#include "used.h"
#define SYMBOL(fd, parts, count, at) pwritev2(fd, parts, count, at, 0)
#include "pwritev.c"
