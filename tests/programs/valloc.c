// build: -fno-builtin -Wno-alloc-size-larger-than -Wno-use-after-free

#include "row.h"
#include <malloc.h>

int main(void) {
  size_t page = sysconf(_SC_PAGESIZE);
  char *block = POINTER(valloc(100));
  SAY((uintptr_t)block % page == 0);
  SAY(malloc_usable_size(block) >= 100);
  free(block);
  POINTER(valloc(-1UL));
  POINTER(valloc(PTRDIFF_MAX));
  return 0;
}
