#include "used.h"
static char more[64];
static struct iovec parts[2] = {{room, 2}, {more, sizeof more}};
static void *reads(void *fd) { return (void *)readv((int)(long)fd, parts, 2); }

int main(void) {
  int ends[2], pair[2];
  row_file("file", "content");
  int fd = CALL(open("file", O_RDONLY));
  CALL(readv(fd, parts, 2));
  printf("%s %s\n", room, more);
  CALL(readv(fd, parts, 2));
  CALL(readv(fd, parts, 0));
  CALL(readv(fd, parts, too_few));
  CALL(readv(fd, NOWHERE, 2));
  CALL(pipe(ends));
  row_interrupt();
  CALL(readv(ends[0], parts, 2));
  CANCEL_PENDING(reads, (void *)(long)ends[0]);
  CANCEL_BLOCKED(reads, (void *)(long)ends[0]);
  CALL(close(ends[0]));
  CALL(readv(ends[0], parts, 2));
  CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  row_put(pair[1], "abcd");
  CALL(readv(pair[0], parts, 0));
  CALL(readv(pair[0], parts, 2));
  CALL(close(pair[1]));
  CALL(readv(pair[0], parts, 2));
  return 0;
}
