/* Descriptors that pass from one end of a socket to the other, in one process. */
#include "../rights.h"

int main(void) {
  int pair[2], ends[2];
  struct row_message m;
  struct mmsghdr many;
  row_file("file", "content");
  int fd = open("file", O_RDONLY);
  socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
  pipe(ends);
  if (sendmsg(pair[0], row_message(&m, "a", fd, 2), 0) != 1) return 1;
  if (recvmsg(pair[1], row_message(&m, 0, 0, 1), MSG_CMSG_CLOEXEC) != 1) return 2;
  many = (struct mmsghdr){*row_message(&m, "b", ends[0], 1), 0};
  if (sendmmsg(pair[0], &many, 1, 0) != 1) return 3;
  many = (struct mmsghdr){*row_message(&m, 0, 0, 1), 0};
  if (recvmmsg(pair[1], &many, 1, 0, 0) != 1) return 4;
  /* One more comes: a message without room for it. */
  if (sendmsg(pair[0], row_message(&m, "c", fd, 1), 0) != 1) return 5;
  if (recvmsg(pair[1], row_message(&m, 0, 0, 0), 0) != 1) return 6;
  return 0;
}
