/* As select, with a time in nanoseconds and signals that are let through. */
#include "used.h"
#include <sys/select.h>
static inline int pselect_us(int end, fd_set *reads, fd_set *writes, fd_set *others, struct timeval *time) {
  struct timespec copy = {time ? time->tv_sec : 0, time ? time->tv_usec * 1000 : 0};
  return pselect(end, reads, writes, others, time ? &copy : 0, 0);
}
#define SYMBOL pselect_us
#include "select.c"
