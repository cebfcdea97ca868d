#include "row.h"

int main(void) {
  int fd = CALL(posix_openpt(O_RDWR | O_NOCTTY));
  FLAGS(fd);
  CALL(grantpt(fd));
  CALL(unlockpt(fd));
  SAY(isatty(fd));
  fd = CALL(posix_openpt(O_RDWR | O_CLOEXEC | O_NONBLOCK));
  FLAGS(fd);
  row_no_descriptors();
  CALL(posix_openpt(O_RDWR));
  return 0;
}
