#include "row.h"

static void at_exit(void) { puts("exit handlers run"); }
static void at_quick_exit_(void) {
  puts("quick exit handlers run");
  CALL(open("/dev/null", O_RDONLY));
}

int main(void) {
  atexit(at_exit);
  at_quick_exit(at_quick_exit_);
  CALL(open("/dev/null", O_RDONLY));
  quick_exit(9);
}
