#include "row.h"

int main(void) {
  int fd = CALL(getpt());
  FLAGS(fd);
  SAY(isatty(fd));
  row_no_descriptors();
  CALL(getpt());
  return 0;
}
