#include "rights.h"
static void *receives(void *fd) {
  struct row_message m;
  return (void *)recvmsg((int)(long)fd, row_message(&m, 0, 0, 1), 0);
}
/* Sends without hooked calls. */
static void puts_in(int by, const char *text, int fd, int count) {
  struct row_message m;
  if (syscall(SYS_sendmsg, by, row_message(&m, text, fd, count), 0) < 0) perror("sendmsg");
}

int main(void) {
  int pair[2];
  struct row_message m;
  row_file("file", "content");
  int fd = CALL(open("file", O_RDONLY));
  CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  puts_in(pair[1], "abcd", fd, 0);
  CALL(recvmsg(pair[0], row_message(&m, 0, 0, 1), 0));
  row_came(&m.head);
  puts_in(pair[1], "abcd", fd, 2);
  CALL(recvmsg(pair[0], row_message(&m, 0, 0, 1), MSG_PEEK));
  row_came(&m.head);
  CALL(recvmsg(pair[0], row_message(&m, 0, 0, 1), MSG_CMSG_CLOEXEC));
  row_came(&m.head);
  /* Room for one of three, and for none. */
  puts_in(pair[1], "abcd", fd, 3);
  row_message(&m, 0, 0, 1);
  m.head.msg_controllen = CMSG_LEN(sizeof(int));
  CALL(recvmsg(pair[0], &m.head, 0));
  row_came(&m.head);
  puts_in(pair[1], "abcd", fd, 3);
  CALL(recvmsg(pair[0], row_message(&m, 0, 0, 0), 0));
  row_came(&m.head);
  /* The credentials of the sender beside. */
  CALL(setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)));
  puts_in(pair[1], "abcd", fd, 1);
  CALL(recvmsg(pair[0], row_message(&m, 0, 0, 1), 0));
  row_came(&m.head);
  CALL(recvmsg(pair[0], row_message(&m, 0, 0, 1), MSG_DONTWAIT));
  CALL(recvmsg(pair[0], NOWHERE, 0));
  row_interrupt();
  CALL(recvmsg(pair[0], row_message(&m, 0, 0, 1), 0));
  CANCEL_PENDING(receives, (void *)(long)pair[0]);
  CANCEL_BLOCKED(receives, (void *)(long)pair[0]);
  puts_in(pair[1], "abcd", fd, 1);
  row_message(&m, 0, 0, 1);
  m.head.msg_control = NOWHERE;
  CALL(recvmsg(pair[0], &m.head, 0));
  CALL(close(pair[1]));
  CALL(recvmsg(pair[0], row_message(&m, 0, 0, 1), 0));
  CALL(recvmsg(pair[0], row_message(&m, 0, 0, 1), 0));
  CALL(close(pair[0]));
  CALL(recvmsg(pair[0], row_message(&m, 0, 0, 1), 0));
  CALL(recvmsg(1, row_message(&m, 0, 0, 1), 0));
  return 0;
}
