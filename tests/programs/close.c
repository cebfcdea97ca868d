#include "row.h"

static void *closes(void *fd) { return (void *)(long)close((int)(long)fd); }

int main(void) {
  row_file("file", "content");
  int fd = CALL(open("file", O_RDONLY));
  CALL(close(fd));
  CALL(close(fd));
  CALL(close(-1));
  CALL(close(1 << 20));
  CALL(open("file", O_RDONLY));
  CANCEL_PENDING(closes, (void *)(long)fd);
  FLAGS(fd);
  CALL(close(fd));
  return 0;
}
