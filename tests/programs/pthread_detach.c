#include "row.h"

static void *sleeps(void *argument) {
  while (pause() == -1) {}
  return argument;
}

int main(void) {
  pthread_t thread;
  CALL(pthread_create(&thread, 0, sleeps, 0));
  CALL(pthread_detach(thread));
  CALL(pthread_detach(thread));
  CALL(pthread_cancel(thread));
  return 0;
}
