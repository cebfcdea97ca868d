#include "row.h"
#include <spawn.h>

static char *arguments[] = {"sh", "-c", "echo $0 $RESULT; cat; exit 5", "zero", 0};
static char *variables[] = {"PATH=/usr/bin:/bin", "RESULT=passed", 0};

int main(void) {
  /* Children print: what was returned is said when they have ended. */
  pid_t child = -1;
  int result;
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  row_file("file", "content\n");
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "file", O_RDONLY, 0);
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  errno = UNTOUCHED;
  result = posix_spawn(&child, "/bin/sh", 0, 0, arguments, variables);
  row_reap("child", child);
  SAY(result);
  errno = UNTOUCHED;
  result = posix_spawn(&child, "/bin/sh", &actions, &attributes, arguments, variables);
  row_reap("child with actions", child);
  SAY(result);
  errno = UNTOUCHED;
  result = posix_spawn(0, "/bin/sh", 0, 0, arguments, variables);
  row_reap("child of no name", -1);
  SAY(result);
  CALL(posix_spawn(&child, "./absent", 0, 0, arguments, variables));
  CALL(posix_spawn(&child, "./file", 0, 0, arguments, variables));
  posix_spawn_file_actions_addopen(&actions, 0, "absent", O_RDONLY, 0);
  CALL(posix_spawn(&child, "/bin/sh", &actions, 0, arguments, variables));
  SAY(syscall(SYS_wait4, -1, 0, 0, 0));
  CALL(dup(1));
  row_no_processes();
  CALL(posix_spawn(&child, "/bin/sh", 0, 0, arguments, variables));
  return 0;
}
