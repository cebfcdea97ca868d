#include "used.h"
#include <sys/select.h>
#ifndef SYMBOL
#define SYMBOL select
#endif
static int waits_for(int fd, int other, int ms) {
  struct timeval time = {ms / 1000, ms % 1000 * 1000};
  fd_set reads, writes;
  FD_ZERO(&reads);
  FD_ZERO(&writes);
  FD_SET(fd, &reads);
  if (other >= 0) FD_SET(other, &writes);
  errno = UNTOUCHED;
  int ready = SYMBOL((fd > other ? fd : other) + 1, &reads, &writes, 0, ms < 0 ? 0 : &time);
  int error = errno;
  printf("%d %d ", !!FD_ISSET(fd, &reads), other >= 0 && FD_ISSET(other, &writes));
  errno = error;
  return ready;
}
static void *waits(void *fd) {
  fd_set reads;
  FD_ZERO(&reads);
  FD_SET((int)(long)fd, &reads);
  return (void *)(long)SYMBOL((int)(long)fd + 1, &reads, 0, 0, 0);
}

int main(void) {
  int ends[2];
  CALL(pipe(ends));
  row_say("empty", waits_for(ends[0], -1, 20));
  row_say("room", waits_for(ends[0], ends[1], -1));
  row_put(ends[1], "abc");
  row_say("full", waits_for(ends[0], ends[1], -1));
  CALL(SYMBOL(-1, 0, 0, 0, 0));
  CALL(SYMBOL(4, NOWHERE, 0, 0, 0));
  row_drain(ends[0]);
  row_interrupt();
  row_say("interrupted", waits_for(ends[0], -1, -1));
  CANCEL_PENDING(waits, (void *)(long)ends[0]);
  CANCEL_BLOCKED(waits, (void *)(long)ends[0]);
  CALL(close(ends[1]));
  row_say("closed", waits_for(ends[0], ends[1], -1));
  row_say("end", waits_for(ends[0], -1, -1));
  row_say("never open", waits_for(99, -1, 0));
  return 0;
}
