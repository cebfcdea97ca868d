#include "../row.h"
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* The strict mode allows read, write and the end of the thread, and forbids the processor's counter. */
int main(void) {
  pid_t child = fork();
  if (child == 0) {
    free(malloc(1 << 16));
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    for (int i = 0; i < 20000; i++) free(malloc(500));
    syscall(SYS_exit, 9);
  }
  int status = 0;
  waitpid(child, &status, 0);
  SAY(WIFEXITED(status) && WEXITSTATUS(status) == 9);
  return 0;
}
