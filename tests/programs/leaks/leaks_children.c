#include "../row.h"
/* Five children, each seen to end before the next one is made, but not waited for. */
__attribute__((noinline)) static void leak_child(void) {
  siginfo_t end;
  pid_t child = fork();
  if (child == 0) _exit(open("/dev/null", O_RDONLY) < 0);
  if (waitid(P_PID, child, &end, WEXITED | WNOWAIT)) abort();
}

int main(void) {
  for (int i = 0; i < 5; i++) leak_child();
  return 0;
}
