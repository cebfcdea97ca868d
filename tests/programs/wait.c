#include "row.h"

static void *waits(void *unused) {
  int status;
  (void)status;
  return (void *)(long)wait(&status);
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
  SAY(wait(&status) == one);
  row_status("child", status);
  one = child_of(4);
  SAY(wait(0) == one);
  pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(1);
  }
  CANCEL_PENDING(waits, 0);
  CANCEL_BLOCKED(waits, 0);
  kill(child, SIGKILL);
  row_reap("killed", child);
  CALL(wait(&status));
  return 0;
}
