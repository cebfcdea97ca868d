/* What _FORTIFY_SOURCE makes of a poll of a set whose size it knows. */
#include "used.h"
int __poll_chk(struct pollfd *, nfds_t, int, size_t);
#define SYMBOL(set, count, timeout) __poll_chk(set, count, timeout, (size_t)-1)
#include "poll.c"
