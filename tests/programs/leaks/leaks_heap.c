#include "../row.h"
/* A hundred blocks of 1000 bytes; what is freed is not among them. */
__attribute__((noinline)) static void leak_blocks(void) {
  void *volatile kept = malloc(1000);
  void *volatile freed = malloc(500);
  free(freed);
  (void)kept;
}

int main(void) {
  for (int i = 0; i < 100; i++) leak_blocks();
  return 0;
}
