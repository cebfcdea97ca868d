/* As epoll_wait, with a time in nanoseconds and signals that are let through. */
#include "used.h"
#include <sys/epoll.h>
static inline int epoll_pwait2_ms(int set, struct epoll_event *events, int most, int timeout) {
  struct timespec time = {timeout / 1000, timeout % 1000 * 1000000};
  return epoll_pwait2(set, events, most, timeout < 0 ? 0 : &time, 0);
}
#define SYMBOL epoll_pwait2_ms
#include "epoll_wait.c"
