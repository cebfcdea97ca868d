#include "used.h"
#ifndef SYMBOL
#define SYMBOL recvfrom
#endif
static void *receives(void *fd) { return (void *)SYMBOL((int)(long)fd, room, sizeof room, 0, 0, 0); }

int main(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "name"}, peer;
  socklen_t length = sizeof peer;
  int pair[2];
  int server = CALL(socket(AF_UNIX, SOCK_DGRAM, 0));
  CALL(bind(server, (struct sockaddr *)&address, sizeof address));
  int client = CALL(socket(AF_UNIX, SOCK_DGRAM, 0));
  address.sun_path[0] = 'g';
  CALL(bind(client, (struct sockaddr *)&address, sizeof address));
  address.sun_path[0] = 'n';
  CALL(connect(client, (struct sockaddr *)&address, sizeof address));
  row_put(client, "abcd");
  row_put(client, "efgh");
  CALL(SYMBOL(server, room, asked, 0, (struct sockaddr *)&peer, &length));
  printf("%u %s\n", length, peer.sun_path);
  CALL(SYMBOL(server, room, 2, MSG_TRUNC, 0, 0));
  CALL(SYMBOL(server, room, asked, MSG_DONTWAIT, 0, 0));
  row_interrupt();
  CALL(SYMBOL(server, room, asked, 0, 0, 0));
  CANCEL_PENDING(receives, (void *)(long)server);
  CANCEL_BLOCKED(receives, (void *)(long)server);
  row_put(client, "ijkl");
  CALL(SYMBOL(server, room, asked, 0, (struct sockaddr *)&peer, NOWHERE));
  CALL(close(server));
  CALL(SYMBOL(server, room, asked, 0, 0, 0));
  CALL(SYMBOL(99, room, asked, 0, 0, 0));
  CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  CALL(close(pair[1]));
  CALL(SYMBOL(pair[0], room, asked, 0, 0, 0));
  return 0;
}
