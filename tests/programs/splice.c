#include "used.h"
static void *moves(void *fd) { return (void *)splice((int)(long)fd, 0, 1, 0, 64, 0); }

int main(void) {
  int ends[2], other[2];
  off_t at = 2;
  row_file("file", "content");
  int fd = CALL(open("file", O_RDONLY));
  CALL(pipe(ends));
  CALL(pipe(other));
  CALL(splice(fd, &at, ends[1], 0, 64, 0));
  SAY(at);
  CALL(splice(ends[0], 0, other[1], 0, 3, 0));
  CALL(splice(ends[0], 0, other[1], 0, 64, 0));
  CALL(splice(ends[0], 0, other[1], 0, 64, SPLICE_F_NONBLOCK));
  CALL(splice(fd, NOWHERE, ends[1], 0, 64, 0));
  CALL(splice(fd, 0, fd, 0, 64, 0));
  row_interrupt();
  CALL(splice(ends[0], 0, other[1], 0, 64, 0));
  CANCEL_PENDING(moves, (void *)(long)ends[0]);
  CALL(close(ends[1]));
  CALL(splice(ends[0], 0, other[1], 0, 64, 0));
  CALL(close(ends[0]));
  CALL(splice(ends[0], 0, other[1], 0, 64, 0));
  CALL(splice(other[0], 0, 99, 0, 64, 0));
  return 0;
}
