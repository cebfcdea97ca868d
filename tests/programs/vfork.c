#include "row.h"

int main(void) {
  int fd = CALL(dup(1));
  errno = UNTOUCHED;
  pid_t child = vfork();
  if (child == 0) _exit(errno == UNTOUCHED ? 7 : 8);
  SAY(errno == UNTOUCHED);
  row_reap("child that ends", child);
  child = vfork();
  if (child == 0) {
    close(fd);
    execl("/bin/sh", "sh", "-c", "echo in the child; exit 5", (char *)0);
    _exit(127);
  }
  row_reap("child that executes", child);
  /* The child has closed its own copy. */
  FLAGS(fd);
  child = vfork();
  if (child == 0) {
    execl("/absent", "absent", (char *)0);
    _exit(errno == ENOENT ? 126 : 1);
  }
  row_reap("child whose exec fails", child);
  row_no_processes();
  CALL(vfork());
  return 0;
}
