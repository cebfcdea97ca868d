/* As pwritev64, with flags. */
#include "used.h"
#define SYMBOL(fd, parts, count, at) pwritev64v2(fd, parts, count, at, 0)
#include "pwritev.c"
