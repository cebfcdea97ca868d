// build: -fno-builtin -Wno-alloc-size-larger-than -Wno-use-after-free

#include "row.h"

int main(void) {
  errno = UNTOUCHED;
  free(NOTHING);
  SAY(errno == UNTOUCHED);
  for (size_t size = 1; size < 3000000; size *= 3) {
    void *block = malloc(size);
    errno = UNTOUCHED;
    free(block);
    SAY(errno == UNTOUCHED);
  }
  /* What glibc says of mistakes stays what it says. */
  pid_t child = fork();
  if (child == 0) {
    char *block = malloc(32);
    free(block);
    free(block);
    _exit(0);
  }
  row_reap("double free", child);
  return 0;
}
