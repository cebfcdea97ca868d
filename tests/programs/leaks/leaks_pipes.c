#include "../row.h"
/* One end of each of ten pipes. */
__attribute__((noinline)) static void leak_pipe_end(void) {
  int ends[2];
  if (pipe(ends) || close(ends[0])) abort();
}

int main(void) {
  for (int i = 0; i < 10; i++) leak_pipe_end();
  return 0;
}
