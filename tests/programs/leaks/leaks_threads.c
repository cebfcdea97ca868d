#include "../row.h"
/* Five threads, each ended before the next one begins, neither joined nor detached. */
static void *ends(void *argument) { return argument; }
static int threads(void) {
  struct stat tasks;
  return stat("/proc/self/task", &tasks) ? -1 : (int)tasks.st_nlink - 2;
}
__attribute__((noinline)) static void leak_thread(void) {
  pthread_t thread;
  if (pthread_create(&thread, 0, ends, 0)) abort();
  while (threads() > 1) usleep(500);
}

int main(void) {
  for (int i = 0; i < 5; i++) leak_thread();
  return 0;
}
