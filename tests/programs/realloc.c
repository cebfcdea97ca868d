// build: -fno-builtin -Wno-alloc-size-larger-than -Wno-use-after-free

#include "row.h"

int main(void) {
  char *block = POINTER(realloc(NOTHING, 10));
  strcpy(block, "123456789");
  for (size_t size = 20; size < 3000000; size *= 5) {
    block = POINTER(realloc(block, size));
    SAY(strcmp(block, "123456789") == 0);
  }
  block = POINTER(realloc(block, 10));
  SAY(strcmp(block, "123456789") == 0);
  POINTER(realloc(block, -1UL));
  SAY(strcmp(block, "123456789") == 0);
  POINTER(realloc(block, 0));
  return 0;
}
