#include "row.h"
#include <pty.h>

int main(void) {
  int master = -1;
  errno = UNTOUCHED;
  pid_t child = forkpty(&master, NULL, NULL, NULL);
  if (child == 0) {
    /* Standard output is the terminal now. */
    SAY(isatty(0) && isatty(1) && isatty(2));
    CALL(open("/dev/null", O_RDONLY));
    _exit(7);
  }
  char said[4096];
  size_t length = 0;
  ssize_t got;
  while (length < sizeof said && (got = read(master, said + length, sizeof said - length)) > 0) length += (size_t)got;
  said[length < sizeof said ? length : length - 1] = 0;
  printf("%s", said);
  row_reap("child", child);
  FLAGS(master);
  CALL(close(master));
  row_no_processes();
  CALL(forkpty(&master, NULL, NULL, NULL));
  return 0;
}
