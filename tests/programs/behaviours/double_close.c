#include "../row.h"
static int close_once(int fd) { return close(fd); }
static int close_again(int fd) { return close(fd); }

/* Two places close the same descriptor; the second one hits whoever got the number meanwhile. */
int main(void) {
  int fd = CALL(open("/dev/null", O_RDONLY));
  CALL(close_once(fd));
  CALL(close_again(fd));
  fd = CALL(open("/dev/null", O_RDONLY));
  CALL(close_once(fd));
  int other = CALL(open("/dev/zero", O_RDONLY));
  CALL(close_again(fd));
  FLAGS(other);
  return 0;
}
