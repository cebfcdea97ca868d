#include "row.h"

static void *waits(void *unused) {
  int status;
  (void)status;
  return (void *)(long)waitid(P_ALL, 0, 0, WEXITED);
}
static pid_t child_of(int status) {
  pid_t child = fork();
  if (child == 0) _exit(status);
  return child;
}

int main(void) {
  int status = -1;
  (void)status;
  siginfo_t end = {0};
  pid_t one = child_of(3);
  CALL(waitid(P_PID, one, &end, WEXITED | WNOWAIT));
  SAY(end.si_pid == one);
  SAY(end.si_status);
  CALL(waitid(P_PID, one, &end, WEXITED));
  CALL(waitid(P_PID, one, &end, WEXITED));
  CALL(waitid(P_ALL, 0, &end, 0));
  pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(1);
  }
  CANCEL_PENDING(waits, 0);
  CANCEL_BLOCKED(waits, 0);
  CALL(waitid(P_PID, child, &end, WEXITED | WNOHANG));
  kill(child, SIGKILL);
  row_reap("killed", child);
  CALL(waitid(P_ALL, 0, 0, WEXITED));
  return 0;
}
