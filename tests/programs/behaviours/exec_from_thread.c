#include "../row.h"
/* exec by a thread that is not the first: the others are gone, so is what they held in the shim. */
static void *works(void *argument) {
  for (;;) close(open("/dev/null", O_RDONLY));
  return argument;
}
static void *execs(void *path) {
  execl("/proc/self/exe", path, "second", (char *)0);
  return 0;
}

int main(int count, char **arguments) {
  pthread_t threads[4];
  if (count > 1) {
    closefrom(3);
    CALL(open("/dev/null", O_RDONLY));
    return 6;
  }
  for (int i = 0; i < 3; i++) pthread_create(&threads[i], 0, works, 0);
  pthread_create(&threads[3], 0, execs, arguments[0]);
  pthread_join(threads[3], 0);
  return 1;
}
