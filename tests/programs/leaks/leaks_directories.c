#include "../row.h"
/* Ten directories. */
__attribute__((noinline)) static void leak_directory(void) {
  if (!opendir(".")) abort();
}

int main(void) {
  for (int i = 0; i < 10; i++) leak_directory();
  return 0;
}
