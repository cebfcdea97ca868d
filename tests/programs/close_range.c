#include "row.h"

int main(void) {
  for (int fd = 3; fd < 9; fd++) CALL(dup(1));
  CALL(close_range(4, 5, 0));
  CALL(close_range(6, 7, CLOSE_RANGE_CLOEXEC));
  for (int fd = 3; fd < 9; fd++) FLAGS(fd);
  CALL(close_range(7, 6, 0));
  CALL(close_range(3, 8, 1 << 30));
  CALL(close_range(3, ~0U, 0));
  for (int fd = 3; fd < 9; fd++) FLAGS(fd);
  CALL(dup(1));
  return 0;
}
