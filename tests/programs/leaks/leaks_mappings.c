#include "../row.h"
/* Ten mappings of a page. */
__attribute__((noinline)) static void leak_mapping(void) {
  if (mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) abort();
}

int main(void) {
  for (int i = 0; i < 10; i++) leak_mapping();
  return 0;
}
