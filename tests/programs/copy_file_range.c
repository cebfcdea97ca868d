#include "used.h"
static void *copies(void *fd) { return (void *)copy_file_range((int)(long)fd, 0, (int)(long)fd, 0, 64, 0); }

int main(void) {
  off_t from_at = 2, to_at = 1;
  row_file("file", "content");
  int from = CALL(open("file", O_RDONLY)), to = CALL(open("other", O_CREAT | O_RDWR, 0600));
  CALL(copy_file_range(from, 0, to, 0, 3, 0));
  CALL(copy_file_range(from, &from_at, to, &to_at, 64, 0));
  SAY(from_at);
  SAY(to_at);
  CALL(copy_file_range(from, &from_at, to, 0, 64, 0));
  CALL(copy_file_range(from, 0, to, 0, 0, 0));
  CALL(copy_file_range(from, NOWHERE, to, 0, 64, 0));
  CALL(copy_file_range(to, 0, from, 0, 64, 0));
  CALL(copy_file_range(from, 0, to, 0, 64, 4711));
  CANCEL_PENDING(copies, (void *)(long)from);
  CALL(pread(to, room, sizeof room, 0));
  puts(room);
  CALL(close(to));
  CALL(copy_file_range(from, 0, to, 0, 3, 0));
  CALL(copy_file_range(99, 0, 98, 0, 3, 0));
  return 0;
}
