#include "row.h"

int main(void) {
  int ends[2], waiting = -1;
  CALL(pipe(ends));
  CALL(ioctl(ends[0], FIOCLEX));
  FLAGS(ends[0]);
  CALL(ioctl(ends[0], FIONCLEX));
  FLAGS(ends[0]);
  CALL(write(ends[1], "12345", 5));
  CALL(ioctl(ends[0], FIONREAD, &waiting));
  SAY(waiting);
  CALL(ioctl(ends[0], FIONREAD, NOWHERE));
  CALL(ioctl(ends[0], TIOCGWINSZ, &waiting));
  CALL(ioctl(99, FIOCLEX));
  CALL(ioctl(99, FIONREAD, &waiting));
  return 0;
}
