#include "row.h"

int main(void) {
  char *pages = mmap(0, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CALL(munmap(pages + 4096, 4096));
  SAY(memset(pages, 1, 4096) != memset(pages + 8192, 1, 4096));
  CALL(munmap(pages, 3 * 4096));
  CALL(munmap(pages, 4096));
  CALL(munmap(pages + 1, 4096));
  CALL(munmap(pages, 0));
  return 0;
}
