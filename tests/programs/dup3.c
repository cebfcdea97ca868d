#include "row.h"

int main(void) {
  int fd = CALL(open("/dev/null", O_RDONLY));
  CALL(dup3(fd, 7, O_CLOEXEC));
  FLAGS(7);
  CALL(dup3(1, 7, 0));
  FLAGS(7);
  CALL(dup3(fd, fd, 0));
  CALL(dup3(fd, 7, O_APPEND));
  CALL(dup3(99, 7, 0));
  CALL(dup3(fd, -1, 0));
  FLAGS(7);
  CALL(close(7));
  return 0;
}
