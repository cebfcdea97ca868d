#include "row.h"

static void *returns(void *argument) { return argument; }
static void *sleeps(void *argument) {
  while (pause() == -1) {}
  return argument;
}
static pthread_t started(void *(*body)(void *), void *argument) {
  pthread_t thread;
  if (pthread_create(&thread, 0, body, argument)) abort();
  return thread;
}

int main(void) {
  void *result = 0;
  pthread_t thread = started(sleeps, 0);
  CALL(pthread_tryjoin_np(thread, &result));
  CALL(pthread_cancel(thread));
  while (pthread_tryjoin_np(thread, &result) == EBUSY) usleep(1000);
  SAY(result == PTHREAD_CANCELED);
  thread = started(returns, (void *)41);
  usleep(1000);
  while (pthread_tryjoin_np(thread, &result) == EBUSY) usleep(1000);
  SAY(result);
  CALL(pthread_tryjoin_np(pthread_self(), 0));
  return 0;
}
