#include "../row.h"
/* Ten sockets. */
__attribute__((noinline)) static void leak_socket(void) {
  if (socket(AF_UNIX, SOCK_STREAM, 0) < 0) abort();
}

int main(void) {
  for (int i = 0; i < 10; i++) leak_socket();
  return 0;
}
