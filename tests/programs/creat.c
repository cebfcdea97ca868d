#include "row.h"
#ifndef SYMBOL
#define SYMBOL creat
#endif

static void *creates(void *path) { return (void *)(long)SYMBOL(path, 0600); }

int main(void) {
  struct stat created;
  umask(022);
  int fd = CALL(SYMBOL("new", 0666));
  FLAGS(fd);
  CALL(fstat(fd, &created));
  SAY(created.st_mode & 07777);
  CALL(SYMBOL("new", 0400));
  CALL(SYMBOL(".", 0600));
  CALL(SYMBOL("absent/new", 0600));
  CALL(SYMBOL(NOWHERE, 0600));
  CALL(mkfifo("fifo", 0600));
  CANCEL_PENDING(creates, "new");
  CANCEL_BLOCKED(creates, "fifo");
  row_no_descriptors();
  CALL(SYMBOL("new", 0600));
  return 0;
}
