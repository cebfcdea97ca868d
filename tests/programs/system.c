#include "row.h"

static void *runs(void *command) { return (void *)(long)system(command); }

int main(void) {
  SAY(system(NULL) != 0);
  CALL(system("echo from the shell"));
  row_status("exit 3", CALL(system("exit 3")));
  row_status("kill", CALL(system("kill -9 $$")));
  row_status("absent", CALL(system("absent-program 2>/dev/null")));
  CANCEL_PENDING(runs, "true");
  CANCEL_BLOCKED(runs, "exec sleep 20");
  SAY(syscall(SYS_wait4, -1, 0, 0, 0));
  row_no_processes();
  CALL(system("true"));
  return 0;
}
