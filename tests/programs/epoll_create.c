#include "row.h"
#include <sys/epoll.h>

int main(void) {
  int fd = CALL(epoll_create(1));
  FLAGS(fd);
  CALL(epoll_create(0));
  CALL(epoll_create(-1));
  row_no_descriptors();
  CALL(epoll_create(1));
  return 0;
}
