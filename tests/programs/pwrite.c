#include "used.h"
#ifndef SYMBOL
#define SYMBOL pwrite
#endif
static void *writes(void *fd) { return (void *)SYMBOL((int)(long)fd, "abc", 3, 0); }

int main(void) {
  int ends[2];
  int fd = CALL(open("file", O_CREAT | O_RDWR, 0600));
  CALL(SYMBOL(fd, "content", 7, 2));
  CALL(SYMBOL(fd, "", 0, 0));
  CALL(SYMBOL(fd, "content", 7, -1));
  CALL(SYMBOL(fd, NOWHERE, 8, 0));
  CANCEL_PENDING(writes, (void *)(long)fd);
  SAY(lseek(fd, 0, SEEK_END));
  CALL(pipe(ends));
  CALL(SYMBOL(ends[1], "abc", 3, 0));
  CALL(close(fd));
  CALL(SYMBOL(fd, "abc", 3, 0));
  fd = CALL(open("file", O_RDONLY));
  CALL(SYMBOL(fd, "abc", 3, 0));
  CALL(SYMBOL(99, "abc", 3, 0));
  return 0;
}
