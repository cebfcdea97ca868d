#include "../row.h"
/* clone with its own stack: a child with a copy of memory, one that shares it, one that shares descriptors. */
static char stack[65536] __attribute__((aligned(16)));
static int works(void *argument) {
  close(open("/dev/null", O_RDONLY));
  return open("/dev/null", O_RDONLY) + (int)(long)argument;
}

int main(void) {
  CALL(open("/dev/null", O_RDONLY));
  row_reap("copy", clone(works, stack + sizeof stack, SIGCHLD, (void *)10));
  row_reap("shares memory", clone(works, stack + sizeof stack, SIGCHLD | CLONE_VM | CLONE_VFORK, (void *)20));
  row_reap("shares descriptors", clone(works, stack + sizeof stack, SIGCHLD | CLONE_FILES, (void *)30));
  CALL(open("/dev/null", O_RDONLY));
  return 0;
}
