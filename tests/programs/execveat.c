#include "row.h"

static char *arguments[] = {"sh", "-c", "echo $0 $1 $2 $RESULT; exit 5", "zero", "one", "two", 0};
static char *variables[] = {"PATH=/usr/bin:/bin", "RESULT=passed", 0};

int main(void) {
  (void)arguments, (void)variables;
  setenv("RESULT", "inherited", 1);
  row_file("file", "content");
  int fd = CALL(open("/bin", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  pid_t child = fork();
  if (child == 0) {
    execveat(fd, "sh", arguments, variables, 0);
    _exit(1);
  }
  row_reap("child", child);
  CALL(execveat(fd, "absent-program", arguments, variables, 0));
  CALL(execveat(99, "sh", arguments, variables, 0));
  CALL(execveat(fd, "sh", arguments, variables, 4711));
  /* A failed exec changes nothing. */
  CALL(open("file", O_RDONLY));
  return 0;
}
