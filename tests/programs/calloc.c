// build: -fno-builtin -Wno-alloc-size-larger-than -Wno-use-after-free

#include "row.h"

int main(void) {
  for (size_t size = 1; size < 300000; size *= 3) {
    unsigned char *dirty = memset(malloc(size), 0xa5, size);
    free(dirty);
    unsigned char *block = POINTER(calloc(size, 1));
    size_t zeros = 0;
    while (zeros < size && block[zeros] == 0) zeros++;
    SAY(zeros == size);
    free(block);
  }
  free(POINTER(calloc(0, 0)));
  POINTER(calloc(1UL << 33, 1UL << 33));
  POINTER(calloc(-1UL, 1));
  return 0;
}
