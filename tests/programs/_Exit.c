#include "row.h"

static void at_exit(void) { puts("exit handlers run"); }

int main(void) {
  atexit(at_exit);
  pid_t child = fork();
  if (child == 0) _Exit(300);
  row_reap("child", child);
  child = vfork();
  if (child == 0) _Exit(6);
  row_reap("child of vfork", child);
  CALL(open("/dev/null", O_RDONLY));
  _Exit(9);
}
