#include "row.h"

int main(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "name"};
  int fd = CALL(socket(AF_UNIX, SOCK_STREAM, 0));
  CALL(listen(fd, 1));
  CALL(bind(fd, (struct sockaddr *)&address, sizeof address));
  CALL(listen(fd, 5));
  int datagrams = CALL(socket(AF_UNIX, SOCK_DGRAM, 0));
  CALL(listen(datagrams, 1));
  CALL(listen(0, 1));
  CALL(listen(99, 1));
  return 0;
}
