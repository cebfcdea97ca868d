#include "../row.h"
/* The owner closes, and so does somebody who is no longer the owner. */
__attribute__((noinline)) static int open_it(void) { return open("/dev/null", O_RDONLY); }
__attribute__((noinline)) static void owner_closes(int fd) { close(fd); }
__attribute__((noinline)) static void closes_again(int fd) { close(fd); }

int main(void) {
  for (int i = 0; i < 3; i++) {
    int fd = open_it();
    owner_closes(fd);
    closes_again(fd);
  }
  return 0;
}
