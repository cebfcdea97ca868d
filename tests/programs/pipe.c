#include "row.h"

int main(void) {
  int ends[2] = {-1, -1};
  CALL(pipe(ends));
  FLAGS(ends[0]);
  FLAGS(ends[1]);
  CALL(write(ends[1], "x", 1));
  CALL(pipe(NOWHERE));
  CALL(dup(1));
  row_no_descriptors();
  CALL(pipe(ends));
  FLAGS(ends[0]);
  return 0;
}
