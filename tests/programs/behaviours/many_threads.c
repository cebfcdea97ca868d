#include "../row.h"
/* 32 threads open and close at the same time; a number belongs to one of them at a time. */
static int holders[256], wrong;
static void *works(void *argument) {
  for (int i = 0; i < 200; i++) {
    int fd = open("/dev/null", O_RDONLY | (i % 2 ? O_CLOEXEC : 0));
    if (fd < 3 || fd >= 256 || __atomic_exchange_n(&holders[fd], 1, __ATOMIC_SEQ_CST)) __atomic_fetch_add(&wrong, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&holders[fd & 255], 0, __ATOMIC_SEQ_CST);
    if (close(fd)) __atomic_fetch_add(&wrong, 1, __ATOMIC_SEQ_CST);
    free(malloc((size_t)i * 7));
  }
  return argument;
}

int main(void) {
  pthread_t threads[32];
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 32; i++)
      if (pthread_create(&threads[i], 0, works, 0)) abort();
    for (int i = 0; i < 32; i++) pthread_join(threads[i], 0);
  }
  SAY(wrong);
  CALL(open("/dev/null", O_RDONLY));
  return 0;
}
