#include "row.h"
#include <threads.h>

static int sleeps(void *argument) {
  while (pause() == -1) {}
  return 0;
}

int main(void) {
  thrd_t thread;
  CALL(thrd_create(&thread, sleeps, 0));
  CALL(thrd_detach(thread));
  SAY(thrd_detach(thread) == thrd_error);
  return 0;
}
