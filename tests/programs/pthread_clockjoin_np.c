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
static struct timespec after(long seconds) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  time.tv_sec += seconds;
  return time;
}
static struct timespec late, past;
static void *joins(void *thread) {
  return (void *)(long)pthread_clockjoin_np((pthread_t)thread, 0, CLOCK_MONOTONIC, &late);
}

int main(void) {
  void *result = 0;
  late = after(60);
  past = after(-1);
  CALL(pthread_clockjoin_np(started(returns, (void *)41), &result, CLOCK_MONOTONIC, &late));
  SAY(result);
  CALL(pthread_clockjoin_np(pthread_self(), 0, CLOCK_MONOTONIC, &late));
  pthread_t thread = started(sleeps, 0);
  CALL(pthread_clockjoin_np(thread, &result, CLOCK_MONOTONIC, &past));
  CANCEL_PENDING(joins, (void *)thread);
  CANCEL_BLOCKED(joins, (void *)thread);
  CALL(pthread_cancel(thread));
  CALL(pthread_clockjoin_np(thread, &result, CLOCK_MONOTONIC, &late));
  SAY(result == PTHREAD_CANCELED);
  return 0;
}
