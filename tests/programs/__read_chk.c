/* What _FORTIFY_SOURCE makes of a read into a buffer whose size it knows. */
#include "used.h"
ssize_t __read_chk(int, void *, size_t, size_t);
#define SYMBOL(fd, to, count) __read_chk(fd, to, count, 4096)
#include "read.c"
