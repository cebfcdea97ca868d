#include "used.h"
#ifndef SYMBOL
#define SYMBOL read
#endif
static void *reads(void *fd) { return (void *)SYMBOL((int)(long)fd, room, sizeof room); }

int main(void) {
  int ends[2], pair[2];
  row_file("file", "content");
  int fd = CALL(open("file", O_RDONLY));
  CALL(SYMBOL(fd, room, 3));
  CALL(SYMBOL(fd, room, asked));
  CALL(SYMBOL(fd, room, asked));
  CALL(SYMBOL(fd, NOWHERE, 0));
  CALL(lseek(fd, 0, SEEK_SET));
  CALL(SYMBOL(fd, NOWHERE, 8));
  puts(room);
  CALL(pipe(ends));
  row_put(ends[1], "abc");
  CALL(SYMBOL(ends[0], room, 0));
  CALL(SYMBOL(ends[0], room, asked));
  CALL(SYMBOL(ends[1], room, asked));
  row_interrupt();
  CALL(SYMBOL(ends[0], room, asked));
  CANCEL_PENDING(reads, (void *)(long)ends[0]);
  CANCEL_BLOCKED(reads, (void *)(long)ends[0]);
  CALL(fcntl(ends[0], F_SETFL, O_NONBLOCK));
  CALL(SYMBOL(ends[0], room, asked));
  CALL(close(ends[1]));
  CALL(SYMBOL(ends[0], room, asked));
  CALL(close(ends[0]));
  CALL(SYMBOL(ends[0], room, asked));
  CALL(SYMBOL(-1, room, asked));
  CALL(SYMBOL(99, room, asked));
  CALL(SYMBOL(100000, room, asked));
  CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  row_put(pair[1], "abcd");
  CALL(SYMBOL(pair[0], room, 2));
  CALL(SYMBOL(pair[0], room, 0));
  CALL(SYMBOL(pair[0], room, asked));
  CALL(close(pair[1]));
  CALL(SYMBOL(pair[0], room, asked));
  CALL(SYMBOL(pair[0], room, asked));
  /* A number above all that were seen. */
  int high = CALL(fcntl(fd, F_DUPFD, 900));
  CALL(lseek(high, 0, SEEK_SET));
  CALL(SYMBOL(high, room, asked));
  return 0;
}
