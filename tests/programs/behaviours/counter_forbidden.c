#include "../row.h"
#include <sys/prctl.h>
#include <sys/wait.h>

/* Reads of the processor's counter are fatal from here on, in children too. */
static void work(void) {
  for (int i = 0; i < 200; i++) close(open("/dev/null", O_RDONLY));
  for (int i = 0; i < 20000; i++) free(malloc(500));
}

int main(void) {
  work();
  CALL(prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0));
  work();
  pid_t child = fork();
  if (child == 0) {
    work();
    _exit(7);
  }
  int status = 0;
  waitpid(child, &status, 0);
  SAY(WIFEXITED(status) && WEXITSTATUS(status) == 7);
  return 0;
}
