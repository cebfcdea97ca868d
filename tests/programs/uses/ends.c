/* Sockets and pipes that have ended, or seem to. Their places in the table are in the order of this list. */
#include "../used.h"

static int other;

static int half(int type, int close_other) {
  int pair[2];
  socketpair(AF_UNIX, type, 0, pair);
  if (close_other) syscall(SYS_close, pair[1]);
  other = pair[1];
  return pair[0];
}

int main(void) {
  int ends[2], fds[8];
  for (int i = 0; i < 8; i++) fds[i] = 0;
  struct msghdr message = {.msg_iov = &(struct iovec){room, sizeof room}, .msg_iovlen = 1};
  fds[0] = half(SOCK_STREAM, 1);
  fds[1] = half(SOCK_STREAM, 1);
  fds[2] = half(SOCK_STREAM, 1);
  pipe(ends);
  syscall(SYS_close, ends[1]);
  fds[3] = ends[0];
  fds[4] = half(SOCK_STREAM, 0); /* nothing was asked for */
  fds[5] = half(SOCK_DGRAM, 0);  /* an empty message */
  syscall(SYS_sendto, other, "", 0, 0, 0, 0);
  fds[6] = open("file", O_CREAT | O_RDONLY, 0600);
  fds[7] = half(SOCK_STREAM, 0); /* nothing is there */
  long sum = read(fds[0], room, sizeof room) + recv(fds[1], room, sizeof room, 0) + recvmsg(fds[2], &message, 0) +
             read(fds[3], room, sizeof room) + read(fds[4], room, 0);
  sum += recv(fds[5], room, sizeof room, MSG_DONTWAIT) + read(fds[6], room, sizeof room);
  sum += recv(fds[7], room, sizeof room, MSG_DONTWAIT) == -1 ? 0 : 1;
  for (int i = 0; i < 8; i++) printf("%d ", fds[i]);
  printf("\n");
  return sum != 0;
}
