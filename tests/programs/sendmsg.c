#include "rights.h"
static void *sends(void *fd) {
  struct row_message m;
  return (void *)sendmsg((int)(long)fd, row_message(&m, "abc", 0, 0), 0);
}

int main(void) {
  int pair[2];
  struct row_message m;
  row_file("file", "content");
  int fd = CALL(open("file", O_RDONLY));
  CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  CALL(sendmsg(pair[0], row_message(&m, "abcd", 0, 0), 0));
  CALL(sendmsg(pair[0], row_message(&m, "abcd", fd, 2), 0));
  FLAGS(fd);
  CALL(sendmsg(pair[0], row_message(&m, "abcd", 99, 1), 0));
  row_message(&m, "abcd", fd, 1);
  ((struct cmsghdr *)m.control)->cmsg_len = 4711;
  CALL(sendmsg(pair[0], &m.head, 0));
  m.head.msg_control = NOWHERE;
  CALL(sendmsg(pair[0], &m.head, 0));
  CALL(sendmsg(pair[0], NOWHERE, 0));
  row_fill(pair[0]);
  CALL(sendmsg(pair[0], row_message(&m, "abcd", fd, 1), MSG_DONTWAIT));
  row_interrupt();
  CALL(sendmsg(pair[0], row_message(&m, "abcd", fd, 1), 0));
  CANCEL_PENDING(sends, (void *)(long)pair[0]);
  CANCEL_BLOCKED(sends, (void *)(long)pair[0]);
  CALL(close(pair[1]));
  CALL(sendmsg(pair[0], row_message(&m, "abcd", fd, 1), MSG_NOSIGNAL));
  CALL(close(pair[0]));
  CALL(sendmsg(pair[0], row_message(&m, "abcd", 0, 0), 0));
  CALL(sendmsg(1, row_message(&m, "abcd", 0, 0), 0));
  return 0;
}
