#include "row.h"
#ifndef SYMBOL
#define SYMBOL fork
#endif

int main(void) {
  int value = 1;
  row_file("file", "content");
  int fd = CALL(open("file", O_RDONLY));
  errno = UNTOUCHED;
  pid_t child = SYMBOL();
  if (child == 0) {
    SAY(errno == UNTOUCHED);
    value = 2;
    FLAGS(fd);
    CALL(close(fd));
    CALL(open("file", O_RDWR));
    SAY(syscall(SYS_getpid) == getpid());
    _exit(7);
  }
  int untouched = errno == UNTOUCHED;
  row_reap("child", child);
  SAY(untouched);
  SAY(value);
  FLAGS(fd);
  CALL(open("file", O_RDONLY));
  row_no_processes();
  CALL(SYMBOL());
  return 0;
}
