#include "row.h"
#include <threads.h>

static int returns(void *argument) { return *(int *)argument; }

int main(void) {
  thrd_t thread;
  int argument = 41, result = 0;
  CALL(thrd_create(&thread, returns, &argument));
  CALL(thrd_join(thread, &result));
  SAY(result);
  CALL(thrd_create(&thread, returns, &argument));
  CALL(thrd_join(thread, 0));
  SAY(thrd_join(thrd_current(), 0) == thrd_error);
  return 0;
}
