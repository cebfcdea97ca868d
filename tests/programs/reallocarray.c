// build: -fno-builtin -Wno-alloc-size-larger-than -Wno-use-after-free

#include "row.h"

int main(void) {
  char *block = POINTER(reallocarray(NOTHING, 5, 2));
  strcpy(block, "123456789");
  block = POINTER(reallocarray(block, 1000, 1000));
  SAY(strcmp(block, "123456789") == 0);
  POINTER(reallocarray(block, 1UL << 33, 1UL << 33));
  SAY(strcmp(block, "123456789") == 0);
  POINTER(reallocarray(block, 0, 7));
  return 0;
}
