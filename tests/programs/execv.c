#include "row.h"

static char *arguments[] = {"sh", "-c", "echo $0 $1 $2 $RESULT; exit 5", "zero", "one", "two", 0};
static char *variables[] = {"PATH=/usr/bin:/bin", "RESULT=passed", 0};

int main(void) {
  (void)arguments, (void)variables;
  setenv("RESULT", "inherited", 1);
  row_file("file", "content");
  pid_t child = fork();
  if (child == 0) {
    execv("/bin/sh", arguments);
    _exit(1);
  }
  row_reap("child", child);
  CALL(execv("absent", arguments));
  CALL(execv("file", arguments));
  CALL(execv(NOWHERE, arguments));
  /* A failed exec changes nothing. */
  CALL(open("file", O_RDONLY));
  return 0;
}
