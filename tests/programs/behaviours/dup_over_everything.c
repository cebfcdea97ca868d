#include "../row.h"
/* Every number is taken over: whoever kept a descriptor for himself loses it, or breaks the program. */
int main(void) {
  int wrong = 0;
  int fd = CALL(open("/dev/null", O_RDONLY));
  for (int round = 0; round < 3; round++)
    for (int to = 3; to < 1000; to++) wrong += dup2(fd, to) != to;
  for (int to = 4; to < 1000; to++) wrong += dup3(1, to, O_CLOEXEC) != to;
  for (int number = 4; number < 1000; number++)
    wrong += syscall(SYS_fcntl, number, F_GETFD) != FD_CLOEXEC;
  SAY(wrong);
  for (int number = 3; number < 1000; number++) wrong += close(number) != 0;
  SAY(wrong);
  CALL(open("/dev/null", O_RDONLY));
  return 0;
}
