#include "row.h"
#include <sys/epoll.h>

int main(void) {
  int ends[2];
  struct epoll_event event = {.events = EPOLLIN}, seen = {0};
  int set = CALL(epoll_create1(0));
  CALL(pipe(ends));
  event.data.u64 = 4711;
  CALL(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event));
  CALL(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event));
  CALL(write(ends[1], "x", 1));
  CALL(epoll_wait(set, &seen, 1, 1000));
  SAY(seen.data.u64);
  CALL(epoll_ctl(set, EPOLL_CTL_MOD, ends[0], &event));
  CALL(epoll_ctl(set, EPOLL_CTL_DEL, ends[0], 0));
  CALL(epoll_ctl(set, EPOLL_CTL_DEL, ends[0], 0));
  CALL(epoll_ctl(set, EPOLL_CTL_ADD, set, &event));
  CALL(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], NOWHERE));
  CALL(epoll_ctl(set, EPOLL_CTL_ADD, 99, &event));
  CALL(epoll_ctl(99, EPOLL_CTL_ADD, ends[0], &event));
  return 0;
}
