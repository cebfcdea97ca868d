#include "used.h"
#ifndef SYMBOL
#define SYMBOL send
#endif
static void *sends(void *fd) { return (void *)SYMBOL((int)(long)fd, "abc", 3, 0); }

int main(void) {
  int pair[2];
  CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  CALL(SYMBOL(pair[0], "abcd", 4, 0));
  CALL(SYMBOL(pair[0], "", 0, 0));
  CALL(SYMBOL(pair[0], NOWHERE, 4, 0));
  row_fill(pair[0]);
  CALL(SYMBOL(pair[0], "abcd", 4, MSG_DONTWAIT));
  row_interrupt();
  CALL(SYMBOL(pair[0], "abcd", 4, 0));
  CANCEL_PENDING(sends, (void *)(long)pair[0]);
  CANCEL_BLOCKED(sends, (void *)(long)pair[0]);
  CALL(close(pair[1]));
  CALL(SYMBOL(pair[0], "abcd", 4, MSG_NOSIGNAL));
  CALL(close(pair[0]));
  CALL(SYMBOL(pair[0], "abcd", 4, 0));
  CALL(SYMBOL(1, "abcd", 4, 0));
  CALL(SYMBOL(99, "abcd", 4, 0));
  return 0;
}
