/* What _FORTIFY_SOURCE makes of a pread into a buffer whose size it knows. */
#include "used.h"
ssize_t __pread_chk(int, void *, size_t, off_t, size_t);
#define SYMBOL(fd, to, count, at) __pread_chk(fd, to, count, at, 4096)
#include "pread.c"
