#include "row.h"
#include <sys/pidfd.h>

int main(void) {
  int fd = CALL(pidfd_open(getpid(), 0));
  FLAGS(fd);
  CALL(pidfd_open(-1, 0));
  CALL(pidfd_open(getpid(), 4711));
  row_no_descriptors();
  CALL(pidfd_open(getpid(), 0));
  return 0;
}
