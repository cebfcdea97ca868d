#include "rights.h"
static void *sends(void *fd) {
  struct row_message m;
  struct mmsghdr one = {*row_message(&m, "abc", 0, 0), 0};
  return (void *)(long)sendmmsg((int)(long)fd, &one, 1, 0);
}

int main(void) {
  int pair[2];
  struct row_message first, second;
  row_file("file", "content");
  int fd = CALL(open("file", O_RDONLY));
  CALL(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
  struct mmsghdr both[2] = {{*row_message(&first, "abcd", fd, 2), 0}, {*row_message(&second, "ef", 0, 0), 0}};
  CALL(sendmmsg(pair[0], both, 2, 0));
  printf("%u %u\n", both[0].msg_len, both[1].msg_len);
  row_message(&second, "ef", 99, 1);
  both[1].msg_hdr = second.head;
  CALL(sendmmsg(pair[0], both, 2, 0));
  CALL(sendmmsg(pair[0], both, 0, 0));
  CALL(sendmmsg(pair[0], NOWHERE, 2, 0));
  row_fill(pair[0]);
  CALL(sendmmsg(pair[0], both, 2, MSG_DONTWAIT));
  row_interrupt();
  CALL(sendmmsg(pair[0], both, 2, 0));
  CANCEL_PENDING(sends, (void *)(long)pair[0]);
  CANCEL_BLOCKED(sends, (void *)(long)pair[0]);
  CALL(close(pair[0]));
  CALL(sendmmsg(pair[0], both, 2, 0));
  CALL(sendmmsg(1, both, 2, 0));
  return 0;
}
