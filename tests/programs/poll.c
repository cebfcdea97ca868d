#include "used.h"
#ifndef SYMBOL
#define SYMBOL poll
#endif
static void *waits(void *fd) {
  struct pollfd one = {(int)(long)fd, POLLIN, 0};
  return (void *)(long)SYMBOL(&one, 1, -1);
}

int main(void) {
  int ends[2];
  CALL(pipe(ends));
  struct pollfd set[3] = {{ends[0], POLLIN, 0}, {-1, POLLIN, 0}, {ends[1], 0, 0}};
  CALL(SYMBOL(set, 3, 0));
  CALL(SYMBOL(set, 3, 20));
  CALL(SYMBOL(0, 0, 20));
  row_put(ends[1], "abc");
  CALL(SYMBOL(set, 3, -1));
  printf("%d %d %d\n", set[0].revents, set[1].revents, set[2].revents);
  CALL(SYMBOL(NOWHERE, 1, 0));
  row_drain(ends[0]);
  row_interrupt();
  CALL(SYMBOL(set, 3, -1));
  CANCEL_PENDING(waits, (void *)(long)ends[0]);
  CANCEL_BLOCKED(waits, (void *)(long)ends[0]);
  CALL(close(ends[1]));
  CALL(SYMBOL(set, 3, -1));
  printf("%d %d %d\n", set[0].revents, set[1].revents, set[2].revents);
  set[1].fd = 99;
  CALL(SYMBOL(set, 3, -1));
  printf("%d %d %d\n", set[0].revents, set[1].revents, set[2].revents);
  CALL(SYMBOL(set, too_many, 0));
  return 0;
}
