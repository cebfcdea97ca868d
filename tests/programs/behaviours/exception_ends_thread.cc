#include "../row.h"

/* Nobody catches: terminate, from a thread. */
static void *throws(void *) { throw 7; }

int main() {
  pthread_t thread;
  struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  pthread_create(&thread, nullptr, throws, nullptr);
  pthread_join(thread, nullptr);
  return 0;
}
