#include "row.h"
#ifndef SYMBOL
#define SYMBOL mkstemp
#endif

int main(void) {
  struct stat made;
  char path[] = "nameXXXXXX", other[] = "nameXXXXXX";
  char absent[] = "absent/XXXXXX", wrong[] = "nameXXXXX-";
  int fd = CALL(SYMBOL(path));
  FLAGS(fd);
  CALL(fstat(fd, &made));
  SAY(made.st_mode & 07777);
  SAY(strncmp(path, "name", 4) == 0 && strcmp(path, other) != 0);
  SAY(strcmp(path + 10, "") == 0);
  CALL(access(path, F_OK));
  CALL(SYMBOL(wrong));
  SAY(strcmp(wrong, "nameXXXXX-") == 0);
  CALL(SYMBOL(absent));
  row_no_descriptors();
  CALL(SYMBOL(other));
  return 0;
}
