#include "../used.h"
/* Ten connections whose other end is gone stay open, and ten that were never used. */
__attribute__((noinline)) static void leak_ended(void) {
  int pair[2];
  socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
  if (write(pair[1], "a", 1) != 1) abort();
  close(pair[1]);
  if (read(pair[0], room, 1) != 1 || read(pair[0], room, 1) != 0) abort();
}
__attribute__((noinline)) static void leak_unused(void) {
  if (open("/dev/null", O_RDONLY) < 0) abort();
}

int main(void) {
  for (int i = 0; i < 10; i++) {
    leak_ended();
    leak_unused();
  }
  return 0;
}
