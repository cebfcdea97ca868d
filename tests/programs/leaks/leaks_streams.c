#include "../row.h"
/* Ten streams. */
__attribute__((noinline)) static void leak_stream(void) {
  if (!fopen("/dev/null", "r")) abort();
}

int main(void) {
  for (int i = 0; i < 10; i++) leak_stream();
  return 0;
}
