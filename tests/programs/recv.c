#include "used.h"
#ifndef SYMBOL
#define SYMBOL recv
#endif
static void *receives(void *fd) { return (void *)SYMBOL((int)(long)fd, room, sizeof room, 0); }

int main(void) {
  int pair[2];
  CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  row_put(pair[1], "abcd");
  CALL(SYMBOL(pair[0], room, asked, MSG_PEEK));
  CALL(SYMBOL(pair[0], room, 0, 0));
  CALL(SYMBOL(pair[0], room, 2, 0));
  CALL(SYMBOL(pair[0], NOWHERE, 2, 0));
  CALL(SYMBOL(pair[0], room, asked, MSG_DONTWAIT));
  CALL(SYMBOL(pair[0], room, asked, MSG_DONTWAIT));
  row_interrupt();
  CALL(SYMBOL(pair[0], room, asked, 0));
  CANCEL_PENDING(receives, (void *)(long)pair[0]);
  CANCEL_BLOCKED(receives, (void *)(long)pair[0]);
  CALL(close(pair[1]));
  CALL(SYMBOL(pair[0], room, asked, 0));
  CALL(close(pair[0]));
  CALL(SYMBOL(pair[0], room, asked, 0));
  CALL(SYMBOL(1, room, asked, 0));
  CALL(SYMBOL(99, room, asked, 0));
  /* A message of no bytes is no end. */
  CALL(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
  syscall(SYS_sendto, pair[1], "", 0, 0, 0, 0);
  CALL(SYMBOL(pair[0], room, asked, 0));
  return 0;
}
