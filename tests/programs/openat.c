#include "row.h"
#ifndef SYMBOL
#define SYMBOL openat
#endif

static int directory;
static void *opens(void *path) { return (void *)(long)SYMBOL(directory, path, O_RDONLY); }

int main(void) {
  struct stat created;
  umask(022);
  CALL(mkdir("sub", 0755));
  row_file("sub/file", "content");
  directory = CALL(SYMBOL(AT_FDCWD, "sub", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  FLAGS(directory);
  int fd = CALL(SYMBOL(directory, "file", O_RDWR));
  FLAGS(fd);
  fd = CALL(SYMBOL(directory, "new", O_CREAT | O_EXCL | O_WRONLY, 0640));
  CALL(fstat(fd, &created));
  SAY(created.st_mode & 07777);
  CALL(SYMBOL(directory, "new", O_CREAT | O_EXCL | O_WRONLY, 0640));
  CALL(SYMBOL(directory, "absent", O_RDONLY));
  CALL(SYMBOL(99, "file", O_RDONLY));
  CALL(SYMBOL(fd, "file", O_RDONLY));
  CALL(SYMBOL(directory, NOWHERE, O_RDONLY));
  CALL(mkfifo("sub/fifo", 0600));
  CANCEL_PENDING(opens, "file");
  CANCEL_BLOCKED(opens, "fifo");
  row_no_descriptors();
  CALL(SYMBOL(directory, "file", O_RDONLY));
  return 0;
}
