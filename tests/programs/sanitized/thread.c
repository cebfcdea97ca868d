// build: -fsanitize=thread
// Threads, files, a child and the heap under ThreadSanitizer; with an argument, a race that it finds.
#include "work.h"

static int shared;
static void *adds(void *unused) {
  for (int i = 0; i < 100000; i++) shared++;
  return unused;
}

const char *__tsan_default_options(void) { return "exitcode=99"; }

int main(int argc, char **argv) {
  (void)argv;
  work();
  if (argc > 1) {
    pthread_t one, two;
    pthread_create(&one, NULL, adds, NULL);
    pthread_create(&two, NULL, adds, NULL);
    pthread_join(one, NULL);
    pthread_join(two, NULL);
  }
  return 3;
}
