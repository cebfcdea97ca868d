#include "used.h"
static void *sends(void *fd) { return (void *)sendto((int)(long)fd, "abc", 3, 0, 0, 0); }

int main(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "name"};
  int server = CALL(socket(AF_UNIX, SOCK_DGRAM, 0));
  int client = CALL(socket(AF_UNIX, SOCK_DGRAM, 0));
  CALL(sendto(client, "abcd", 4, 0, (struct sockaddr *)&address, sizeof address));
  CALL(bind(server, (struct sockaddr *)&address, sizeof address));
  CALL(sendto(client, "abcd", 4, 0, (struct sockaddr *)&address, sizeof address));
  CALL(sendto(client, "", 0, 0, (struct sockaddr *)&address, sizeof address));
  CALL(sendto(client, NOWHERE, 4, 0, (struct sockaddr *)&address, sizeof address));
  CALL(sendto(client, "abcd", 4, 0, NOWHERE, sizeof address));
  CALL(sendto(client, "abcd", 4, 0, 0, 0));
  CALL(connect(client, (struct sockaddr *)&address, sizeof address));
  row_fill(client);
  CALL(sendto(client, "abcd", 4, MSG_DONTWAIT, 0, 0));
  row_interrupt();
  CALL(sendto(client, "abcd", 4, 0, 0, 0));
  CANCEL_PENDING(sends, (void *)(long)client);
  CANCEL_BLOCKED(sends, (void *)(long)client);
  CALL(close(client));
  CALL(sendto(client, "abcd", 4, 0, 0, 0));
  CALL(sendto(99, "abcd", 4, 0, 0, 0));
  return 0;
}
