#include "row.h"
#include <sys/eventfd.h>

int main(void) {
  eventfd_t value = 0;
  int fd = CALL(eventfd(3, 0));
  FLAGS(fd);
  CALL(eventfd_read(fd, &value));
  SAY(value);
  fd = CALL(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  FLAGS(fd);
  CALL(eventfd_read(fd, &value));
  CALL(eventfd(0, 4711));
  row_no_descriptors();
  CALL(eventfd(0, 0));
  return 0;
}
