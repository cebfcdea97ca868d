#include "../row.h"
/* The executable's own definitions come before everybody's: theirs are called, not ours. */
static int calls;
int open(const char *path, int flags, ...) {
  calls++;
  return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0600);
}
int close(int fd) {
  calls++;
  return (int)syscall(SYS_close, fd);
}

int main(void) {
  int fd = CALL(open("/dev/null", O_RDONLY));
  CALL(close(fd));
  CALL(close(fd));
  SAY(calls);
  CALL(dup(1));
  return 0;
}
