#include "row.h"

int main(void) {
  row_file("file", "content");
  int fd = CALL(open(".", O_RDONLY | O_DIRECTORY));
  DIR *directory = POINTER(fdopendir(fd));
  SAY(dirfd(directory) == fd);
  FLAGS(fd);
  SAY(readdir(directory) != 0);
  CALL(closedir(directory));
  FLAGS(fd);
  fd = CALL(open("file", O_RDONLY));
  POINTER(fdopendir(fd));
  POINTER(fdopendir(99));
  POINTER(fdopendir(-1));
  return 0;
}
