/* What _FORTIFY_SOURCE makes of a call of two or three arguments whose flags it does not know. */
#include "row.h"
#ifndef SYMBOL
#define SYMBOL __openat_2
#endif
int SYMBOL(int, const char *, int);
static void *opens(void *path) { return (void *)(long)SYMBOL(AT_FDCWD, path, O_RDONLY); }

int main(void) {
  row_file("file", "content");
  int fd = CALL(SYMBOL(AT_FDCWD, "file", O_RDONLY));
  FLAGS(fd);
  fd = CALL(SYMBOL(AT_FDCWD, "file", O_RDWR | O_CLOEXEC));
  FLAGS(fd);
  CALL(SYMBOL(AT_FDCWD, "absent", O_RDONLY));
  CALL(SYMBOL(AT_FDCWD, NOWHERE, O_RDONLY));
  CALL(mkfifo("fifo", 0600));
  CANCEL_PENDING(opens, "file");
  CANCEL_BLOCKED(opens, "fifo");
  fflush(stdout);
  /* Without a mode, O_CREAT is a mistake that glibc ends the program for. */
  pid_t child = fork();
  if (child == 0) {
    SYMBOL(AT_FDCWD, "new", O_CREAT | O_WRONLY);
    _exit(0);
  }
  row_reap("O_CREAT without mode", child);
  row_no_descriptors();
  CALL(SYMBOL(AT_FDCWD, "file", O_RDONLY));
  return 0;
}
