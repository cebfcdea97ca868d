#include "../row.h"
/* Daemons close what they do not know. Three ways, each more than once. */
static void again(const char *how) {
  printf("%s\n", how);
  CALL(open("/dev/null", O_RDONLY));
  CALL(dup(1));
}

int main(void) {
  int ends[2];
  CALL(pipe(ends));
  closefrom(3);
  again("closefrom");
  CALL(close_range(3, ~0U, 0));
  again("close_range");
  for (int fd = 3; fd < 1024; fd++) close(fd);
  again("close");
  for (int fd = 3; fd < 1024; fd++) syscall(SYS_close, fd);
  again("syscall");
  int errors = 0;
  for (int round = 0; round < 3; round++)
    for (int fd = -1; fd < 4096; fd++)
      if (fd < 0 || fd > 2) errors += close(fd) != 0;
  SAY(errors);
  again("sweeps");
  CALL(close(0));
  CALL(open("/dev/null", O_RDONLY));
  CALL(close(2));
  CALL(open("/dev/null", O_WRONLY));
  again("standard ones");
  return 0;
}
