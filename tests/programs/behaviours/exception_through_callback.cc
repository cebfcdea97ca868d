#include "../row.h"
#include <stdexcept>

/* An exception that crosses frames of the C library and of whoever interposes it. */
struct Counter {
  static int alive;
  Counter() { alive++; }
  ~Counter() { alive--; }
};
int Counter::alive = 0;

static int compare(const void *, const void *) {
  Counter counter;
  throw std::runtime_error("from a callback");
}
static void thrower() { throw 7; }
static void *cancelled(void *) {
  Counter counter;
  for (;;) pause();
}
static void *throws(void *) {
  try {
    Counter counter;
    thrower();
  } catch (int value) {
    return (void *)(long)value;
  }
  return nullptr;
}
static void *opens_cancelled(void *) {
  Counter counter;
  pthread_cancel(pthread_self());
  return (void *)(long)open("/dev/null", O_RDONLY);
}

int main() {
  int numbers[] = {3, 2, 1};
  pthread_t thread;
  void *result = nullptr;
  try {
    qsort(numbers, 3, sizeof *numbers, compare);
  } catch (const std::exception &error) {
    puts(error.what());
  }
  pthread_create(&thread, nullptr, throws, nullptr);
  pthread_join(thread, &result);
  SAY(result);
  pthread_create(&thread, nullptr, cancelled, nullptr);
  pthread_cancel(thread);
  pthread_join(thread, &result);
  SAY(result == PTHREAD_CANCELED);
  pthread_create(&thread, nullptr, opens_cancelled, nullptr);
  pthread_join(thread, &result);
  SAY(result == PTHREAD_CANCELED);
  SAY(Counter::alive);
  SAY(open("/dev/null", O_RDONLY));
  return 0;
}
