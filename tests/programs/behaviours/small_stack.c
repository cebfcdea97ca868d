#include "../row.h"
/* Everything that a thread of the smallest stack can do. */
static char stack[4][16384] __attribute__((aligned(16384)));
static void handler(int number) {
  (void)number;
  int saved = errno;
  close(open("/dev/null", O_RDONLY));
  errno = saved;
}
static void *works(void *argument) {
  int ends[2], done = 0;
  void *block = malloc(100);
  done += close(open("/dev/null", O_RDONLY)) == 0;
  done += pipe(ends) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0;
  done += open(NOWHERE, O_RDONLY) == -1;
  done += close(socket(AF_UNIX, SOCK_STREAM, 0)) == 0;
  pthread_kill(pthread_self(), SIGUSR1);
  free(block);
  return (char *)argument + done;
}

int main(void) {
  pthread_t threads[4];
  pthread_attr_t attributes;
  signal(SIGUSR1, handler);
  pthread_attr_init(&attributes);
  CALL(pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN));
  for (int i = 0; i < 4; i++) CALL(pthread_create(&threads[i], &attributes, works, 0));
  for (int i = 0; i < 4; i++) {
    void *result = 0;
    pthread_join(threads[i], &result);
    SAY(result);
  }
  for (int i = 0; i < 4; i++) {
    void *result = 0;
    CALL(pthread_attr_setstack(&attributes, stack[i], sizeof stack[i]));
    CALL(pthread_create(&threads[i], &attributes, works, 0));
    CALL(pthread_join(threads[i], &result));
    SAY(result);
  }
  return 0;
}
