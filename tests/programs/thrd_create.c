#include "row.h"
#include <threads.h>

static int value(void *argument) {
  return *(int *)argument + open("/dev/null", O_RDONLY);
}
static int exits(void *argument) {
  thrd_exit(7);
}

int main(void) {
  thrd_t thread;
  int argument = -2, result = 0;
  CALL(thrd_create(&thread, value, &argument));
  CALL(thrd_join(thread, &result));
  SAY(result);
  CALL(thrd_create(&thread, exits, 0));
  CALL(thrd_join(thread, &result));
  SAY(result);

  row_no_processes();
  CALL(thrd_create(&thread, value, &argument) == thrd_success);

  return 0;
}
