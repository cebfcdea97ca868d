#include "../row.h"
/* Threads are in the middle of calls while the process forks: the child has copies of their state. */
static int stop;
static void *works(void *argument) {
  while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
    close(open("/dev/null", O_RDONLY));
    free(malloc(1000));
  }
  return argument;
}

int main(void) {
  pthread_t threads[4];
  int good = 0;
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, works, 0);
  for (int i = 0; i < 50; i++) {
    pid_t child = fork();
    if (child == 0) {
      for (int n = 0; n < 20; n++) {
        close(open("/dev/null", O_RDONLY));
        free(malloc(1000));
      }
      pthread_t thread;
      stop = 1;
      _exit(pthread_create(&thread, 0, works, 0) || pthread_join(thread, 0) ? 1 : 7);
    }
    int status = 0;
    waitpid(child, &status, 0);
    good += WIFEXITED(status) && WEXITSTATUS(status) == 7;
  }
  __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
  SAY(good);
  return 0;
}
