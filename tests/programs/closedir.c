#include "row.h"

int main(void) {
  DIR *directory = POINTER(opendir("."));
  int fd = dirfd(directory);
  CALL(closedir(directory));
  FLAGS(fd);
  CALL(closedir(NOTHING));
  directory = POINTER(opendir("."));
  CALL(close(dirfd(directory)));
  CALL(closedir(directory));
  CALL(dup(1));
  return 0;
}
