#include "row.h"
#include <sys/inotify.h>

int main(void) {
  int fd = CALL(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  FLAGS(fd);
  CALL(inotify_add_watch(fd, ".", IN_CREATE));
  CALL(inotify_init1(4711));
  row_no_descriptors();
  CALL(inotify_init1(0));
  return 0;
}
