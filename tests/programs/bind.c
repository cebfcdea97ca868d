#include "row.h"

int main(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "name"};
  int fd = CALL(socket(AF_UNIX, SOCK_STREAM, 0));
  CALL(bind(fd, (struct sockaddr *)&address, sizeof address));
  CALL(bind(fd, (struct sockaddr *)&address, sizeof address));
  int other = CALL(socket(AF_UNIX, SOCK_STREAM, 0));
  CALL(bind(other, (struct sockaddr *)&address, sizeof address));
  CALL(bind(other, NOWHERE, sizeof address));
  CALL(bind(other, (struct sockaddr *)&address, 1));
  CALL(bind(0, (struct sockaddr *)&address, sizeof address));
  CALL(bind(99, (struct sockaddr *)&address, sizeof address));
  return 0;
}
