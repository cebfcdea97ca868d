/* What _FORTIFY_SOURCE makes of a pread64 into a buffer whose size it knows. */
#include "used.h"
ssize_t __pread64_chk(int, void *, size_t, off_t, size_t);
#define SYMBOL(fd, to, count, at) __pread64_chk(fd, to, count, at, 4096)
#include "pread.c"
