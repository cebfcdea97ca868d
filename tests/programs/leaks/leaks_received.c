#include "../rights.h"
/* Ten files come with messages and stay open; the sender closes its own. */
static int pair[2];
__attribute__((noinline)) static void send_file(void) {
  struct row_message m;
  int fd = open("/dev/null", O_RDONLY);
  if (sendmsg(pair[0], row_message(&m, "a", fd, 1), 0) != 1) abort();
  close(fd);
}
__attribute__((noinline)) static void leak_received(void) {
  struct row_message m;
  if (recvmsg(pair[1], row_message(&m, 0, 0, 1), 0) != 1) abort();
}

int main(void) {
  socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
  for (int i = 0; i < 10; i++) {
    send_file();
    leak_received();
  }
  close(pair[0]);
  close(pair[1]);
  return 0;
}
