#include "row.h"

int main(void) {
  int ends[2] = {-1, -1};
  CALL(pipe2(ends, O_CLOEXEC | O_NONBLOCK));
  FLAGS(ends[0]);
  FLAGS(ends[1]);
  CALL(pipe2(ends, 0));
  FLAGS(ends[1]);
  CALL(pipe2(ends, O_APPEND));
  CALL(pipe2(NOWHERE, 0));
  row_no_descriptors();
  CALL(pipe2(ends, O_CLOEXEC));
  return 0;
}
