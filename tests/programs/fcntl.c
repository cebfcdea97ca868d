#include "row.h"
#ifndef SYMBOL
#define SYMBOL fcntl
#endif

static int second;
static void *locks(void *lock) { return (void *)(long)SYMBOL(second, F_OFD_SETLKW, lock); }

int main(void) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
  row_file("file", "content");
  int fd = CALL(open("file", O_RDWR));
  second = CALL(open("file", O_RDWR));
  int copy = CALL(SYMBOL(fd, F_DUPFD, 10));
  FLAGS(copy);
  copy = CALL(SYMBOL(fd, F_DUPFD_CLOEXEC, 10));
  FLAGS(copy);
  CALL(SYMBOL(fd, F_GETFD));
  CALL(SYMBOL(fd, F_SETFD, FD_CLOEXEC));
  FLAGS(fd);
  CALL(SYMBOL(fd, F_SETFD, 0));
  FLAGS(fd);
  CALL(SYMBOL(fd, F_SETFL, O_APPEND));
  FLAGS(fd);
  CALL(SYMBOL(fd, F_SETLK, &lock));
  CALL(SYMBOL(fd, F_GETLK, &lock));
  SAY(lock.l_type == F_UNLCK);
  lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 1};
  CALL(SYMBOL(fd, F_OFD_SETLK, &lock));
  CALL(SYMBOL(second, F_OFD_SETLK, &lock));
  CANCEL_PENDING(locks, &lock);
  CANCEL_BLOCKED(locks, &lock);
  CALL(SYMBOL(fd, F_SETLK, NOWHERE));
  CALL(SYMBOL(fd, F_GETOWN));
  CALL(SYMBOL(fd, F_DUPFD, -1));
  CALL(SYMBOL(99, F_DUPFD, 0));
  CALL(SYMBOL(99, F_GETFD));
  CALL(SYMBOL(fd, 4711));
  row_no_descriptors();
  CALL(SYMBOL(fd, F_DUPFD_CLOEXEC, 0));
  return 0;
}
