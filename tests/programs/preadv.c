#include "used.h"
#ifndef SYMBOL
#define SYMBOL preadv
#endif
static char more[64];
static struct iovec parts[2] = {{room, 2}, {more, sizeof more}};
static void *reads(void *fd) { return (void *)SYMBOL((int)(long)fd, parts, 2, 0); }

int main(void) {
  int ends[2];
  row_file("file", "content");
  int fd = CALL(open("file", O_RDONLY));
  CALL(SYMBOL(fd, parts, 2, 1));
  printf("%s %s\n", room, more);
  CALL(SYMBOL(fd, parts, 2, 7));
  CALL(SYMBOL(fd, parts, 0, 0));
  CALL(SYMBOL(fd, parts, too_few, 0));
  CALL(SYMBOL(fd, NOWHERE, 2, 0));
  CANCEL_PENDING(reads, (void *)(long)fd);
  CALL(pipe(ends));
  CALL(SYMBOL(ends[0], parts, 2, 0));
  CALL(close(fd));
  CALL(SYMBOL(fd, parts, 2, 0));
  return 0;
}
