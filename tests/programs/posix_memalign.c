// build: -fno-builtin -Wno-alloc-size-larger-than -Wno-use-after-free

#include "row.h"

int main(void) {
  for (size_t alignment = 8; alignment <= 1 << 20; alignment *= 8) {
    void *block = 0;
    CALL(posix_memalign(&block, alignment, 100));
    SAY(block && (uintptr_t)block % alignment == 0);
    free(block);
  }
  void *block = (void *)41;
  CALL(posix_memalign(&block, 3, 100));
  CALL(posix_memalign(&block, 4, 100));
  CALL(posix_memalign(&block, 0, 100));
  CALL(posix_memalign(&block, 64, -1UL));
  SAY(block);
  return 0;
}
