#include "row.h"
#include <sys/inotify.h>

int main(void) {
  int fd = CALL(inotify_init());
  FLAGS(fd);
  CALL(inotify_add_watch(fd, ".", IN_CREATE));
  row_no_descriptors();
  CALL(inotify_init());
  return 0;
}
