#include "../row.h"
/* A child of vfork shares memory with its parent: what it closes is not the parent's. */
int main(void) {
  int kept = CALL(open("/dev/null", O_RDONLY));
  for (int i = 0; i < 20; i++) {
    pid_t child = vfork();
    if (child == 0) {
      dup2(kept, 7);
      close(kept);
      close(1000);
      if (i % 3 == 0) _exit(i);
      if (i % 3 == 1) execl("/bin/sh", "sh", "-c", "exit $0", "9", (char *)0);
      execl("/absent", "absent", (char *)0);
      _exit(20 + i);
    }
    row_reap("child", child);
    FLAGS(kept);
  }
  FLAGS(7);
  CALL(close(kept));
  CALL(open("/dev/null", O_RDONLY));
  return 0;
}
