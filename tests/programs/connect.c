#include "row.h"
#include <netinet/in.h>

static struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "name"};
static void *connects(void *fd) {
  return (void *)(long)connect((int)(long)fd, (struct sockaddr *)&address, sizeof address);
}

int main(void) {
  struct sockaddr_in closed = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof closed;
  int server = CALL(socket(AF_UNIX, SOCK_STREAM, 0));
  int first = CALL(socket(AF_UNIX, SOCK_STREAM, 0));
  CALL(connect(first, (struct sockaddr *)&address, sizeof address));
  CALL(bind(server, (struct sockaddr *)&address, sizeof address));
  CALL(connect(first, (struct sockaddr *)&address, sizeof address));
  CALL(listen(server, 0));
  CALL(connect(first, (struct sockaddr *)&address, sizeof address));
  int second = CALL(socket(AF_UNIX, SOCK_STREAM, 0));
  CANCEL_PENDING(connects, (void *)(long)second);
  /* One connection fits the backlog: the next waits. */
  CANCEL_BLOCKED(connects, (void *)(long)second);
  CALL(connect(second, NOWHERE, sizeof address));
  CALL(connect(0, (struct sockaddr *)&address, sizeof address));
  CALL(connect(99, (struct sockaddr *)&address, sizeof address));
  /* A port of our own that nobody listens at. */
  int bound = CALL(socket(AF_INET, SOCK_STREAM, 0));
  CALL(bind(bound, (struct sockaddr *)&closed, sizeof closed));
  CALL(getsockname(bound, (struct sockaddr *)&closed, &length));
  int refused = CALL(socket(AF_INET, SOCK_STREAM, 0));
  CALL(connect(refused, (struct sockaddr *)&closed, sizeof closed));
  return 0;
}
