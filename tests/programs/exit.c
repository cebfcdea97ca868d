#include "row.h"

static void at_exit(void) {
  puts("exit handlers run");
  CALL(open("/dev/null", O_RDONLY));
}

int main(void) {
  atexit(at_exit);
  CALL(open("/dev/null", O_RDONLY));
  exit(265);
}
