/* What _FORTIFY_SOURCE makes of a call of two or three arguments whose flags it does not know. */
#include "row.h"
#ifndef SYMBOL
#define SYMBOL __open_2
#endif
int SYMBOL(const char *, int);
static void *opens(void *path) { return (void *)(long)SYMBOL(path, O_RDONLY); }

int main(void) {
  row_file("file", "content");
  int fd = CALL(SYMBOL("file", O_RDONLY));
  FLAGS(fd);
  fd = CALL(SYMBOL("file", O_RDWR | O_CLOEXEC));
  FLAGS(fd);
  CALL(SYMBOL("absent", O_RDONLY));
  CALL(SYMBOL(NOWHERE, O_RDONLY));
  CALL(mkfifo("fifo", 0600));
  CANCEL_PENDING(opens, "file");
  CANCEL_BLOCKED(opens, "fifo");
  fflush(stdout);
  /* Without a mode, O_CREAT is a mistake that glibc ends the program for. */
  pid_t child = fork();
  if (child == 0) {
    SYMBOL("new", O_CREAT | O_WRONLY);
    _exit(0);
  }
  row_reap("O_CREAT without mode", child);
  row_no_descriptors();
  CALL(SYMBOL("file", O_RDONLY));
  return 0;
}
