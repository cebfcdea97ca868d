#include "rights.h"
static struct row_message room_of[2];
static struct mmsghdr both[2];
static struct mmsghdr *rooms(void) {
  for (int i = 0; i < 2; i++) both[i] = (struct mmsghdr){*row_message(&room_of[i], 0, 0, 1), 0};
  return both;
}
static void *receives(void *fd) { return (void *)(long)recvmmsg((int)(long)fd, rooms(), 2, 0, 0); }
static void puts_in(int by, const char *text, int fd, int count) {
  struct row_message m;
  if (syscall(SYS_sendmsg, by, row_message(&m, text, fd, count), 0) < 0) perror("sendmsg");
}

int main(void) {
  int pair[2];
  row_file("file", "content");
  int fd = CALL(open("file", O_RDONLY));
  CALL(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
  puts_in(pair[1], "abcd", fd, 2);
  puts_in(pair[1], "ef", fd, 0);
  puts_in(pair[1], "ghi", fd, 1);
  CALL(recvmmsg(pair[0], rooms(), 2, 0, 0));
  printf("%u %u\n", both[0].msg_len, both[1].msg_len);
  row_came(&both[0].msg_hdr);
  row_came(&both[1].msg_hdr);
  CALL(recvmmsg(pair[0], rooms(), 2, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, 0));
  row_came(&both[0].msg_hdr);
  CALL(recvmmsg(pair[0], rooms(), 2, MSG_DONTWAIT, 0));
  CALL(recvmmsg(pair[0], NOWHERE, 2, MSG_DONTWAIT, 0));
  row_interrupt();
  CALL(recvmmsg(pair[0], rooms(), 2, 0, 0));
  CANCEL_PENDING(receives, (void *)(long)pair[0]);
  CANCEL_BLOCKED(receives, (void *)(long)pair[0]);
  CALL(close(pair[0]));
  CALL(recvmmsg(pair[0], rooms(), 2, 0, 0));
  CALL(recvmmsg(1, rooms(), 2, 0, 0));
  return 0;
}
