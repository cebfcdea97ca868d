#include "row.h"

int main(void) {
  int fd = CALL(memfd_create("name", 0));
  FLAGS(fd);
  fd = CALL(memfd_create("name", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  FLAGS(fd);
  CALL(ftruncate(fd, 4096));
  CALL(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
  CALL(memfd_create("name", 1U << 30));
  CALL(memfd_create(NOWHERE, 0));
  row_no_descriptors();
  CALL(memfd_create("name", 0));
  return 0;
}
