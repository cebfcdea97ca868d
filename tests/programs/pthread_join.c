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
static void *joins(void *thread) { return (void *)(long)pthread_join((pthread_t)thread, 0); }

int main(void) {
  void *result = 0;
  CALL(pthread_join(started(returns, (void *)41), &result));
  SAY(result);
  CALL(pthread_join(started(returns, 0), 0));
  CALL(pthread_join(pthread_self(), 0));
  pthread_t thread = started(sleeps, 0);
  CANCEL_PENDING(joins, (void *)thread);
  CANCEL_BLOCKED(joins, (void *)thread);
  CALL(pthread_cancel(thread));
  CALL(pthread_join(thread, &result));
  SAY(result == PTHREAD_CANCELED);
  thread = started(sleeps, 0);
  CALL(pthread_detach(thread));
  CALL(pthread_join(thread, 0));
  return 0;
}
