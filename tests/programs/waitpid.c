#include "row.h"

static void *waits(void *unused) {
  int status;
  (void)status;
  return (void *)(long)waitpid(-1, &status, 0);
}
static pid_t child_of(int status) {
  pid_t child = fork();
  if (child == 0) _exit(status);
  return child;
}

int main(void) {
  int status = -1;
  (void)status;
  pid_t one = child_of(3);
  SAY(waitpid(one, &status, 0) == one);
  row_status("child", status);
  one = child_of(4);
  SAY(waitpid(-1, 0, 0) == one);
  CALL(waitpid(one, 0, 0));
  CALL(waitpid(-1, 0, 4711));
  pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(1);
  }
  CANCEL_PENDING(waits, 0);
  CANCEL_BLOCKED(waits, 0);
  CALL(waitpid(child, &status, WNOHANG));
  kill(child, SIGKILL);
  row_reap("killed", child);
  CALL(waitpid(-1, &status, 0));
  return 0;
}
