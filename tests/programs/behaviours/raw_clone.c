#include "../row.h"
/* Children that no hook has seen being made. */
int main(void) {
  int fd = CALL(open("/dev/null", O_RDONLY));
  for (int i = 0; i < 5; i++) {
    long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
      for (int n = 0; n < 50; n++) close(open("/dev/null", O_RDONLY));
      close(fd);
      _exit(open("/dev/null", O_RDONLY));
    }
    row_reap("child of clone", (pid_t)child);
    child = syscall(SYS_fork);
    if (child == 0) {
      close(fd);
      execl("/bin/true", "true", (char *)0);
      _exit(1);
    }
    row_reap("child of fork", (pid_t)child);
  }
  FLAGS(fd);
  CALL(open("/dev/null", O_RDONLY));
  return 0;
}
