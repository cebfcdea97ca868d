// build: -static
#include "../row.h"
/* Nothing can be preloaded into it: it runs, untracked. */
int main(void) {
  CALL(open("/dev/null", O_RDONLY));
  CALL(close(3));
  pid_t child = fork();
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", "exit 5", (char *)0);
    _exit(1);
  }
  row_reap("child", child);
  return 0;
}
