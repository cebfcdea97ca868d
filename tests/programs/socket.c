#include "row.h"

int main(void) {
  int fd = CALL(socket(AF_UNIX, SOCK_STREAM, 0));
  FLAGS(fd);
  fd = CALL(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  FLAGS(fd);
  CALL(socket(AF_INET, SOCK_STREAM, 0));
  CALL(socket(AF_NETLINK, SOCK_RAW, 0));
  CALL(socket(4711, SOCK_STREAM, 0));
  CALL(socket(AF_UNIX, 4711, 0));
  CALL(socket(AF_INET, SOCK_STREAM, 17));
  row_no_descriptors();
  CALL(socket(AF_UNIX, SOCK_STREAM, 0));
  return 0;
}
