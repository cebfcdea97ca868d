#include "../row.h"
/* SCM_RIGHTS: descriptors that nobody opened here. */
static long sends(int over, int fd) {
  char byte = 'x', space[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec data = {&byte, 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  *header = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  return sendmsg(over, &message, 0);
}
static int receives(int over, int flags) {
  char byte, space[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec data = {&byte, 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  int fd = -1;
  CALL(recvmsg(over, &message, flags));
  if (CMSG_FIRSTHDR(&message)) memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  return fd;
}

int main(void) {
  int pair[2];
  CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  pid_t child = fork();
  if (child == 0) {
    int fd = open("/dev/null", O_RDWR | O_APPEND);
    _exit(sends(pair[1], fd) == 1 ? 0 : 1);
  }
  int fd = CALL(receives(pair[0], MSG_CMSG_CLOEXEC));
  FLAGS(fd);
  row_reap("sender", child);
  CALL(sends(pair[1], fd));
  CALL(close(fd));
  fd = CALL(receives(pair[0], 0));
  FLAGS(fd);
  CALL(close(fd));
  CALL(close(fd));
  return 0;
}
