#include "used.h"
#ifndef SYMBOL
#define SYMBOL pwritev
#endif
static struct iovec parts[2] = {{"con", 3}, {"tent", 4}};
static void *writes(void *fd) { return (void *)SYMBOL((int)(long)fd, parts, 2, 0); }

int main(void) {
  int ends[2];
  int fd = CALL(open("file", O_CREAT | O_RDWR, 0600));
  CALL(SYMBOL(fd, parts, 2, 1));
  CALL(SYMBOL(fd, parts, 0, 0));
  CALL(SYMBOL(fd, parts, too_few, 0));
  CALL(SYMBOL(fd, NOWHERE, 2, 0));
  CANCEL_PENDING(writes, (void *)(long)fd);
  SAY(lseek(fd, 0, SEEK_END));
  CALL(pipe(ends));
  CALL(SYMBOL(ends[1], parts, 2, 0));
  CALL(close(fd));
  CALL(SYMBOL(fd, parts, 2, 0));
  return 0;
}
