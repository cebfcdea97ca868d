#include "row.h"
#include <linux/openat2.h>

int main(void) {
  int ends[2], status = -1;
  row_file("file", "content");
  int fd = CALL(syscall(SYS_openat, AT_FDCWD, "file", O_RDONLY | O_CLOEXEC, 0));
  FLAGS(fd);
  CALL(syscall(SYS_openat, AT_FDCWD, "absent", O_RDONLY, 0));
  CALL(syscall(SYS_openat, AT_FDCWD, NOWHERE, O_RDONLY, 0));
  int copy = CALL(syscall(SYS_dup, fd));
  CALL(syscall(SYS_dup3, fd, 9, 0));
  CALL(syscall(SYS_fcntl, fd, F_DUPFD, 20));
  CALL(syscall(SYS_close, copy));
  CALL(syscall(SYS_close, copy));
  CALL(syscall(SYS_close_range, 20, 30, 0));
  CALL(syscall(SYS_pipe2, ends, O_CLOEXEC));
  FLAGS(ends[0]);
  CALL(syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0));
  CALL(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, ends));
  CALL(syscall(SYS_eventfd2, 0, 0));
  CALL(syscall(SYS_epoll_create1, 0));
  CALL(syscall(SYS_memfd_create, "name", 0));
  CALL(syscall(SYS_openat2, AT_FDCWD, "file", &(struct open_how){0}, sizeof(struct open_how)));
  /* Six arguments, and one more that lies on the stack. */
  char *page = (char *)syscall(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
  SAY(page != MAP_FAILED && memcmp(page, "content", 8) == 0);
  CALL(syscall(SYS_munmap, page, 4096));
  CALL(syscall(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE, 99, 0));
  CALL(syscall(4711));
  SAY(syscall(SYS_getpid) == getpid());
  long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (child == 0) {
    close(fd);
    syscall(SYS_exit_group, 5);
  }
  SAY(syscall(SYS_wait4, child, &status, 0, 0) == child);
  row_status("child", status);
  FLAGS(fd);
  return 0;
}
