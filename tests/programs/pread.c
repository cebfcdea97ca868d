#include "used.h"
#ifndef SYMBOL
#define SYMBOL pread
#endif
static void *reads(void *fd) { return (void *)SYMBOL((int)(long)fd, room, sizeof room, 0); }

int main(void) {
  int ends[2];
  row_file("file", "content");
  int fd = CALL(open("file", O_RDONLY));
  CALL(SYMBOL(fd, room, asked, 2));
  puts(room);
  CALL(SYMBOL(fd, room, asked, 7));
  CALL(SYMBOL(fd, room, 0, 0));
  CALL(SYMBOL(fd, room, asked, -1));
  CALL(SYMBOL(fd, NOWHERE, 8, 0));
  CANCEL_PENDING(reads, (void *)(long)fd);
  CALL(pipe(ends));
  CALL(SYMBOL(ends[0], room, asked, 0));
  CALL(close(fd));
  CALL(SYMBOL(fd, room, asked, 0));
  CALL(SYMBOL(99, room, asked, 0));
  return 0;
}
