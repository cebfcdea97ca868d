// build: -fno-builtin -Wno-alloc-size-larger-than -Wno-use-after-free

#include "row.h"
#include <malloc.h>

int main(void) {
  for (size_t size = 0; size < 300000; size = size * 3 + 1) {
    errno = UNTOUCHED;
    char *block = malloc(size);
    if (!block || (uintptr_t)block % 16 || malloc_usable_size(block) < size || errno != UNTOUCHED)
      printf("malloc of %zu\n", size);
    memset(block, 0xa5, size);
    free(block);
  }
  char *blocks[1000];
  for (int i = 0; i < 1000; i++) blocks[i] = memset(malloc(i + 1), i, i + 1);
  int intact = 0;
  for (int i = 0; i < 1000; i++) intact += blocks[i][i] == (char)i && blocks[i][0] == (char)i;
  SAY(intact);
  for (int i = 0; i < 1000; i++) free(blocks[i]);
  POINTER(malloc(-1UL));
  POINTER(malloc(PTRDIFF_MAX));
  POINTER(malloc(1UL << 62));
  return 0;
}
