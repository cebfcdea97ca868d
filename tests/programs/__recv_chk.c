/* What _FORTIFY_SOURCE makes of a recv into a buffer whose size it knows. */
#include "used.h"
ssize_t __recv_chk(int, void *, size_t, size_t, int);
#define SYMBOL(fd, to, count, flags) __recv_chk(fd, to, count, 4096, flags)
#include "recv.c"
