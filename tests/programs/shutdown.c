#include "row.h"

int main(void) {
  int pair[2];
  char byte;
  CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  CALL(shutdown(pair[0], SHUT_WR));
  CALL(read(pair[1], &byte, 1));
  CALL(shutdown(pair[0], SHUT_RDWR));
  CALL(shutdown(pair[0], 4711));
  int fd = CALL(socket(AF_INET, SOCK_STREAM, 0));
  CALL(shutdown(fd, SHUT_RD));
  CALL(shutdown(0, SHUT_RD));
  CALL(shutdown(99, SHUT_RD));
  return 0;
}
