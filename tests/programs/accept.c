#include "row.h"

static int connects(struct sockaddr_un *address) {
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  return connect(fd, (struct sockaddr *)address, sizeof *address) ? -1 : fd;
}
static void *accepts(void *fd) { return (void *)(long)accept((int)(long)fd, 0, 0); }

int main(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "name"}, peer;
  socklen_t length = sizeof peer;
  int server = CALL(socket(AF_UNIX, SOCK_STREAM, 0));
  CALL(bind(server, (struct sockaddr *)&address, sizeof address));
  CALL(accept(server, 0, 0));
  CALL(listen(server, 5));
  CALL(connects(&address));
  int fd = CALL(accept(server, (struct sockaddr *)&peer, &length));
  FLAGS(fd);
  SAY(length);
  CALL(connects(&address));
  CALL(accept(server, (struct sockaddr *)&peer, NOWHERE));
  CANCEL_PENDING(accepts, (void *)(long)server);
  CANCEL_BLOCKED(accepts, (void *)(long)server);
  CALL(fcntl(server, F_SETFL, O_NONBLOCK));
  CALL(accept(server, 0, 0));
  CALL(accept(1, 0, 0));
  CALL(accept(99, 0, 0));
  CALL(connects(&address));
  row_no_descriptors();
  CALL(accept(server, 0, 0));
  return 0;
}
