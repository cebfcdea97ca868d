#include "used.h"
#include <sys/sendfile.h>
#ifndef SYMBOL
#define SYMBOL sendfile
#endif
int main(void) {
  off_t at = 2;
  signal(SIGPIPE, SIG_IGN);
  row_file("file", "content");
  int from = CALL(open("file", O_RDONLY)), to = CALL(open("other", O_CREAT | O_RDWR, 0600));
  CALL(SYMBOL(to, from, 0, 3));
  CALL(SYMBOL(to, from, &at, 64));
  SAY(at);
  CALL(SYMBOL(to, from, &at, 64));
  CALL(SYMBOL(to, from, 0, 0));
  CALL(SYMBOL(to, from, NOWHERE, 4));
  CALL(SYMBOL(from, to, 0, 4));
  CALL(pread(to, room, sizeof room, 0));
  puts(room);
  CALL(close(to));
  CALL(SYMBOL(to, from, 0, 3));
  CALL(close(from));
  CALL(SYMBOL(1, from, 0, 3));
  CALL(SYMBOL(99, 98, 0, 3));
  return 0;
}
