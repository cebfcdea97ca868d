#include "row.h"

static void *waits(void *unused) {
  int status;
  (void)status;
  return (void *)(long)wait4(-1, &status, 0, 0);
}
static pid_t child_of(int status) {
  pid_t child = fork();
  if (child == 0) _exit(status);
  return child;
}

int main(void) {
  int status = -1;
  (void)status;
  struct rusage usage;
  pid_t one = child_of(3);
  SAY(wait4(one, &status, 0, &usage) == one);
  row_status("child", status);
  CALL(wait4(one, 0, 0, 0));
  one = child_of(4);
  CALL(wait4(-1, NOWHERE, 0, 0));
  pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(1);
  }
  CANCEL_PENDING(waits, 0);
  CANCEL_BLOCKED(waits, 0);
  CALL(wait4(child, &status, WNOHANG, 0));
  kill(child, SIGKILL);
  row_reap("killed", child);
  CALL(wait4(-1, &status, 0, 0));
  return 0;
}
