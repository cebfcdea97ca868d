// build: -fno-builtin -Wno-alloc-size-larger-than -Wno-use-after-free

#include "row.h"
#include <malloc.h>

int main(void) {
  for (size_t alignment = 8; alignment <= 1 << 20; alignment *= 8) {
    void *block = POINTER(memalign(alignment, 100));
    SAY(block && (uintptr_t)block % alignment == 0);
    free(block);
  }
  POINTER(memalign(64, -64UL));
  POINTER(memalign(1UL << 63, 100));
  return 0;
}
