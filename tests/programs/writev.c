#include "used.h"
static struct iovec parts[2] = {{"con", 3}, {"tent", 4}};
static void *writes(void *fd) { return (void *)writev((int)(long)fd, parts, 2); }

int main(void) {
  int ends[2];
  signal(SIGPIPE, SIG_IGN);
  int fd = CALL(open("file", O_CREAT | O_RDWR, 0600));
  CALL(writev(fd, parts, 2));
  CALL(writev(fd, parts, 0));
  CALL(writev(fd, parts, too_few));
  CALL(writev(fd, NOWHERE, 2));
  CALL(pread(fd, room, sizeof room, 0));
  puts(room);
  CALL(pipe(ends));
  row_fill(ends[1]);
  row_interrupt();
  CALL(writev(ends[1], parts, 2));
  CANCEL_PENDING(writes, (void *)(long)ends[1]);
  CANCEL_BLOCKED(writes, (void *)(long)ends[1]);
  CALL(close(ends[0]));
  CALL(writev(ends[1], parts, 2));
  CALL(close(ends[1]));
  CALL(writev(ends[1], parts, 2));
  return 0;
}
