#include "row.h"
#ifndef SYMBOL
#define SYMBOL open
#endif

static void *opens(void *path) { return (void *)(long)SYMBOL(path, O_RDONLY); }

int main(void) {
  struct stat created;
  umask(022);
  row_file("file", "content");
  int fd = CALL(SYMBOL("file", O_RDONLY));
  FLAGS(fd);
  fd = CALL(SYMBOL("file", O_RDWR | O_APPEND | O_CLOEXEC));
  FLAGS(fd);
  fd = CALL(SYMBOL("new", O_CREAT | O_EXCL | O_WRONLY, 0666));
  CALL(fstat(fd, &created));
  SAY(created.st_mode & 07777);
  CALL(SYMBOL("new", O_CREAT | O_EXCL | O_WRONLY, 0666));
  CALL(SYMBOL(".", O_TMPFILE | O_RDWR, 0600));
  CALL(SYMBOL("absent", O_RDONLY));
  CALL(SYMBOL("file/below", O_RDONLY));
  CALL(SYMBOL(".", O_WRONLY));
  CALL(SYMBOL(NOWHERE, O_RDONLY));
  CALL(mkfifo("fifo", 0600));
  CANCEL_PENDING(opens, "file");
  CANCEL_BLOCKED(opens, "fifo");
  row_no_descriptors();
  CALL(SYMBOL("file", O_RDONLY));
  return 0;
}
