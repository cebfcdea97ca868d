#include "row.h"

static char *arguments[] = {"sh", "-c", "echo $0 $1 $2 $RESULT; exit 5", "zero", "one", "two", 0};
static char *variables[] = {"PATH=/usr/bin:/bin", "RESULT=passed", 0};

int main(void) {
  (void)arguments, (void)variables;
  setenv("RESULT", "inherited", 1);
  row_file("file", "content");
  int fd = CALL(open("/bin/sh", O_RDONLY | O_CLOEXEC));
  pid_t child = fork();
  if (child == 0) {
    fexecve(fd, arguments, variables);
    _exit(1);
  }
  row_reap("child", child);
  CALL(fexecve(99, arguments, variables));
  CALL(fexecve(-1, arguments, variables));
  CALL(fexecve(0, arguments, variables));
  /* A failed exec changes nothing. */
  CALL(open("file", O_RDONLY));
  return 0;
}
