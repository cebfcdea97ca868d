#include "row.h"

int main(void) {
  char text[16] = "";
  row_file("file", "content");
  int fd = CALL(open("file", O_RDONLY | O_CLOEXEC));
  FILE *file = POINTER(fdopen(fd, "r"));
  FLAGS(fileno(file));
  SAY(fileno(file) == fd);
  SAY(fgets(text, sizeof text, file) && strcmp(text, "content") == 0);
  CALL(fclose(file));
  FLAGS(fd);
  fd = CALL(open("file", O_RDONLY));
  POINTER(fdopen(fd, "w"));
  POINTER(fdopen(fd, "q"));
  POINTER(fdopen(99, "r"));
  return 0;
}
