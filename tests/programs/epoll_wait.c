#include "used.h"
#include <sys/epoll.h>
#ifndef SYMBOL
#define SYMBOL epoll_wait
#endif
static struct epoll_event events[4];
static void *waits(void *set) { return (void *)(long)SYMBOL((int)(long)set, events, 4, -1); }

int main(void) {
  int ends[2];
  struct epoll_event wanted = {.events = EPOLLIN, .data.u64 = 4711};
  int set = CALL(epoll_create1(0));
  CALL(pipe(ends));
  CALL(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &wanted));
  CALL(SYMBOL(set, events, 4, 0));
  CALL(SYMBOL(set, events, 4, 20));
  row_put(ends[1], "abc");
  CALL(SYMBOL(set, events, 4, -1));
  SAY(events[0].data.u64 == 4711 && events[0].events == EPOLLIN);
  CALL(SYMBOL(set, events, 0, -1));
  CALL(SYMBOL(set, NOWHERE, 4, -1));
  row_drain(ends[0]);
  row_interrupt();
  CALL(SYMBOL(set, events, 4, -1));
  CANCEL_PENDING(waits, (void *)(long)set);
  CANCEL_BLOCKED(waits, (void *)(long)set);
  CALL(epoll_ctl(set, EPOLL_CTL_DEL, ends[0], 0));
  CALL(SYMBOL(set, events, 4, 0));
  CALL(SYMBOL(ends[0], events, 4, 0));
  CALL(close(set));
  CALL(SYMBOL(set, events, 4, 0));
  CALL(SYMBOL(99, events, 4, 0));
  return 0;
}
