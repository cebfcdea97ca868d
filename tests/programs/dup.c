#include "row.h"

int main(void) {
  int fd = CALL(open("/dev/null", O_RDONLY | O_CLOEXEC));
  int copy = CALL(dup(fd));
  FLAGS(fd);
  FLAGS(copy);
  CALL(close(fd));
  CALL(dup(copy));
  CALL(dup(99));
  CALL(dup(-1));
  row_no_descriptors();
  CALL(dup(copy));
  return 0;
}
