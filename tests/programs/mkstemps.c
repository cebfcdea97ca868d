#include "row.h"
#ifndef SYMBOL
#define SYMBOL mkstemps
#endif

int main(void) {
  struct stat made;
  char path[] = "nameXXXXXX.end", other[] = "nameXXXXXX.end";
  char absent[] = "absent/XXXXXX.end", wrong[] = "nameXXXXX-.end";
  int fd = CALL(SYMBOL(path, 4));
  FLAGS(fd);
  CALL(fstat(fd, &made));
  SAY(made.st_mode & 07777);
  SAY(strncmp(path, "name", 4) == 0 && strcmp(path, other) != 0);
  SAY(strcmp(path + 10, ".end") == 0);
  CALL(access(path, F_OK));
  CALL(SYMBOL(wrong, 4));
  SAY(strcmp(wrong, "nameXXXXX-.end") == 0);
  CALL(SYMBOL(absent, 4));
  row_no_descriptors();
  CALL(SYMBOL(other, 4));
  return 0;
}
