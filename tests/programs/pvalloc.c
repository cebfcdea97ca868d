// build: -fno-builtin -Wno-alloc-size-larger-than -Wno-use-after-free

#include "row.h"
#include <malloc.h>

int main(void) {
  size_t page = sysconf(_SC_PAGESIZE);
  char *block = POINTER(pvalloc(100));
  SAY((uintptr_t)block % page == 0);
  SAY(malloc_usable_size(block) >= page);
  free(block);
  POINTER(pvalloc(-1UL));
  POINTER(pvalloc(PTRDIFF_MAX));
  return 0;
}
