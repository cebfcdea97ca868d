/* What _FORTIFY_SOURCE makes of a recvfrom into a buffer whose size it knows: seven arguments. */
#include "used.h"
ssize_t __recvfrom_chk(int, void *, size_t, size_t, int, struct sockaddr *, socklen_t *);
#define SYMBOL(fd, to, count, flags, address, length) __recvfrom_chk(fd, to, count, 4096, flags, address, length)
#include "recvfrom.c"
