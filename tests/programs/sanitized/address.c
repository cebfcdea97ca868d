// build: -fsanitize=address -fno-omit-frame-pointer -Wno-use-after-free
// Threads, files, a child and the heap under AddressSanitizer; with an argument, an error that it finds.
#include "work.h"

static int reads_freed(void) {
  volatile char *block = malloc(64);
  free((void *)block);
  return block[3];
}

const char *__asan_default_options(void) { return "exitcode=99:detect_leaks=0"; }

int main(int argc, char **argv) {
  (void)argv;
  work();
  return argc > 1 ? reads_freed() : 3;
}
