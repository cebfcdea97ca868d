#include "row.h"

int main(void) {
  char *pages = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  strcpy(pages, "content");
  char *more = mremap(pages, 4096, 1 << 20, MREMAP_MAYMOVE);
  SAY(more != MAP_FAILED && strcmp(more, "content") == 0);
  char *place = mmap(0, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  /* The fifth argument counts with this flag only. */
  SAY(mremap(more, 1 << 20, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, place) == (void *)place);
  SAY(strcmp(place, "content") == 0);
  SAY(mremap(place, 4096, 4096, 0) == (void *)place);
  CALL(mremap(place + 1, 4096, 8192, MREMAP_MAYMOVE));
  CALL(mremap(place, 4096, 8192, 4711));
  CALL(mremap(place, 4096, 1UL << 60, MREMAP_MAYMOVE));
  return 0;
}
