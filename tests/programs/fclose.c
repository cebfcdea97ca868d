#include "row.h"

static void *closes(void *file) { return (void *)(long)fclose(file); }

int main(void) {
  row_file("file", "content");
  FILE *file = POINTER(fopen("file", "r"));
  int fd = fileno(file);
  CALL(fclose(file));
  FLAGS(fd);
  /* The descriptor is gone already: the stream tells. */
  file = POINTER(fopen("file", "r"));
  CALL(close(fileno(file)));
  CALL(fclose(file));
  /* What was written does not fit the device. */
  file = POINTER(fopen("/dev/full", "w"));
  if (file) {
    SAY(fputs("text", file) >= 0);
    CALL(fclose(file));
  }
  file = POINTER(fopen("file", "r"));
  fd = fileno(file);
  CANCEL_PENDING(closes, file);
  FLAGS(fd);
  CALL(dup(1));
  return 0;
}
