/* As poll, with a time in nanoseconds and signals that are let through. */
#include "used.h"
#ifndef WITH
#define WITH(set, count, time) ppoll(set, count, time, 0)
#else
int __ppoll_chk(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t);
#endif
static inline int ppoll_ms(struct pollfd *set, nfds_t count, int timeout) {
  struct timespec time = {timeout / 1000, timeout % 1000 * 1000000};
  return WITH(set, count, timeout < 0 ? 0 : &time);
}
#define SYMBOL ppoll_ms
#include "poll.c"
