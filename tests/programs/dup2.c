#include "row.h"

int main(void) {
  int fd = CALL(open("/dev/null", O_RDONLY | O_CLOEXEC));
  CALL(dup2(fd, 7));
  FLAGS(7);
  CALL(dup2(1, 7));
  FLAGS(7);
  CALL(dup2(fd, fd));
  FLAGS(fd);
  CALL(dup2(99, 7));
  CALL(dup2(99, 99));
  CALL(dup2(fd, -1));
  CALL(dup2(fd, 1 << 30));
  FLAGS(7);
  CALL(close(7));
  return 0;
}
