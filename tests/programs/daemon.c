#include "row.h"

int main(void) {
  row_file("file", "content");
  CALL(open("file", O_RDONLY));
  pid_t child = fork();
  if (child == 0) {
    row_no_processes();
    CALL(daemon(1, 1));
    _exit(3);
  }
  row_reap("child", child);
  pid_t parent = getpid();
  CALL(daemon(1, 1));
  SAY(getpid() != parent);
  SAY(getsid(0) != 0 && getsid(0) == getpgid(0));
  FLAGS(3);
  CALL(open("file", O_RDONLY));
  CALL(daemon(0, 1));
  CALL(access("file", F_OK));
  return 4;
}
