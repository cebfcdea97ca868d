#include "row.h"
#include <sys/epoll.h>

int main(void) {
  int fd = CALL(epoll_create1(0));
  FLAGS(fd);
  fd = CALL(epoll_create1(EPOLL_CLOEXEC));
  FLAGS(fd);
  CALL(epoll_create1(4711));
  row_no_descriptors();
  CALL(epoll_create1(0));
  return 0;
}
