#include "row.h"

int main(void) {
  int pair[2] = {-1, -1};
  CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  FLAGS(pair[0]);
  FLAGS(pair[1]);
  CALL(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair));
  FLAGS(pair[1]);
  CALL(socketpair(AF_INET, SOCK_STREAM, 0, pair));
  CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, NOWHERE));
  CALL(dup(1));
  row_no_descriptors();
  CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  return 0;
}
