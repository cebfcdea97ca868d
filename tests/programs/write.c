#include "used.h"
static void *writes(void *fd) { return (void *)write((int)(long)fd, "abc", 3); }

int main(void) {
  int ends[2];
  signal(SIGPIPE, SIG_IGN);
  int fd = CALL(open("file", O_CREAT | O_RDWR, 0600));
  CALL(write(fd, "content", 7));
  CALL(write(fd, "", 0));
  CALL(write(fd, NOWHERE, 8));
  CALL(pread(fd, room, sizeof room, 0));
  puts(room);
  CALL(pipe(ends));
  CALL(write(ends[1], "abc", 3));
  CALL(write(ends[0], "abc", 3));
  row_fill(ends[1]);
  row_interrupt();
  CALL(write(ends[1], "abc", 3));
  CANCEL_PENDING(writes, (void *)(long)ends[1]);
  CANCEL_BLOCKED(writes, (void *)(long)ends[1]);
  CALL(fcntl(ends[1], F_SETFL, O_NONBLOCK));
  CALL(write(ends[1], "abc", 3));
  CALL(close(ends[0]));
  CALL(write(ends[1], "abc", 3));
  CALL(close(ends[1]));
  CALL(write(ends[1], "abc", 3));
  CALL(write(-1, "abc", 3));
  CALL(write(99, "abc", 3));
  CALL(close(fd));
  fd = CALL(open("file", O_RDONLY));
  CALL(write(fd, "abc", 3));
  struct rlimit small = {4, 4};
  signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  fd = CALL(open("other", O_CREAT | O_RDWR, 0600));
  CALL(write(fd, "content", 7));
  CALL(write(fd, "content", 7));
  return 0;
}
