#include "../used.h"
#include <sys/epoll.h>
/* Three that use what somebody else has closed, and go on for a while. */
__attribute__((noinline)) static int open_file(void) { return open("/dev/zero", O_RDWR); }
__attribute__((noinline)) static void owner_closes(int fd) { close(fd); }
__attribute__((noinline)) static int reads_closed(int fd) { return (int)read(fd, room, sizeof room); }
__attribute__((noinline)) static int polls_closed(int fd) {
  struct pollfd one = {fd, POLLIN, 0};
  return poll(&one, 1, 0);
}
__attribute__((noinline)) static int waits_closed(int fd) {
  struct epoll_event event;
  return epoll_wait(fd, &event, 1, 0);
}

int main(void) {
  int file = open_file(), polled = open_file(), set = epoll_create1(0);
  int good = reads_closed(file) > 0 && polls_closed(polled) == 1 && waits_closed(set) == 0;
  owner_closes(file);
  owner_closes(polled);
  owner_closes(set);
  for (int i = 0; i < 4; i++) good &= reads_closed(file) == -1;
  good &= polls_closed(polled) == 1;
  good &= waits_closed(set) == -1;
  return !good;
}
