#include "row.h"
#ifndef SYMBOL
#define SYMBOL mkostemp
#endif

int main(void) {
  struct stat made;
  char path[] = "nameXXXXXX", other[] = "nameXXXXXX";
  char absent[] = "absent/XXXXXX", wrong[] = "nameXXXXX-";
  int fd = CALL(SYMBOL(path, O_CLOEXEC | O_APPEND));
  FLAGS(fd);
  CALL(fstat(fd, &made));
  SAY(made.st_mode & 07777);
  SAY(strncmp(path, "name", 4) == 0 && strcmp(path, other) != 0);
  SAY(strcmp(path + 10, "") == 0);
  CALL(access(path, F_OK));
  CALL(SYMBOL(wrong, 0));
  SAY(strcmp(wrong, "nameXXXXX-") == 0);
  CALL(SYMBOL(absent, 0));
  row_no_descriptors();
  CALL(SYMBOL(other, 0));
  return 0;
}
